//! What a list of recordings is narrowed to.

use async_graphql::{ID, InputObject};

use super::scalars::DateTime;
use super::screen_record_order::ScreenRecordOrder;
use super::screen_record_order_field::ScreenRecordOrderField;
use super::screen_record_status::ScreenRecordStatus;
use super::screen_record_type::ScreenRecordType;
use crate::domain::RecordQuery;

/// Restricts a list of recordings. A recording must match every given field.
#[derive(Default, InputObject)]
pub(crate) struct ScreenRecordFilter {
    /// Id of the desktop: 1 to 255 characters.
    desktop_id: Option<ID>,
    /// Names of desktops; a recording must match one of them. 1 to 100 names of 1 to 255 characters, without
    /// commas.
    desktop_names: Option<Vec<String>>,
    /// Name of the user: 1 to 255 characters.
    username: Option<String>,
    /// Status of the recording: any except `UNKNOWN`.
    status: Option<ScreenRecordStatus>,
    /// Type of the recording: any except `UNKNOWN`.
    #[graphql(name = "type")]
    kind: Option<ScreenRecordType>,
    /// Earliest `startTime`, inclusive. Fractions of a second are cut off. Without it, the upstream goes
    /// back 15 days.
    started_after: Option<DateTime>,
    /// Latest `startTime`, inclusive. Fractions of a second are cut off.
    started_before: Option<DateTime>,
}

/// What a list of recordings is asked for by.
pub(crate) fn record_query(
    filter: Option<ScreenRecordFilter>,
    order: Option<ScreenRecordOrder>,
) -> RecordQuery {
    let filter = filter.unwrap_or_default();
    let ScreenRecordOrder { field: ScreenRecordOrderField::StartTime, direction } =
        order.unwrap_or_default();
    RecordQuery {
        desktop_id: filter.desktop_id.map(|id| id.0),
        desktop_names: filter.desktop_names,
        username: filter.username,
        status: filter.status.map(Into::into),
        kind: filter.kind.map(Into::into),
        started_after: filter.started_after.map(|time| time.0),
        started_before: filter.started_before.map(|time| time.0),
        direction: direction.into(),
    }
}
