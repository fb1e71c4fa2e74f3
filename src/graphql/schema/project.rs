//! A project of the settings, and its recordings.

use async_graphql::{Context, ID, Object};

use super::connection::{DEFAULT_FIRST, ListPage, wanted};
use super::screen_record::ScreenRecord;
use super::screen_record_filter::ScreenRecordFilter;
use super::screen_record_order::ScreenRecordOrder;
use super::screen_record_statistics::{DEFAULT_TIME_ZONE, ScreenRecordStatistics};
use crate::config::ProjectConfig;
use crate::domain::{Failure, ProjectId};
use crate::graphql::context::OperationContext;
use crate::records::GroupBy;

/// A project that the gateway's settings name.
pub(crate) struct Project(pub(crate) ProjectConfig);

impl Project {
    /// The id, if this caller's token may read several projects.
    fn readable(&self, context: &Context<'_>) -> Result<ProjectId, Failure> {
        OperationContext::of(context).reader().check_several_projects()?;
        Ok(self.0.id.clone())
    }
}

/// A project that the gateway's settings name.
#[Object]
impl Project {
    /// Id of the project, as the settings write it.
    async fn id(&self) -> ID {
        ID::from(self.0.id.as_str())
    }

    /// Name of the project in the settings.
    async fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Region of the project, such as `ap-southeast-1`.
    async fn region(&self) -> Option<&str> {
        self.0.target.region.as_deref()
    }

    /// Screen recordings of the project, as `Query.screenRecords` lists them. Projects are read at the same
    /// time, each from its own region; one that fails is `null` with an error of its own.
    ///
    /// If the gateway passes each caller's token on, the field is `null` with `FORBIDDEN`: such a token is
    /// for one project.
    #[expect(clippy::too_many_arguments, reason = "the arguments of the field, one by one")]
    async fn screen_records(
        &self,
        context: &Context<'_>,
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
    ) -> Option<Result<ListPage<ScreenRecord>, Failure>> {
        let (project, request) = (self.readable(context), wanted(context, first, after));
        Some(ScreenRecord::list(context, project, filter, order_by, request).await)
    }

    /// Number, length and size of the recordings of the project, by group, as
    /// `Query.screenRecordStatistics` counts them. `null` where `screenRecords` is.
    async fn screen_record_statistics(
        &self,
        context: &Context<'_>,
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
        let project = self.readable(context);
        Some(ScreenRecordStatistics::read(context, project, filter, group_by, time_zone).await)
    }
}
