//! What the log says of a request when it is answered, and of an operation of a socket or an event
//! stream when it ends: who asked, for what, and what became of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::callers::Caller;
use super::metrics::{HttpMetrics, OperationOutcome};
use super::response::{Answers, Served};
use super::traced;
use crate::clock::Clock;
use crate::domain::ProjectId;
use crate::graphql::ErrorCode;
use crate::records::{ReadSummary, Reader};
use crate::trace::{Span, Trace};

/// How many of the letters of an operation's name are logged.
const LONGEST_LOGGED_NAME: usize = 64;
/// Codes of errors that are logged of one stream; there may be no end of answers.
const MOST_CODES: usize = 100;

/// What a log line says of a request beside its id and outcome.
#[derive(Default)]
pub(crate) struct Noted {
    caller: Option<Arc<str>>,
    operation: Option<Arc<str>>,
    codes: Vec<String>,
    read: ReadSummary,
}

/// An operation with any number of answers. Logged when dropped, so however it ends.
pub(crate) struct StreamLog {
    noted: Noted,
    request_id: Arc<str>,
    caller: Option<Arc<str>>,
    reader: Arc<Reader>,
    answers: usize,
    outcome: OperationOutcome,
    span: Span,
    since: Instant,
    clock: Clock,
    metrics: HttpMetrics,
}

impl Noted {
    pub(crate) fn of(
        metrics: &HttpMetrics,
        operation: Option<Arc<str>>,
        answers: &Answers,
    ) -> Self {
        let codes: Vec<String> = answers.errors().map(code_of).collect();
        for code in &codes {
            metrics.count_error(code);
        }
        for served in &answers.served {
            metrics.count_operation(served.outcome());
        }
        Self { operation, codes, ..Self::default() }
    }

    /// A request whose operation is under way.
    pub(crate) fn begun(operation: Option<Arc<str>>) -> Self {
        Self { operation, ..Self::default() }
    }

    /// A request that was not executed.
    pub(crate) fn refused(metrics: &HttpMetrics, code: ErrorCode) -> Self {
        metrics.count_error(code.as_str());
        Self { codes: vec![code.as_str().to_owned()], ..Self::default() }
    }

    pub(crate) fn by(self, caller: Option<Arc<str>>) -> Self {
        Self { caller, ..self }
    }

    pub(crate) fn having_read(self, read: ReadSummary) -> Self {
        Self { read, ..self }
    }

    pub(crate) fn log(&self, (request_id, trace): (&str, &Trace), status: u16, took: Duration) {
        tracing::info!(
            request.id = request_id,
            trace_id = trace.trace_id().map(tracing::field::display),
            span_id = trace.span_id().map(tracing::field::display),
            caller.name = self.caller.as_deref().map(tracing::field::display),
            graphql.operation = self.operation(),
            projects = self.projects(),
            http.status = status,
            upstream.status = self.read.upstream_status(),
            cache = self.cache(),
            errors = summed_up(&self.codes),
            duration_ms = took.as_secs_f64() * 1000.0,
            "answered"
        );
    }

    fn operation(&self) -> Option<String> {
        self.operation.as_deref().map(shown_name)
    }

    fn projects(&self) -> Option<String> {
        let projects: Vec<&str> = self.read.projects.iter().map(ProjectId::as_str).collect();
        (!projects.is_empty()).then(|| projects.join(","))
    }

    fn cache(&self) -> Option<String> {
        let outcomes: Vec<&str> =
            self.read.reads.iter().map(|read| read.outcome.as_str()).collect();
        summed_up(&outcomes)
    }
}

impl StreamLog {
    pub(crate) fn begin(
        (caller, request_id): (&Caller, &Arc<str>),
        operation: Option<Arc<str>>,
        reader: &Arc<Reader>,
        metrics: &HttpMetrics,
        clock: &Clock,
    ) -> Self {
        Self {
            noted: Noted::begun(operation),
            request_id: Arc::clone(request_id),
            caller: caller.name.clone(),
            reader: Arc::clone(reader),
            answers: 0,
            outcome: OperationOutcome::Ok,
            span: Span::default(),
            since: clock.now(),
            clock: clock.clone(),
            metrics: metrics.clone(),
        }
    }

    /// The same, with the operation's span, which ends with it.
    pub(crate) fn traced(mut self, span: Span) -> Self {
        self.span = span;
        self
    }

    /// Notes an answer on its way out.
    pub(crate) fn note(&mut self, served: &Served) {
        self.answers += 1;
        self.outcome = self.outcome.max(served.outcome());
        traced::told(&self.span, served);
        for code in served.errors().iter().map(code_of) {
            self.metrics.count_error(&code);
            if self.noted.codes.len() < MOST_CODES {
                self.noted.codes.push(code);
            }
        }
    }
}

impl Drop for StreamLog {
    fn drop(&mut self) {
        let noted = std::mem::take(&mut self.noted).having_read(self.reader.take_summary());
        let took = self.clock.now().saturating_duration_since(self.since);
        self.metrics.count_operation(self.outcome);
        let trace = self.span.trace();
        tracing::info!(
            request.id = %self.request_id,
            trace_id = trace.trace_id().map(tracing::field::display),
            span_id = trace.span_id().map(tracing::field::display),
            caller.name = self.caller.as_deref().map(tracing::field::display),
            graphql.operation = noted.operation(),
            projects = noted.projects(),
            answers = self.answers,
            cache = noted.cache(),
            errors = summed_up(&noted.codes),
            duration_ms = took.as_secs_f64() * 1000.0,
            "stream ended"
        );
    }
}

/// `hit` or `hit:3,miss:1`; nothing for nothing.
fn summed_up<T: AsRef<str>>(names: &[T]) -> Option<String> {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for name in names {
        *counts.entry(name.as_ref()).or_default() += 1;
    }
    let shown = |(name, count): (&str, usize)| match count {
        1 => name.to_owned(),
        _ => format!("{name}:{count}"),
    };
    (!counts.is_empty()).then(|| counts.into_iter().map(shown).collect::<Vec<_>>().join(","))
}

/// What is shown of an operation's name.
pub(crate) fn shown_name(name: &str) -> String {
    let shown = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    name.chars().filter(shown).take(LONGEST_LOGGED_NAME).collect()
}

pub(crate) fn code_of(error: &async_graphql::ServerError) -> String {
    let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
    match code {
        Some(async_graphql::Value::String(code)) => code.clone(),
        _ => ErrorCode::Internal.as_str().to_owned(),
    }
}
