//! What resolvers find in the context of an operation.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Context, QueryPathSegment};
use futures_util::stream::Stream;
use tokio::time::{Instant, timeout_at};

use crate::domain::{Failure, ProjectId, RecordId, ScreenRecord, TimeLimit};
use crate::records::{self, Reader, Step};

/// The reader of an operation and the time until which it may read.
#[derive(Clone)]
pub struct OperationContext {
    reader: Arc<Reader>,
    deadline: Instant,
}

impl OperationContext {
    /// A context for an operation that begins now and may take `limits.request_timeout`.
    pub fn new(reader: Arc<Reader>, longest: Duration) -> Self {
        Self { reader, deadline: Instant::now() + longest }
    }

    /// The states of a recording, as they come.
    pub(crate) fn watch(
        &self,
        project: ProjectId,
        id: RecordId,
    ) -> Result<impl Stream<Item = Result<Arc<ScreenRecord>, Failure>> + Send + use<>, Failure>
    {
        self.reader.watch(project, id)
    }

    /// One recording.
    pub(crate) async fn screen_record(
        &self,
        project: ProjectId,
        id: RecordId,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        self.within(self.reader.screen_record(project, id)).await
    }

    /// The one recording that an operation asks for.
    pub(crate) async fn only_screen_record(
        &self,
        project: ProjectId,
        id: RecordId,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        self.within(self.reader.only_screen_record(project, id)).await
    }

    /// A link to the video of a recording.
    pub(crate) async fn download_url(
        &self,
        project: ProjectId,
        id: RecordId,
    ) -> Result<Option<String>, Failure> {
        match self.within(self.reader.download_link(project, id)).await? {
            None => Ok(None),
            Some(Ok(link)) => Ok(Some(link.expose().to_owned())),
            Some(Err(unreadable)) => Err(Failure::Unreadable(unreadable)),
        }
    }

    pub(crate) fn shared_reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// What is read for a field, or for a row of its list, noted as that where it is asked what was
    /// read.
    pub(crate) async fn for_field<T>(
        &self,
        (field, row): (&Context<'_>, Option<usize>),
        reading: impl Future<Output = T> + Send,
    ) -> T {
        if !self.reader.is_explained() {
            return reading.await;
        }
        let mut path = path_of(field);
        path.extend(row.map(Step::Index));
        Box::pin(records::at(path, reading)).await
    }

    /// What is read, or the failure that time is up: the other fields stand.
    pub(crate) async fn within<T>(
        &self,
        reading: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let in_time = timeout_at(self.deadline, reading).await;
        in_time.unwrap_or(Err(Failure::TimedOut(TimeLimit::Operation)))
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
