//! What lists are narrowed to and sorted by.

use async_graphql::{Enum, ID, InputObject};

use super::enums::{
    DesktopOperationLevel, DesktopOperationType, ScreenRecordStatus, ScreenRecordType,
};
use super::scalars::DateTime;
use crate::domain::{Direction, OperationQuery, RecordQuery};

/// Narrows a list of recordings. Every part that is given has to hold.
#[derive(Default, InputObject)]
pub(crate) struct ScreenRecordFilter {
    /// Of this desktop.
    desktop_id: Option<ID>,
    /// Of one of the desktops with these names: at most 100, none with a comma.
    desktop_names: Option<Vec<String>>,
    /// Of this user.
    username: Option<String>,
    /// In this status. `UNKNOWN` cannot be looked for.
    status: Option<ScreenRecordStatus>,
    /// Of this type. `UNKNOWN` cannot be looked for.
    #[graphql(name = "type")]
    kind: Option<ScreenRecordType>,
    /// Begun at this time or later; fractions of a second are cut. Where it is left out, the upstream
    /// goes back 15 days.
    started_after: Option<DateTime>,
    /// Begun at this time or earlier; fractions of a second are cut.
    started_before: Option<DateTime>,
}

/// How a list of recordings is sorted.
#[derive(Default, InputObject)]
pub(crate) struct ScreenRecordOrder {
    /// What it is sorted by.
    #[graphql(default)]
    field: ScreenRecordOrderField,
    /// Which way.
    #[graphql(default)]
    direction: OrderDirection,
}

/// What recordings can be sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
pub(crate) enum ScreenRecordOrderField {
    /// When they began.
    #[default]
    StartTime,
}

/// Which way a list is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
pub(crate) enum OrderDirection {
    /// The oldest first.
    Asc,
    /// The newest first.
    #[default]
    Desc,
}

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

/// What a list of recordings is asked for by.
pub(crate) fn record_query(
    filter: Option<ScreenRecordFilter>,
    order: Option<ScreenRecordOrder>,
) -> RecordQuery {
    let filter = filter.unwrap_or_default();
    let ScreenRecordOrder { field, direction } = order.unwrap_or_default();
    let direction = match (field, direction) {
        (ScreenRecordOrderField::StartTime, OrderDirection::Asc) => Direction::Ascending,
        (ScreenRecordOrderField::StartTime, OrderDirection::Desc) => Direction::Descending,
    };
    RecordQuery {
        desktop_id: filter.desktop_id.map(|id| id.0),
        desktop_names: filter.desktop_names,
        username: filter.username,
        status: filter.status.map(Into::into),
        kind: filter.kind.map(Into::into),
        started_after: filter.started_after.map(|time| time.0),
        started_before: filter.started_before.map(|time| time.0),
        direction,
    }
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
