//! What a list of recordings is narrowed to.

use async_graphql::{ID, InputObject};

use super::order_direction::OrderDirection;
use super::scalars::DateTime;
use super::screen_record_order::ScreenRecordOrder;
use super::screen_record_order_field::ScreenRecordOrderField;
use super::screen_record_status::ScreenRecordStatus;
use super::screen_record_type::ScreenRecordType;
use crate::domain::{Direction, RecordQuery};

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
