//! The answers to one operation of a socket or an event stream.

use std::sync::Arc;

use axum::body::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::TraceContextExt as _;
use tracing::Span;

use super::audit_log::{AnswerEvents, AuditLog, AuditSource, AuditUnavailable};
use super::client_app::ClientApp;
use super::refusal::Refusal;
use super::response::Served;
use super::state::Endpoint;
use super::stream_access_log::{LoggedOperation, StreamAccessLog};
use super::unsent::{self, NoRoom, Room};
use crate::domain::LimitKey;
use crate::fair_semaphore::FairSemaphore;
use crate::graphql::{Answer, Operation, OperationContext, ResponseSize};
use crate::records::RequestContext;
use crate::spans::context_of;

/// An operation whose answers are streamed, and who sent it.
pub(crate) struct StreamedOperation {
    pub(crate) operation: Operation,
    pub(crate) asking: RequestContext,
    pub(crate) caller_name: Option<Arc<str>>,
    pub(crate) app: ClientApp,
    pub(crate) source: AuditSource,
    /// Ends with the stream.
    pub(crate) span: Span,
}

/// One answer of a stream.
pub(crate) struct StreamedAnswer {
    pub(crate) served: Served,
    pub(crate) json: Bytes,
    /// To be kept until the client has the answer.
    pub(crate) room: Option<Room>,
}

/// The answers to an operation: one for a query, any number for a subscription. The log says at the
/// end of the stream what became of it.
pub(crate) fn answers(
    endpoint: &Endpoint,
    streamed: StreamedOperation,
) -> BoxStream<'static, StreamedAnswer> {
    let Endpoint { engine, records, limits, metrics, clock, .. } = endpoint;
    let StreamedOperation { operation, asking, caller_name, app, source, span } = streamed;
    let trace = context_of(&span);
    let caller = asking.identity.limit_key();
    let (name, request_id) = (operation.operation_name.clone(), Arc::clone(&asking.request_id));
    let reader = Arc::new(records.reader(asking));
    let size = Arc::new(ResponseSize::new(limits.max_response_bytes));
    let context = OperationContext::new(reader, limits.request_timeout, size);
    let logged_span = trace.span().span_context().clone();
    let logged =
        LoggedOperation { name: name.clone(), request_id, caller_name, app, span, logged_span };
    let log = StreamAccessLog::begin(logged, context.clone(), metrics, clock);
    let executed = match engine.admit(vec![operation]) {
        Ok(admitted) => {
            let (engine, context) = (engine.clone(), context.clone());
            let execute = move |admitted| engine.execute_stream(admitted, context.clone());
            stream::iter(admitted).flat_map(execute).boxed()
        }
        Err(error) => stream::iter([Served::refused(error).answer]).boxed(),
    };
    let (unsent, audit) = (endpoint.unsent.clone(), endpoint.audit.clone());
    let writer = AnswerWriter { context, log, unsent, caller, audit, source, name };
    let written = stream::unfold(Some((executed, writer)), |state| async {
        let (mut executed, mut writer) = state?;
        let (answer, outcome) = writer.write(executed.next().await?).await;
        Some((answer, outcome.is_ok().then_some((executed, writer))))
    });
    written.with_context(trace).boxed()
}

/// Turns answers into what is sent.
struct AnswerWriter {
    context: OperationContext,
    log: StreamAccessLog,
    unsent: FairSemaphore,
    caller: LimitKey,
    audit: AuditLog,
    source: AuditSource,
    /// The operation's name.
    name: Option<Arc<str>>,
}

impl AnswerWriter {
    /// Writes an answer. With [`AuditUnavailable`] it is the last one: an error in place of what may not be
    /// shown.
    async fn write(&mut self, answer: Answer) -> (StreamedAnswer, Result<(), AuditUnavailable>) {
        let mut read = self.context.take_summary();
        let events = AnswerEvents::take(self.name.as_ref(), &mut read);
        let mut served = Served { answer, is_stale: read.is_stale_on_error(), events };
        let mut json = served.write(self.context.size());
        let mut room =
            unsent::reserve(&self.unsent, || self.caller, json.len()).unwrap_or_else(|NoRoom| {
                served.fail(Refusal::too_much_unsent().into_error());
                json = served.write(self.context.size());
                None
            });
        let outcome = self.audit.write(self.audit.lines(&self.source, [&served.events])).await;
        if outcome.is_err() {
            served.fail(Refusal::audit_unavailable().into_error());
            (json, room) = (served.write(self.context.size()), None);
        }
        self.log.add(&served, &read);
        (StreamedAnswer { served, json, room }, outcome)
    }
}
