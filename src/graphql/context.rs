//! What the resolvers of an operation share.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Context, QueryPathSegment};
use futures_util::stream::Stream;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::response_size::ResponseSize;
use crate::domain::{
    DownloadLink, Failure, ProjectId, RecordId, RecordSelection, ScreenRecord, TimeLimit,
    UpstreamAnswer,
};
use crate::records::{self, AuditEventKind, ReadSummary, Reader, RowChange, Step};

/// The reader and the deadline of an operation. Clones share them.
#[derive(Clone)]
pub struct OperationContext {
    /// Replaced for each event of a subscription.
    execution: Arc<Mutex<Execution>>,
    timeout: Duration,
    size: Arc<ResponseSize>,
}

/// What one answer is made with.
struct Execution {
    reader: Arc<Reader>,
    deadline: Instant,
}

/// A field, or a row of the list that it answers.
#[derive(Clone, Copy)]
pub(crate) struct FieldRow<'c> {
    pub(crate) field: &'c Context<'c>,
    pub(crate) row: Option<usize>,
}

impl<'c> FieldRow<'c> {
    pub(crate) fn of(field: &'c Context<'c>) -> Self {
        Self { field, row: None }
    }
}

impl OperationContext {
    /// A context for an operation that begins now and may take `limits.request_timeout`. `size` counts
    /// the response that the operation is part of.
    pub fn new(reader: Arc<Reader>, timeout: Duration, size: Arc<ResponseSize>) -> Self {
        let execution = Execution { reader, deadline: Instant::now() + timeout };
        Self { execution: Arc::new(Mutex::new(execution)), timeout, size }
    }

    /// The size of the response so far.
    pub fn size(&self) -> &ResponseSize {
        &self.size
    }

    /// Gives the next event of a subscription a deadline and a reader of its own: a subscription has
    /// no end, and what failed for one event may succeed for the next.
    pub(crate) fn begin_event(&self) {
        let mut execution = self.execution.lock();
        let reader = Arc::new(execution.reader.renewed());
        *execution = Execution { reader, deadline: Instant::now() + self.timeout };
        self.size.reset();
    }

    /// What was read since the last call.
    pub fn take_summary(&self) -> ReadSummary {
        self.reader().take_summary()
    }

    /// The states of a recording, as they come.
    pub(crate) fn watch(
        &self,
        project: ProjectId,
        id: RecordId,
    ) -> Result<impl Stream<Item = Result<Arc<ScreenRecord>, Failure>> + Send + use<>, Failure>
    {
        self.reader().watch(project, id)
    }

    /// The changes of a list, as they come.
    pub(crate) fn watch_list(
        &self,
        project: ProjectId,
        selection: RecordSelection,
    ) -> Result<impl Stream<Item = Result<RowChange, Failure>> + Send + use<>, Failure> {
        self.reader().watch_list(project, selection)
    }

    /// One recording.
    pub(crate) async fn screen_record(
        &self,
        project: ProjectId,
        id: RecordId,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        let reader = self.reader();
        let record = self.within(reader.screen_record(project.clone(), id.clone())).await?;
        reader.audit_recording(AuditEventKind::Read, &project, id.as_str(), &record);
        Ok(record)
    }

    /// The one recording that an operation asks for.
    pub(crate) async fn only_screen_record(
        &self,
        project: ProjectId,
        id: RecordId,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        let reader = self.reader();
        let record = self.within(reader.only_screen_record(project.clone(), id.clone())).await?;
        reader.audit_recording(AuditEventKind::Read, &project, id.as_str(), &record);
        Ok(record)
    }

    /// A link to the video of a recording.
    pub(crate) async fn download_link(
        &self,
        project: ProjectId,
        id: RecordId,
    ) -> Result<Option<DownloadLink>, Failure> {
        let link = self.within(self.reader().download_link(project, id)).await?;
        link.transpose().map_err(Failure::Unreadable)
    }

    pub(crate) fn reader(&self) -> Arc<Reader> {
        Arc::clone(&self.execution.lock().reader)
    }

    /// Reads for a field, and notes the field's path if the request asks what was read for it.
    pub(crate) async fn for_field<T>(
        &self,
        place: FieldRow<'_>,
        reading: impl Future<Output = T> + Send,
    ) -> T {
        if !self.reader().is_explained() {
            return reading.await;
        }
        let mut path = path_of(place.field);
        path.extend(place.row.map(Step::Index));
        Box::pin(records::at(path, reading)).await
    }

    /// What is read, or the failure that time is up: the other fields stand.
    pub(crate) async fn within<T>(
        &self,
        reading: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let deadline = self.execution.lock().deadline;
        let in_time = timeout_at(deadline, reading).await;
        let read = in_time.unwrap_or(Err(Failure::TimedOut(TimeLimit::Operation)));
        read.map_err(|failure| self.counted(failure))
    }

    /// Counts what the upstream said with a failure: each error of the response repeats it. Once the
    /// response is too large to be sent, it is left out.
    fn counted(&self, failure: Failure) -> Failure {
        if self.size.is_exceeded() {
            return Failure::ResponseTooLarge;
        }
        self.size.add(failure.upstream().map_or(0, UpstreamAnswer::text_bytes));
        failure
    }
}

/// The path of a field, as it stands in errors.
fn path_of(field: &Context<'_>) -> Vec<Step> {
    let nodes = std::iter::successors(field.path_node.as_ref(), |node| node.parent);
    let mut path: Vec<Step> = nodes
        .map(|node| match node.segment {
            QueryPathSegment::Index(index) => Step::Index(index),
            QueryPathSegment::Name(name) => Step::Name(name.to_owned()),
        })
        .collect();
    path.reverse();
    path
}
