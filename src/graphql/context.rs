//! What the resolvers of an operation share.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Context, QueryPathSegment};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::response_size::ResponseSize;
use crate::domain::{Failure, ProjectId, RecordId, ScreenRecord, TimeLimit, UpstreamAnswer};
use crate::records::{self, AuditEventKind, ReadSummary, Reader, Siblings};

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

impl OperationContext {
    /// A context for an operation that begins now and may take `limits.request_timeout`. `size` counts
    /// the response that the operation is part of.
    pub fn new(reader: Arc<Reader>, timeout: Duration, size: Arc<ResponseSize>) -> Self {
        let execution = Execution { reader, deadline: Instant::now() + timeout };
        Self { execution: Arc::new(Mutex::new(execution)), timeout, size }
    }

    /// The context of the operation that a field belongs to.
    pub(crate) fn of<'c>(field: &Context<'c>) -> &'c Self {
        field.data_unchecked()
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

    pub(crate) fn reader(&self) -> Arc<Reader> {
        Arc::clone(&self.execution.lock().reader)
    }

    /// One recording.
    pub(crate) async fn screen_record(
        &self,
        project: ProjectId,
        id: RecordId,
        siblings: Siblings,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        let reader = self.reader();
        let reading = pin!(reader.screen_record(project.clone(), id.clone(), siblings));
        let record = self.within(reading).await?;
        reader.audit_recording(AuditEventKind::Read, &project, id.as_str(), &record);
        Ok(record)
    }

    /// Reads for a field, and notes the field's path if the request asks what was read for it.
    pub(crate) async fn read_for<T>(
        &self,
        path: impl FnOnce() -> Vec<Value>,
        reading: impl Future<Output = Result<T, Failure>> + Send,
    ) -> Result<T, Failure> {
        if !self.reader().is_explained() {
            return self.within(reading).await;
        }
        Box::pin(records::at(path(), self.within(reading))).await
    }

    /// What is read, or the failure that time is up: the other fields stand.
    async fn within<T>(
        &self,
        reading: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let deadline = self.execution.lock().deadline;
        let in_time = timeout_at(deadline, pin!(reading)).await;
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
pub(crate) fn path_of(field: &Context<'_>) -> Vec<Value> {
    let nodes = std::iter::successors(field.path_node.as_ref(), |node| node.parent);
    let mut path: Vec<Value> = nodes
        .map(|node| match node.segment {
            QueryPathSegment::Index(index) => index.into(),
            QueryPathSegment::Name(name) => name.into(),
        })
        .collect();
    path.reverse();
    path
}
