//! A recording, as clients see it.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};
use serde_json::Value;

use super::connection::{DEFAULT_FIRST, ListPage, sent_filter, wanted};
use super::desktop::Desktop;
use super::field::{Counted, shown};
use super::scalars::Long;
use super::screen_record_filter::{ScreenRecordFilter, record_selection};
use super::screen_record_order::ScreenRecordOrder;
use crate::domain::{
    self, DesktopOperation, DownloadLink, Failure, OperationQuery, ProjectId, RecordId, RecordText,
    RecordTime, ScreenRecordStatus, ScreenRecordType, Timestamp, Unreadable, record_fields,
};
use crate::graphql::context::{OperationContext, path_of};
use crate::records::{AuditEventKind, PageRequest, Siblings};

/// A recording and what it is found by.
pub(crate) struct ScreenRecord {
    record: Arc<domain::ScreenRecord>,
    project: ProjectId,
    /// As it was asked for, or as a list gave it.
    id: Arc<str>,
}

impl ScreenRecord {
    /// Reads one recording for the field that is at a path.
    pub(crate) async fn read(
        operation: &OperationContext,
        path: impl FnOnce() -> Vec<Value>,
        project_id: &str,
        id: &str,
    ) -> Result<Self, Failure> {
        let (project, id) = (ProjectId::parse(project_id)?, RecordId::parse(id)?);
        let reading = operation.screen_record(project.clone(), id.clone(), Siblings::Perhaps);
        let record = operation.read_for(path, reading).await?;
        Ok(Self::asked(record, project, &id))
    }

    /// Reads a part of the list of a project's recordings for a field.
    pub(crate) async fn list(
        context: &Context<'_>,
        project: Result<ProjectId, Failure>,
        filter: Option<ScreenRecordFilter>,
        order: Option<ScreenRecordOrder>,
        request: PageRequest,
    ) -> Result<ListPage<Self>, Failure> {
        let project = project?;
        let operation = OperationContext::of(context);
        let reader = operation.reader();
        let selection = record_selection(filter, order);
        let reading = reader.screen_records(project.clone(), selection, request);
        let listed = operation.read_for(|| path_of(context), reading).await?;
        let (kind, rows) = (AuditEventKind::Listed, listed.edges.len());
        reader.audit_list(kind, &project, rows, || sent_filter(context));
        Ok(listed.map(|record| Self::listed(record, project.clone())))
    }

    /// A recording that was asked for.
    pub(crate) fn asked(
        record: Arc<domain::ScreenRecord>,
        project: ProjectId,
        asked: &RecordId,
    ) -> Self {
        Self { record, project, id: Arc::from(asked.as_str()) }
    }

    /// A recording in a list, which has to say its id.
    pub(crate) fn listed(
        record: Arc<domain::ScreenRecord>,
        project: ProjectId,
    ) -> Result<Self, Arc<Unreadable>> {
        let id = record.id().map(Arc::from).ok_or_else(|| Unreadable::new("has no id", ""))?;
        Ok(Self { record, project, id })
    }

    /// What the upstream's calls about this recording take.
    fn key(&self) -> Result<(ProjectId, RecordId), Failure> {
        Ok((self.project.clone(), RecordId::parse(&self.id)?))
    }

    /// The link that is handed out for a field.
    async fn link(&self, field: &Context<'_>) -> Result<Option<DownloadLink>, Failure> {
        let operation = OperationContext::of(field);
        let (project, id) = self.key()?;
        let reader = operation.reader();
        let reading = reader.download_link(project, id);
        let link = operation.read_for(|| path_of(field), reading).await?;
        let link = link.transpose().map_err(Failure::Unreadable)?;
        if link.is_some() {
            self.audit(operation, AuditEventKind::Download);
        }
        Ok(link)
    }

    fn audit(&self, operation: &OperationContext, kind: AuditEventKind) {
        operation.reader().audit_recording(kind, &self.project, &self.id, &self.record);
    }
}

/// The fields of a recording that are texts or timestamps.
struct TextsAndTimes<'r>(&'r domain::ScreenRecord);

