//! The root of all subscriptions.

use async_graphql::{Context, ID, Subscription as Subscriptions};
use futures_util::stream::{self, Stream, StreamExt as _};

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
    ) -> impl Stream<Item = Option<Result<ScreenRecord, Failure>>> + use<> {
        or_failure(watched(context.data_unchecked(), &project_id, &id)).map(Some)
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
    ) -> impl Stream<Item = Result<ScreenRecordChange, Failure>> + use<> {
        or_failure(watched_list(context.data_unchecked(), &project_id, filter))
    }
}

/// A stream, or one event with the failure to begin it.
fn or_failure<T: Send>(
    begun: Result<impl Stream<Item = Result<T, Failure>> + Send, Failure>,
) -> impl Stream<Item = Result<T, Failure>> + Send {
    match begun {
        Ok(events) => events.left_stream(),
        Err(failure) => stream::iter([Err(failure)]).right_stream(),
    }
}

fn watched_list(
    operation: &OperationContext,
    project_id: &str,
    filter: Option<ScreenRecordFilter>,
) -> Result<impl Stream<Item = Result<ScreenRecordChange, Failure>> + Send + use<>, Failure> {
    let project = ProjectId::parse(project_id)?;
    let changes = operation.reader().watch_list(project.clone(), record_selection(filter, None))?;
    let operation = operation.clone();
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

fn watched(
    operation: &OperationContext,
    project_id: &str,
    id: &str,
) -> Result<impl Stream<Item = Result<ScreenRecord, Failure>> + Send + use<>, Failure> {
    let (project, asked) = (ProjectId::parse(project_id)?, RecordId::parse(id)?);
    let states = operation.reader().watch(project.clone(), asked.clone())?;
    let operation = operation.clone();
    Ok(states.map(move |state| {
        operation.begin_event();
        if let Err(Failure::NotVisible) = &state {
            operation.reader().audit_denied(&project, Some(&asked));
        }
        let record = state?;
        let kind = AuditEventKind::Read;
        operation.reader().audit_recording(kind, &project, asked.as_str(), &record);
        Ok(ScreenRecord::asked(record, project.clone(), &asked))
    }))
}
