//! The answers to one operation of a socket or an event stream.

use std::sync::Arc;

use axum::body::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use opentelemetry::context::FutureExt as _;
use tracing::Span;

use super::audit_log::{AnswerEvents, AuditLog};
use super::refusal::Refusal;
use super::request_origin::RequestOrigin;
use super::response::Served;
use super::state::Endpoint;
use super::stream_access_log::StreamAccessLog;
use super::unsent;
use crate::fair_semaphore::{FairSemaphore, Permit};
use crate::graphql::{Answer, Operation, OperationContext, ResponseSize};
use crate::records::RequestContext;
use crate::spans::context_of;

/// One answer of a stream.
pub(crate) struct StreamedAnswer {
    pub(crate) served: Served,
    pub(crate) json: Bytes,
    /// To be kept until the client has the answer.
    pub(crate) room: Option<Permit>,
}

/// The answers to an operation: one for a query, any number for a subscription. The log says at the
/// end of the stream what became of it. The span ends with the stream.
pub(crate) fn answers(
    endpoint: &Endpoint,
    origin: RequestOrigin,
    asking: RequestContext,
    operation: Operation,
    span: Span,
) -> BoxStream<'static, StreamedAnswer> {
    let Endpoint { engine, records, limits, .. } = endpoint;
    let trace = context_of(&span);
    let reader = Arc::new(records.reader(asking));
    let size = Arc::new(ResponseSize::new(limits.max_response_bytes));
    let context = OperationContext::new(reader, limits.request_timeout, size);
    let name = operation.operation_name.clone();
    let log = StreamAccessLog::begin(endpoint, origin, name, span, context.clone());
    let executed = match engine.admit(vec![operation]) {
        Ok(admitted) => {
            let (engine, context) = (engine.clone(), context.clone());
            let execute = move |admitted| engine.execute_stream(admitted, context.clone());
            stream::iter(admitted).flat_map(execute).boxed()
        }
        Err(error) => stream::iter([Answer::Refused(vec![error])]).boxed(),
    };
    let (unsent, audit) = (endpoint.unsent.clone(), endpoint.audit.clone());
    let writer = AnswerWriter { context, log, unsent, audit };
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
    audit: AuditLog,
}

impl AnswerWriter {
    /// Writes an answer. With a refusal it is the last one: an error in place of what may not be shown.
    async fn write(&mut self, answer: Answer) -> (StreamedAnswer, Result<(), Refusal>) {
        let mut read = self.context.take_summary();
        let events = AnswerEvents::take(self.log.name.as_ref(), &mut read);
        let mut served = Served { answer, is_stale: read.is_stale_on_error(), events };
        let mut json = served.write(self.context.size());
        let caller = || self.log.origin.caller.identity.limit_key();
        let room = unsent::reserve(&self.unsent, caller, json.len());
        let mut room = room.unwrap_or_else(|refusal| {
            served.fail(refusal.into_error());
            json = served.write(self.context.size());
            None
        });
        let lines = self.audit.lines(&self.log.origin, [&served.events]);
        let outcome = self.audit.write(lines).await;
        if let Err(refusal) = &outcome {
            served.fail(refusal.clone().into_error());
            (json, room) = (served.write(self.context.size()), None);
        }
        self.log.add(&served, &read);
        (StreamedAnswer { served, json, room }, outcome)
    }
}
