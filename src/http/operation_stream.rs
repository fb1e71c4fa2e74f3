//! The answers to one operation of a socket or an event stream.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use tracing::Span;

use super::access_log::{AccessLogEntry, Ended, code_of};
use super::audit_log::AuditLog;
use super::caller_request::RequestOrigin;
use super::metrics::{HttpMetrics, OperationOutcome};
use super::refusal::Refusal;
use super::response::OperationResponse;
use super::spans as http_spans;
use super::state::{Endpoint, MainParts};
use super::unsent;
use crate::clock::Clock;
use crate::fair_semaphore::{FairSemaphore, Permit};
use crate::graphql::{Answer, Operation, OperationContext, ResponseSize};
use crate::records::RequestContext;
use crate::spans::context_of;

/// One answer of a stream.
pub(crate) struct StreamedAnswer {
    pub(crate) result: Answer,
    pub(crate) json: Bytes,
    /// To be kept until the client has the answer.
    pub(crate) room: Option<Permit>,
}

/// Writes the answers of an operation. At the end of the stream the log says what became of it.
struct AnswerWriter {
    origin: RequestOrigin,
    /// Ends with the stream.
    span: Span,
    /// What the log names: the span, or the one above it where the trace is not sampled.
    logged_span: SpanContext,
    context: OperationContext,
    log: AccessLogEntry,
    answers: usize,
    outcome: OperationOutcome,
    started: Instant,
    clock: Clock,
    metrics: HttpMetrics,
    unsent: FairSemaphore,
    audit: AuditLog,
}

/// The answers to an operation: one for a query, any number for a subscription. The span ends with the stream.
pub(crate) fn answers(
    endpoint: &Endpoint,
    origin: RequestOrigin,
    asking: RequestContext,
    operation: Operation,
    span: Span,
) -> BoxStream<'static, StreamedAnswer> {
    let Endpoint { engine, parts: MainParts { records, limits, .. }, .. } = endpoint;
    let trace = context_of(&span);
    let reader = Arc::new(records.reader(asking));
    let size = Arc::new(ResponseSize::new(limits.max_response_bytes));
    let context = OperationContext::new(reader, limits.request_timeout, size);
    let caller = origin.caller.name.clone();
    let operation_name = operation.operation_name.clone();
    let writer = AnswerWriter {
        origin,
        logged_span: trace.span().span_context().clone(),
        span,
        context: context.clone(),
        log: AccessLogEntry::of(caller, operation_name),
        answers: 0,
        outcome: OperationOutcome::Ok,
        started: endpoint.parts.clock.now(),
        clock: endpoint.parts.clock.clone(),
        metrics: endpoint.parts.metrics.clone(),
        unsent: endpoint.unsent.clone(),
        audit: endpoint.parts.audit.clone(),
    };
    let executed = match engine.admit(vec![operation]) {
        Ok(admitted) => {
            let engine = engine.clone();
            let execute = move |admitted| engine.execute_stream(admitted, context.clone());
            stream::iter(admitted).flat_map(execute).boxed()
        }
        Err(error) => stream::iter([Answer::refused(vec![error])]).boxed(),
    };
    let written = stream::unfold(Some((executed, writer)), |state| async {
        let (mut executed, mut writer) = state?;
        let (answer, outcome) = writer.write(executed.next().await?).await;
        Some((answer, outcome.is_ok().then_some((executed, writer))))
    });
    written.with_context(trace).boxed()
}

impl AnswerWriter {
    /// Writes an answer. With a refusal it is the last one: an error in place of what may not be shown.
    async fn write(&mut self, result: Answer) -> (StreamedAnswer, Result<(), Refusal>) {
        let read = self.context.take_summary();
        let mut response = OperationResponse::new(self.log.operation.as_ref(), result, read);
        let mut json = response.write(self.context.size());
        let caller = || self.origin.caller.identity.limit_key();
        let room = unsent::reserve(&self.unsent, caller, json.len());
        let mut room = room.unwrap_or_else(|refusal| {
            response.fail(refusal.into_error());
            json = response.write(self.context.size());
            None
        });
        let lines = self.audit.lines(&self.origin, [&response.events]);
        let outcome = self.audit.write(lines).await;
        if let Err(refusal) = &outcome {
            response.fail(refusal.clone().into_error());
            (json, room) = (response.write(self.context.size()), None);
        }
        self.add(&mut response);
        (StreamedAnswer { result: response.result, json, room }, outcome)
    }

    fn add(&mut self, response: &mut OperationResponse) {
        self.answers += 1;
        self.outcome = self.outcome.max(response.outcome());
        http_spans::operation_answered(&self.span, response);
        for code in response.result.errors.iter().map(code_of) {
            self.log.add_error(code, &self.metrics);
        }
        self.log.add_read(std::mem::take(&mut response.read));
    }
}

impl Drop for AnswerWriter {
    fn drop(&mut self) {
        // The stream may end before its first answer, and in the middle of one.
        self.log.add_read(self.context.take_summary());
        let RequestOrigin { id, app, .. } = &self.origin;
        self.metrics.count_operation(self.outcome, app);
        self.log.log(&Ended {
            message: "stream ended",
            id,
            span: &self.logged_span,
            app,
            status: None,
            answers: Some(self.answers),
            took: self.clock.now().saturating_duration_since(self.started),
        });
    }
}
