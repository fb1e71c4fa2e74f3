//! The root of all subscriptions.

use async_graphql::{Context, ID, Subscription as Subscriptions};
use futures_util::stream::{self, Stream, StreamExt as _};

use super::screen_record::ScreenRecord;
use crate::domain::{Failure, ProjectId, RecordId};
use crate::graphql::context::OperationContext;
use crate::records::AuditEventKind;

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
        match watched(context.data_unchecked(), &project_id, &id) {
            Ok(states) => states.map(Some).left_stream(),
            Err(failure) => stream::iter([Some(Err(failure))]).right_stream(),
        }
    }
}

fn watched(
    operation: &OperationContext,
    project_id: &str,
    id: &str,
) -> Result<impl Stream<Item = Result<ScreenRecord, Failure>> + Send + use<>, Failure> {
    let (project, asked) = (ProjectId::parse(project_id)?, RecordId::parse(id)?);
    let states = operation.watch(project.clone(), asked.clone())?;
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
