//! Statistics of recordings.

use async_graphql::{Context, SimpleObject};

use super::connection::sent_filter;
use super::screen_record_filter::{ScreenRecordFilter, record_selection};
use super::screen_record_statistics_group::ScreenRecordStatisticsGroup;
use crate::domain::{Failure, ProjectId};
use crate::graphql::context::{OperationContext, path_of};
use crate::records::{AuditEventKind, GroupBy, Grouping};

/// The time zone where `timeZone` is left out.
pub(super) const DEFAULT_TIME_ZONE: &str = "UTC";

/// Number, length and size of recordings, by group.
#[derive(SimpleObject)]
pub(crate) struct ScreenRecordStatistics {
    /// The groups that have recordings, sorted by time, then by the other values; `null` comes first. Without
    /// `groupBy` exactly one group, of all recordings.
    groups: Vec<ScreenRecordStatisticsGroup>,
    /// Number of recordings that were read and that the caller may see, whether they match the filter or not.
    scanned: i32,
    /// Whether every matching recording is counted. `false` if the list is longer than
    /// `limits.max_scanned_rows` allows to read, if recordings were added or removed while it was read, or if
    /// a recording cannot be read. Show such numbers as incomplete.
    is_complete: bool,
}

impl ScreenRecordStatistics {
    /// Reads the statistics of a project for a field.
    pub(super) async fn read(
        context: &Context<'_>,
        project: Result<ProjectId, Failure>,
        filter: Option<ScreenRecordFilter>,
        group_by: Option<Vec<GroupBy>>,
        time_zone: Option<String>,
    ) -> Result<Self, Failure> {
        let project = project?;
        let time_zone = time_zone.as_deref().unwrap_or(DEFAULT_TIME_ZONE);
        let grouping = Grouping::new(group_by.unwrap_or_default(), time_zone)?;
        let selection = record_selection(filter, None);
        let operation = OperationContext::of(context);
        let reader = operation.reader();
        let reading = reader.statistics(project.clone(), selection, &grouping);
        let statistics = operation.read_for(|| path_of(context), reading).await?;
        let rows = statistics.groups.iter().map(|group| group.sums.count).sum();
        let kind = AuditEventKind::Counted;
        reader.audit_list(kind, &project, rows, || sent_filter(context));
        Ok(Self {
            groups: statistics.groups.into_iter().map(Into::into).collect(),
            scanned: i32::try_from(statistics.scanned).unwrap_or(i32::MAX),
            is_complete: statistics.is_complete,
        })
    }
}
