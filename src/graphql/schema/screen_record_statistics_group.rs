//! One group of statistics.

use async_graphql::{ID, SimpleObject};

use super::field::Counted;
use super::scalars::Long;
use crate::domain::{ScreenRecordStatus, ScreenRecordType, Timestamp};
use crate::records::{GroupKey, StatisticsGroup, Sums};

/// Sums over the recordings of one group. A value that recordings are not grouped by is `null`, and so is one
/// that the recordings of the group do not have.
#[derive(SimpleObject)]
pub(crate) struct ScreenRecordStatisticsGroup {
    /// Start of the hour or day.
    time: Option<Timestamp>,
    /// Name of the user.
    username: Option<Counted<String>>,
    /// Id of the desktop. If recordings write it differently, the form of the newest one.
    desktop_id: Option<Counted<ID>>,
    /// Id of the desktop pool. If recordings write it differently, the form of the newest one.
    desktop_pool_id: Option<Counted<ID>>,
    /// Status of the recordings.
    status: Option<ScreenRecordStatus>,
    /// Type of the recordings.
    #[graphql(name = "type")]
    kind: Option<ScreenRecordType>,
    /// Number of recordings.
    count: i32,
    /// Sum of `duration`, in seconds. A recording without a duration adds 0.
    seconds: Long,
    /// Sum of `size`, in bytes. A recording without a size adds 0.
    bytes: Long,
}

impl From<StatisticsGroup> for ScreenRecordStatisticsGroup {
    fn from(group: StatisticsGroup) -> Self {
        let GroupKey { time, username, desktop_id, desktop_pool_id, status, kind } = group.key;
        let Sums { count, seconds, bytes } = group.sums;
        let id = |id: String| Counted(ID::from(id));
        Self {
            time,
            username: username.map(Counted),
            desktop_id: desktop_id.map(id),
            desktop_pool_id: desktop_pool_id.map(id),
            status,
            kind,
            count: i32::try_from(count).unwrap_or(i32::MAX),
            seconds: Long(seconds),
            bytes: Long(bytes),
        }
    }
}
