//! What a list of operations is narrowed to.

use async_graphql::InputObject;

use super::desktop_operation_level::DesktopOperationLevel;
use super::desktop_operation_type::DesktopOperationType;
use crate::domain::OperationQuery;

/// Narrows a list of operations. Every part that is given has to hold.
#[derive(Default, InputObject)]
pub(crate) struct DesktopOperationFilter {
    /// On this kind of thing. `UNKNOWN` cannot be looked for.
    #[graphql(name = "type")]
    kind: Option<DesktopOperationType>,
    /// Of this event, such as `FILE_CREATE`.
    event: Option<String>,
    /// Of this level. `UNKNOWN` cannot be looked for.
    level: Option<DesktopOperationLevel>,
    /// With this in its data.
    data: Option<String>,
}

/// What a list of operations is asked for by.
pub(crate) fn operation_query(filter: Option<DesktopOperationFilter>) -> OperationQuery {
    let filter = filter.unwrap_or_default();
    OperationQuery {
        kind: filter.kind.map(Into::into),
        event: filter.event,
        level: filter.level.map(Into::into),
        data: filter.data,
    }
}
