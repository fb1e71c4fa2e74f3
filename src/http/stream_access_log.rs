//! The access log's line for an operation of a socket or an event stream, when its stream has ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use opentelemetry::trace::SpanContext;
use tracing::Span;

use super::access_log::{code_of, shown_counts, shown_name, shown_projects};
use super::client_app::ClientApp;
use super::metrics::{HttpMetrics, OperationOutcome};
use super::response::Served;
use super::spans as http_spans;
use crate::clock::Clock;
use crate::domain::ProjectId;
use crate::graphql::OperationContext;
use crate::records::ReadSummary;
use crate::spans;

/// The most projects in one line.
const MAX_PROJECTS: usize = 10;

/// An operation that is logged when its stream ends.
pub(crate) struct LoggedOperation {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) request_id: Arc<str>,
    pub(crate) caller_name: Option<Arc<str>>,
    pub(crate) app: ClientApp,
    /// Ends with the stream.
    pub(crate) span: Span,
    /// What the line names: the span, or the one above it where the trace is not sampled.
    pub(crate) logged_span: SpanContext,
}

/// Adds up the answers of an operation, and writes its line when it is dropped.
///
/// A stream may never end, so nothing in here grows with its answers.
pub(crate) struct StreamAccessLog {
    operation: LoggedOperation,
    context: OperationContext,
    answers: usize,
    outcome: OperationOutcome,
    projects: Vec<ProjectId>,
    cache_outcomes: BTreeMap<&'static str, usize>,
    error_codes: BTreeMap<String, usize>,
    started: Instant,
    clock: Clock,
    metrics: HttpMetrics,
}

impl StreamAccessLog {
    pub(crate) fn begin(
        operation: LoggedOperation,
        context: OperationContext,
        metrics: &HttpMetrics,
        clock: &Clock,
    ) -> Self {
        Self {
            operation,
            context,
            answers: 0,
            outcome: OperationOutcome::Ok,
            projects: Vec::new(),
            cache_outcomes: BTreeMap::new(),
            error_codes: BTreeMap::new(),
            started: clock.now(),
            clock: clock.clone(),
            metrics: metrics.clone(),
        }
    }

    /// Adds an answer and what was read for it.
    pub(crate) fn add(&mut self, served: &Served, read: &ReadSummary) {
        self.answers += 1;
        self.outcome = self.outcome.max(served.outcome());
        http_spans::operation_answered(&self.operation.span, served);
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
        for project in &read.projects {
            if self.projects.len() < MAX_PROJECTS && !self.projects.contains(project) {
                self.projects.push(project.clone());
            }
        }
    }
}

impl Drop for StreamAccessLog {
    fn drop(&mut self) {
        // The stream may end before its first answer, and in the middle of one.
        self.add_read(&self.context.take_summary());
        let took = self.clock.now().saturating_duration_since(self.started);
        let LoggedOperation { name, request_id, caller_name, app, logged_span, .. } =
            &self.operation;
        self.metrics.count_operation(self.outcome, app);
        tracing::info!(
            request.id = %request_id,
            trace_id = spans::trace_id(logged_span).map(display),
            span_id = spans::span_id(logged_span).map(display),
            caller.name = caller_name.as_deref().map(display),
            graphql.client.name = app.name.as_deref().map(display),
            graphql.client.version = app.version.as_deref().map(display),
            graphql.operation = name.as_deref().map(shown_name),
            projects = shown_projects(&self.projects),
            answers = self.answers,
            cache = shown_counts(&self.cache_outcomes),
            errors = shown_counts(&self.error_codes),
            duration_ms = took.as_secs_f64() * 1000.0,
            "stream ended"
        );
    }
}
