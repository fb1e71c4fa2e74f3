//! What a list of recordings is narrowed to.

use std::sync::Arc;

use async_graphql::{ID, InputObject};

use super::screen_record_order::ScreenRecordOrder;
use super::screen_record_order_field::ScreenRecordOrderField;
use crate::domain::{
    RecordQuery, RecordSelection, Rights, RowFilter, ScreenRecordStatus, ScreenRecordType,
    Timestamp,
};

/// Restricts a list of recordings. A recording must match every given field.
///
/// The upstream looks for the first seven fields. For the others the gateway scans the upstream's list, up to
/// `limits.max_scanned_rows` rows for each operation: a page may then hold fewer rows than `first`, even
/// none, and have a next one; `totalCount` is `null` where the list is longer.
#[derive(Default, InputObject)]
pub(crate) struct ScreenRecordFilter {
    /// Id of the desktop: 1 to 255 characters.
    desktop_id: Option<ID>,
    /// Names of desktops; a recording must match one of them. 1 to 100 names of 1 to 255 characters, without
    /// commas.
    desktop_names: Option<Vec<String>>,
    /// Name of the user: 1 to 255 characters.
    username: Option<String>,
    /// Status of the recording: any except `UNKNOWN`, which `statuses` takes.
    status: Option<ScreenRecordStatus>,
    /// Type of the recording: any except `UNKNOWN`, which `types` takes.
    #[graphql(name = "type")]
    kind: Option<ScreenRecordType>,
    /// Earliest `startTime`, inclusive. Fractions of a second are cut off. Without it, the upstream goes
    /// back 15 days.
    started_after: Option<Timestamp>,
    /// Latest `startTime`, inclusive. Fractions of a second are cut off.
    started_before: Option<Timestamp>,
    /// Statuses; a recording must have one of them. An empty list matches no recording.
    statuses: Option<Vec<ScreenRecordStatus>>,
    /// Types; a recording must have one of them. An empty list matches no recording.
    types: Option<Vec<ScreenRecordType>>,
    /// Names of users, compared exactly; a recording must be of one of them. An empty list matches no
    /// recording.
    usernames: Option<Vec<String>>,
    /// Ids of desktops, compared without case and dashes; a recording must be of one of them. An empty list
    /// matches no recording.
    desktop_ids: Option<Vec<ID>>,
    /// Id of the desktop pool, compared without case and dashes.
    desktop_pool_id: Option<ID>,
    /// Id of the recording policy, compared without case and dashes.
    policy_id: Option<ID>,
    /// Least `duration`, inclusive: 0 seconds or more. A recording without a duration does not match.
    min_duration: Option<i32>,
    /// Greatest `duration`, inclusive: 0 seconds or more, and not less than `minDuration`. A recording
    /// without a duration does not match.
    max_duration: Option<i32>,
    /// An instant at which the recording was in progress: `startTime` is not later, and `endTime` is not
    /// earlier. Without an `endTime` the status must be `RECORDING`. Without `startedAfter` only recordings
    /// match that began within the 15 days before.
    running_at: Option<Timestamp>,
}

/// The recordings that a filter selects, in an order.
pub(crate) fn record_selection(
    filter: Option<ScreenRecordFilter>,
    order: Option<ScreenRecordOrder>,
) -> RecordSelection {
    let filter = filter.unwrap_or_default();
    let ScreenRecordOrder { field: ScreenRecordOrderField::StartTime, direction } =
        order.unwrap_or_default();
    let folded = |ids: Vec<ID>| Rights::folded_ids(ids.iter().map(|id| id.as_str()));
    let rows = RowFilter {
        usernames: filter.usernames.map(|names| names.into_iter().map(Arc::from).collect()),
        desktop_ids: filter.desktop_ids.map(folded),
        desktop_pool_ids: filter.desktop_pool_id.map(|id| folded(vec![id])),
        policy_ids: filter.policy_id.map(|id| folded(vec![id])),
        statuses: filter.statuses,
        kinds: filter.types,
        min_duration: filter.min_duration,
        max_duration: filter.max_duration,
        running_at: filter.running_at,
    };
    let query = RecordQuery {
        desktop_id: filter.desktop_id.map(|id| id.0),
        desktop_names: filter.desktop_names,
        username: filter.username,
        status: filter.status,
        kind: filter.kind,
        started_after: filter.started_after,
        started_before: filter.started_before,
        direction,
    };
    RecordSelection { query, rows }
}
