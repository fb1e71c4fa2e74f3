//! The root of all queries.

use std::sync::Arc;

use async_graphql::{Any, Context, ID, Object};

use super::connection::{DEFAULT_FIRST, ListPage, wanted};
use super::entity::{Service, read_entities};
use super::project::Project;
use super::screen_record::ScreenRecord;
use super::screen_record_filter::ScreenRecordFilter;
use super::screen_record_order::ScreenRecordOrder;
use super::screen_record_statistics::{DEFAULT_TIME_ZONE, ScreenRecordStatistics};
use crate::domain::{Failure, ProjectId};
use crate::graphql::context::{OperationContext, path_of};
use crate::records::GroupBy;

/// What can be read.
#[derive(Default)]
pub(crate) struct Query {
    /// The schema with its federation directives, for routers.
    pub(crate) federation_sdl: Arc<str>,
}

/// Screen recordings of cloud desktops.
#[Object]
impl Query {
    /// One screen recording of a cloud desktop.
    ///
    /// Reads of the same recording share one upstream call, within an operation and between concurrent
    /// operations of a caller.
    ///
    /// If the recording cannot be read, the field is `null` with an error. Its code is `NOT_FOUND` if
    /// there is no such recording, `FORBIDDEN` or `UNAUTHENTICATED` if the caller may not read it, and
    /// `BAD_USER_INPUT` if an id is malformed.
    async fn screen_record(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Id of the project: 1 to 64 characters of `A-Z a-z 0-9 _ -`.")]
        project_id: ID,
        #[graphql(
            desc = "Id of the recording, with or without dashes: 1 to 64 characters of `A-Z a-z 0-9 _ -`."
        )]
        id: ID,
    ) -> Option<Result<ScreenRecord, Failure>> {
        let operation = OperationContext::of(context);
        Some(ScreenRecord::read(operation, || path_of(context), &project_id, &id).await)
    }

    /// Screen recordings of a project, as a Relay connection. By default the newest comes first.
    ///
    /// The gateway caches each recording of the answer, so that opening one needs no upstream call.
    /// Recordings that are added or removed between two pages do not repeat rows.
    #[expect(clippy::too_many_arguments, reason = "the arguments of the field, one by one")]
    async fn screen_records(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Id of the project: 1 to 64 characters of `A-Z a-z 0-9 _ -`.")]
        project_id: ID,
        #[graphql(desc = "Restricts the list. A row must match every given field.")] filter: Option<
            ScreenRecordFilter,
        >,
        #[graphql(desc = "Order of the list; by default `START_TIME`, `DESC`.")] order_by: Option<
            ScreenRecordOrder,
        >,
        #[graphql(
            default_with = "Some(DEFAULT_FIRST)",
            desc = "Maximum number of recordings to return, from 0 to 1000."
        )]
        first: Option<i32>,
        #[graphql(desc = "Returns only rows after this cursor.")] after: Option<String>,
    ) -> Result<ListPage<ScreenRecord>, Failure> {
        let (project, request) = (ProjectId::parse(&project_id), wanted(context, first, after));
        ScreenRecord::list(context, project, filter, order_by, request).await
    }

    /// The projects that the gateway's settings name and the caller may see, in the order of the settings.
    async fn projects(&self, context: &Context<'_>) -> Result<Vec<Project>, Failure> {
        let projects = OperationContext::of(context).reader().projects()?;
        Ok(projects.into_iter().map(Project).collect())
    }

    /// Number, length and size of the recordings of a project, by group.
    ///
    /// The gateway reads the rows of the list, up to `limits.max_scanned_rows` for each operation, and caches
    /// them: another question about the same list needs no upstream call for some seconds. `null` with an
    /// error if a part of the list cannot be read.
    #[expect(clippy::too_many_arguments, reason = "the arguments of the field, one by one")]
    async fn screen_record_statistics(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Id of the project: 1 to 64 characters of `A-Z a-z 0-9 _ -`.")]
        project_id: ID,
        #[graphql(desc = "Restricts the recordings. A recording must match every given field.")]
        filter: Option<ScreenRecordFilter>,
        #[graphql(
            desc = "What to group by: at most two different values, and not `HOUR` with `DAY`. Without it, \
                    all recordings are one group."
        )]
        group_by: Option<Vec<GroupBy>>,
        #[graphql(
            default_with = "Some(DEFAULT_TIME_ZONE.to_owned())",
            desc = "IANA time zone in which hours and days begin, such as `Asia/Shanghai`."
        )]
        time_zone: Option<String>,
    ) -> Option<Result<ScreenRecordStatistics, Failure>> {
        let project = ProjectId::parse(&project_id);
        Some(ScreenRecordStatistics::read(context, project, filter, group_by, time_zone).await)
    }

    /// This subgraph, for federation routers.
    #[graphql(name = "_service", visible = false)]
    async fn service(&self) -> Service {
        Service { sdl: Arc::clone(&self.federation_sdl) }
    }

    /// Entities by their keys, for federation routers: read side by side, through the same loader as
    /// everything else. A recording is the only entity that this graph resolves.
    #[graphql(name = "_entities", visible = false)]
    async fn entities(
        &self,
        context: &Context<'_>,
        representations: Vec<Any>,
    ) -> Vec<Option<Result<ScreenRecord, Failure>>> {
        read_entities(context, &representations).await.into_iter().map(Some).collect()
    }
}
