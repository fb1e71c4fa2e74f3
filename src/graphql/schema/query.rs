//! The root of all queries.

use async_graphql::{Context, ID, MergedObject, Object};

use super::connection::{Connection, DEFAULT_FIRST, wanted};
use super::entity::FederationQuery;
use super::screen_record::ScreenRecord;
use super::screen_record_filter::{ScreenRecordFilter, record_query};
use super::screen_record_order::ScreenRecordOrder;
use crate::domain::{Failure, ProjectId};
use crate::graphql::context::{FieldRow, OperationContext};

/// Screen recordings of cloud desktops.
// With what federation routers ask for, which is hidden.
#[derive(MergedObject)]
#[graphql(name = "Query")]
pub(crate) struct Root(pub(crate) RecordQuery, pub(crate) FederationQuery);

/// Screen recordings of cloud desktops.
// What the schema shows.
#[derive(MergedObject)]
#[graphql(name = "Query")]
pub(crate) struct ShownRoot(pub(crate) RecordQuery);

/// Queries for recordings.
pub(crate) struct RecordQuery;

#[Object]
impl RecordQuery {
    /// One screen recording of a cloud desktop.
    ///
    /// However often an operation asks for the same recording, and however many operations ask at
    /// the same time, the upstream is called once. `null` comes with an error that says why:
    /// `NOT_FOUND` where there is no such recording, `FORBIDDEN` or `UNAUTHENTICATED` where the
    /// token does not allow it, `BAD_USER_INPUT` for an id that cannot exist.
    async fn screen_record(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Project the desktop belongs to: 1 to 64 of `A-Z a-z 0-9 _ -`.")]
        project_id: ID,
        #[graphql(
            desc = "Id of the recording, with or without dashes: 1 to 64 of `A-Z a-z 0-9 _ -`."
        )]
        id: ID,
    ) -> Option<Result<ScreenRecord, Failure>> {
        Some(ScreenRecord::read(FieldRow::of(context), &project_id, &id).await)
    }

    /// The screen recordings of a project, the newest first; a Relay connection.
    ///
    /// Every recording in the answer is in the cache afterwards, so that opening one costs no
    /// upstream call. While recordings come and go between two parts, none is shown twice.
    #[expect(clippy::too_many_arguments, reason = "the arguments of the field, one by one")]
    async fn screen_records(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Project the desktops belong to: 1 to 64 of `A-Z a-z 0-9 _ -`.")]
        project_id: ID,
        #[graphql(desc = "Narrows the list; every part that is given has to hold.")] filter: Option<
            ScreenRecordFilter,
        >,
        #[graphql(desc = "How the list is sorted.")] order_by: Option<ScreenRecordOrder>,
        #[graphql(
            default_with = "Some(DEFAULT_FIRST)",
            desc = "The most recordings to show, 0 to 1000."
        )]
        first: Option<i32>,
        #[graphql(desc = "Shows those that follow this cursor.")] after: Option<String>,
    ) -> Result<Connection<ScreenRecord>, Failure> {
        let wanted = wanted(context, first, after);
        let project = ProjectId::parse(&project_id)?;
        let operation = context.data_unchecked::<OperationContext>();
        let query = record_query(filter, order_by);
        let reader = operation.reader();
        let reading = reader.screen_records(project.clone(), query, wanted);
        let reading = operation.for_field(FieldRow::of(context), operation.within(reading));
        let slice = reading.await?;
        Ok(Connection::new(slice, |record| ScreenRecord::listed(record, project.clone())))
    }
}
