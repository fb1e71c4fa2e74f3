//! The root of all subscriptions.

use async_graphql::{Context, ID, Subscription as Subscriptions};
use futures_util::stream::{Stream, StreamExt as _};

use super::screen_record::ScreenRecord;
use super::screen_record_change::ScreenRecordChange;
use super::screen_record_filter::{ScreenRecordFilter, record_selection};
use crate::domain::{Failure, ProjectId, RecordId};
use crate::graphql::context::OperationContext;
use crate::records::{AuditEventKind, RowChangeKind};

/// What can be watched.
pub(crate) struct Subscription;

/// Changes of screen recordings.
#[Subscriptions]
impl Subscription {
    /// The recording now, and again after each change. The stream completes after a final status.
    ///
    /// If the recording can no longer be read, the last event is `null` with an error that says why.
    /// While the upstream cannot be reached or throttles, no event is sent.
    async fn screen_record(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Id of the project: 1 to 64 characters of `A-Z a-z 0-9 _ -`.")]
        project_id: ID,
        #[graphql(
            desc = "Id of the recording, with or without dashes: 1 to 64 characters of `A-Z a-z 0-9 _ -`."
        )]
        id: ID,
    ) -> Result<impl Stream<Item = Option<Result<ScreenRecord, Failure>>> + use<>, Failure> {
        let operation = OperationContext::of(context).clone();
        let (project, asked) = (ProjectId::parse(&project_id)?, RecordId::parse(&id)?);
        let states = operation.reader().watch(project.clone(), asked.clone())?;
        Ok(states.map(move |state| {
            operation.begin_event();
            let reader = operation.reader();
            match &state {
                Ok(record) => {
                    let kind = AuditEventKind::Read;
                    reader.audit_recording(kind, &project, asked.as_str(), record);
                }
                Err(Failure::NotVisible) => reader.audit_denied(&project, Some(&asked)),
                Err(_) => {}
            }
            Some(state.map(|record| ScreenRecord::asked(record, project.clone(), &asked)))
        }))
    }

    /// Screen recordings of a project: `ADDED` for each one that there is, newest first, then every
    /// change. The stream has no end.
    ///
    /// A recording that leaves the list, the filter or the caller's sight is `REMOVED`. Without
    /// `startedAfter` that includes recordings that become older than 15 days. Recordings without an id
    /// are left out. A list of more than `limits.max_scanned_rows` rows cannot be watched.
    ///
    /// If the list can no longer be read, the last event is an error that says why. While the upstream
    /// cannot be reached or throttles, no event is sent.
    async fn screen_records(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Id of the project: 1 to 64 characters of `A-Z a-z 0-9 _ -`.")]
        project_id: ID,
        #[graphql(desc = "Restricts the list. A row must match every given field.")] filter: Option<
            ScreenRecordFilter,
        >,
    ) -> Result<impl Stream<Item = Result<ScreenRecordChange, Failure>> + use<>, Failure> {
        let operation = OperationContext::of(context).clone();
        let project = ProjectId::parse(&project_id)?;
        let selection = record_selection(filter, None);
        let changes = operation.reader().watch_list(project.clone(), selection)?;
        Ok(changes.map(move |change| {
            operation.begin_event();
            let change = change?;
            if change.kind != RowChangeKind::Removed {
                let (reader, record) = (operation.reader(), &change.record);
                reader.audit_recording(AuditEventKind::Read, &project, "", record);
            }
            Ok(ScreenRecordChange { change, project: project.clone() })
        }))
    }
}