macro_rules! declare_resolvers {
    (
        texts { $($(#[$text_doc:meta])* $text:ident $text_name:ident $text_wire:literal $text_shown:literal $text_type:ident,)* }
        times { $($(#[$time_doc:meta])* $time:ident $time_name:ident $time_wire:literal $time_shown:literal,)* }
    ) => {
        #[Object]
        impl TextsAndTimes<'_> {
            $(
                $(#[$text_doc])*
                #[graphql(name = $text_shown)]
                async fn $text_name(&self) -> Option<Result<Counted<$text_type>, Failure>> {
                    shown(self.0.text(RecordText::$text), |text| Counted($text_type::from(text)))
                }
            )*
            $(
                $(#[$time_doc])*
                #[graphql(name = $time_shown)]
                async fn $time_name(&self) -> Option<Result<Timestamp, Failure>> {
                    shown(self.0.time(RecordTime::$time), |time| time)
                }
            )*
        }
    };
}

record_fields!(declare_resolvers);

/// A recording of a cloud desktop's screen.
///
/// A field that the upstream does not send is `null` without an error; `id` and `projectId` never are.
/// A value that cannot be read is `null` with an error `UPSTREAM_INVALID_RESPONSE` at its path. That
/// error holds the value in `extensions.upstream.value`. The other fields are answered.
#[Object]
impl ScreenRecord {
    /// Id of the recording as the upstream sent it, or the requested id if it sent none. Ids that differ
    /// only in case and dashes are the same.
    async fn id(&self) -> Counted<ID> {
        Counted(ID::from(self.record.id().unwrap_or(&self.id)))
    }

    /// Id of the project, as requested.
    async fn project_id(&self) -> ID {
        ID::from(self.project.as_str())
    }

    #[graphql(flatten)]
    async fn texts_and_times(&self) -> TextsAndTimes<'_> {
        TextsAndTimes(&self.record)
    }

    /// Size of the video file in bytes. It may be 0 while the screen is being recorded.
    async fn size(&self) -> Option<Result<Long, Failure>> {
        shown(self.record.size(), Long)
    }

    /// Length of the video in seconds. It may differ from the time between `startTime` and `endTime`.
    async fn duration(&self) -> Option<Result<i32, Failure>> {
        shown(self.record.duration(), |seconds| seconds)
    }

    /// When the screen is recorded. `UNKNOWN` if the gateway does not know the upstream's value, which
    /// `rawType` holds.
    async fn r#type(&self) -> Option<Result<ScreenRecordType, Failure>> {
        shown(self.record.kind(), |kind| kind)
    }

    /// Status of the recording. `UNKNOWN` if the gateway does not know the upstream's value, which
    /// `rawStatus` holds.
    async fn status(&self) -> Option<Result<ScreenRecordStatus, Failure>> {
        shown(self.record.status(), |status| status)
    }

    /// Signed, short-lived link to the video. `null` if there is no video file. One upstream call
    /// fetches the links of up to 100 recordings of an operation.
    ///
    /// The link is a secret: it lets anyone fetch the video until it expires.
    async fn download_url(
        &self,
        context: &Context<'_>,
    ) -> Option<Result<Counted<String>, Failure>> {
        let link = self.link(context).await.transpose()?;
        Some(link.map(|link| Counted(link.expose().to_owned())))
    }

    /// Signed, short-lived link to the video, and when it expires. `null` if there is no video file.
    /// Shares its upstream call with `downloadUrl`.
    async fn download_link(&self, context: &Context<'_>) -> Option<Result<DownloadLink, Failure>> {
        self.link(context).await.transpose()
    }

    /// Operations on the desktop during the recording, as a Relay connection. `null` with an error if
    /// the upstream refuses them; the other fields of the recording are answered.
    async fn operations(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Restricts the list. A row must match every given field.")] filter: Option<
            OperationQuery,
        >,
        #[graphql(
            default_with = "Some(DEFAULT_FIRST)",
            desc = "Maximum number of operations to return, from 0 to 1000."
        )]
        first: Option<i32>,
        #[graphql(desc = "Returns only rows after this cursor.")] after: Option<String>,
    ) -> Option<Result<ListPage<Arc<DesktopOperation>>, Failure>> {
        let operation = OperationContext::of(context);
        let (query, request) = (filter.unwrap_or_default(), wanted(context, first, after));
        let listed = async {
            let (project, id) = self.key()?;
            let reader = operation.reader();
            let reading = reader.desktop_operations(project, id, query, request);
            operation.read_for(|| path_of(context), reading).await
        };
        let listed = listed.await;
        if listed.is_ok() {
            self.audit(operation, AuditEventKind::Operations);
        }
        Some(listed)
    }

    /// The recorded desktop, a stub that other subgraphs can extend. `null` if `desktopId` is `null`.
    async fn desktop(&self) -> Option<Result<Desktop, Failure>> {
        shown(self.record.text(RecordText::DesktopId), |id| Desktop { id: Counted(ID::from(id)) })
    }
}
