//! What statistics of recordings are grouped by.

use async_graphql::Enum;

/// What statistics group recordings by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::records::GroupBy")]
pub(crate) enum ScreenRecordGroup {
    /// The hour of `startTime`. It begins as the clocks of the time zone show it, so that an hour that is
    /// repeated at the end of daylight saving time is two groups.
    Hour,
    /// The day of `startTime`. It begins at midnight in the time zone, and has 23 or 25 hours when daylight
    /// saving time begins or ends.
    Day,
    /// `username`, compared exactly.
    Username,
    /// `desktopId`, compared without case and dashes.
    Desktop,
    /// `desktopPoolId`, compared without case and dashes.
    DesktopPool,
    /// `status`.
    Status,
    /// `type`.
    Type,
}
