//! The access log's line for an operation of a socket or an event stream, when its stream has ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use tracing::Span;

use super::access_log::{code_of, shown_counts, shown_name, shown_projects, shown_regions};
use super::metrics::{HttpMetrics, OperationOutcome};
use super::request_origin::RequestOrigin;
use super::response::Served;
use super::spans as http_spans;
use super::state::Endpoint;
use crate::clock::Clock;
use crate::graphql::OperationContext;
use crate::records::{AskedProjects, ReadSummary};
use crate::spans;

/// Adds up the answers of an operation, and writes its line when it is dropped.
///
/// A stream may never end, so nothing in here grows with its answers.
pub(crate) struct StreamAccessLog {
    pub(crate) origin: RequestOrigin,
    /// The operation's name.
    pub(crate) name: Option<Arc<str>>,
    /// Ends with the stream.
    span: Span,
    /// What the line names: the span, or the one above it where the trace is not sampled.
    logged_span: SpanContext,
    context: OperationContext,
    answers: usize,
    outcome: OperationOutcome,
    asked: AskedProjects,
    cache_outcomes: BTreeMap<&'static str, usize>,
    error_codes: BTreeMap<String, usize>,
    started: Instant,
    clock: Clock,
    metrics: HttpMetrics,
}

impl StreamAccessLog {
    pub(crate) fn begin(
        endpoint: &Endpoint,
        origin: RequestOrigin,
        name: Option<Arc<str>>,
        span: Span,
        context: OperationContext,
    ) -> Self {
        Self {
            origin,
            name,
            logged_span: spans::context_of(&span).span().span_context().clone(),
            span,
            context,
            answers: 0,
            outcome: OperationOutcome::Ok,
            asked: AskedProjects::default(),
            cache_outcomes: BTreeMap::new(),
            error_codes: BTreeMap::new(),
            started: endpoint.clock.now(),
            clock: endpoint.clock.clone(),
            metrics: endpoint.metrics.clone(),
        }
    }

    /// Adds an answer and what was read for it.
    pub(crate) fn add(&mut self, served: &Served, read: &ReadSummary) {
        self.answers += 1;
        self.outcome = self.outcome.max(served.outcome());
        http_spans::operation_answered(&self.span, served);
        for code in served.answer.errors().iter().map(code_of) {
            self.metrics.count_error(&code);
            *self.error_codes.entry(code).or_default() += 1;
        }
        self.add_read(read);
    }

    fn add_read(&mut self, read: &ReadSummary) {
        for read in &read.reads {
            *self.cache_outcomes.entry(read.outcome.as_str()).or_default() += 1;
        }
        self.asked.add(&read.asked);
    }
}

impl Drop for StreamAccessLog {
    fn drop(&mut self) {
        // The stream may end before its first answer, and in the middle of one.
        self.add_read(&self.context.take_summary());
        let took = self.clock.now().saturating_duration_since(self.started);
        let Self { origin: RequestOrigin { caller, id, app, .. }, name, logged_span, .. } = self;
        self.metrics.count_operation(self.outcome, app);
        tracing::info!(
            request.id = %id,
            trace_id = spans::trace_id(logged_span).map(display),
            span_id = spans::span_id(logged_span).map(display),
            caller.name = caller.name.as_deref().map(display),
            graphql.client.name = app.name.as_deref().map(display),
            graphql.client.version = app.version.as_deref().map(display),
            graphql.operation = name.as_deref().map(shown_name),
            projects = shown_projects(&self.asked),
            regions = shown_regions(&self.asked),
            answers = self.answers,
            cache = shown_counts(&self.cache_outcomes),
            errors = shown_counts(&self.error_codes),
            duration_ms = took.as_secs_f64() * 1000.0,
            "stream ended"
        );
    }
}
