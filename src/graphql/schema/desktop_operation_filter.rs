//! What a list of operations is narrowed to.

use async_graphql::InputObject;

use super::desktop_operation_level::DesktopOperationLevel;
use super::desktop_operation_type::DesktopOperationType;
use crate::domain::OperationQuery;

/// Restricts a list of operations. An operation must match every given field.
#[derive(Default, InputObject)]
pub(crate) struct DesktopOperationFilter {
    /// What was operated on: any except `UNKNOWN`.
    #[graphql(name = "type")]
    kind: Option<DesktopOperationType>,
    /// Name of the event, such as `FILE_CREATE`: 1 to 255 characters.
    event: Option<String>,
    /// Severity of the operation: any except `UNKNOWN`.
    level: Option<DesktopOperationLevel>,
    /// Text in the details of the event: 1 to 255 characters.
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
