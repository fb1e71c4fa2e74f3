//! The root of all subscriptions.

use async_graphql::{Context, ID, Subscription as Subscriptions};
use futures_util::stream::{self, Stream, StreamExt as _};

use super::screen_record::ScreenRecord;
use crate::domain::{Failure, ProjectId, RecordId};
use crate::graphql::context::OperationContext;

/// What can be watched.
pub(crate) struct Subscription;

/// Changes of screen recordings.
#[Subscriptions]
impl Subscription {
    /// The record now, then again whenever it changes; completes after a final status.
    ///
    /// `null` comes with an error that says why, and is the last that comes. While the upstream is
    /// out of reach or throttles, the last state stands and nothing comes.
    async fn screen_record(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Project the desktop belongs to: 1 to 64 of `A-Z a-z 0-9 _ -`.")]
        project_id: ID,
        #[graphql(
            desc = "Id of the recording, with or without dashes: 1 to 64 of `A-Z a-z 0-9 _ -`."
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
        let (project, asked) = (project.clone(), asked.clone());
        state.map(|record| ScreenRecord::asked(record, project, &asked))
    }))
}
