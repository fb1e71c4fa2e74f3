//! The access log: one line for each request, when it has been answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::SpanContext;

use super::client_app::ClientApp;
use super::metrics::HttpMetrics;
use super::response::Answers;
use crate::domain::{ErrorCode, ProjectId};
use crate::records::{AskedProjects, ReadSummary};
use crate::spans;

/// The status that is logged and counted for a client that closed its connection: nginx's, never sent.
pub(crate) const CLIENT_CLOSED_REQUEST: u16 = 499;
/// The longest operation name that is logged, in characters.
const MAX_LOGGED_NAME: usize = 64;

/// What the line of a request contains besides its id, status and duration.
#[derive(Default)]
pub(crate) struct AccessLogEntry {
    caller: Option<Arc<str>>,
    operation: Option<Arc<str>>,
    codes: Vec<String>,
    read: ReadSummary,
}

/// What a line says of every request.
pub(crate) struct LoggedRequest<'r> {
    pub(crate) id: &'r str,
    /// Invalid while traces are off.
    pub(crate) span: &'r SpanContext,
    pub(crate) app: &'r ClientApp,
}

impl AccessLogEntry {
    pub(crate) fn of(
        metrics: &HttpMetrics,
        app: &ClientApp,
        operation: Option<Arc<str>>,
        answers: &Answers,
    ) -> Self {
        let codes: Vec<String> = answers.errors().map(code_of).collect();
        for code in &codes {
            metrics.count_error(code);
        }
        for served in &answers.served {
            metrics.count_operation(served.outcome(), app);
        }
        Self { operation, codes, ..Self::default() }
    }

    /// A request for an operation, without errors so far.
    pub(crate) fn of_operation(operation: Option<Arc<str>>) -> Self {
        Self { operation, ..Self::default() }
    }

    /// A request that was not executed.
    pub(crate) fn refused(metrics: &HttpMetrics, code: ErrorCode) -> Self {
        metrics.count_error(code.as_str());
        Self { codes: vec![code.as_str().to_owned()], ..Self::default() }
    }

    pub(crate) fn with_caller(self, caller: Option<Arc<str>>) -> Self {
        Self { caller, ..self }
    }

    pub(crate) fn with_reads(self, read: ReadSummary) -> Self {
        Self { read, ..self }
    }

    /// Writes the line.
    pub(crate) fn log(&self, request: &LoggedRequest<'_>, status: u16, took: Duration) {
        let LoggedRequest { id, span, app } = *request;
        tracing::info!(
            request.id = id,
            trace_id = spans::trace_id(span).map(display),
            span_id = spans::span_id(span).map(display),
            caller.name = self.caller.as_deref().map(display),
            graphql.client.name = app.name.as_deref().map(display),
            graphql.client.version = app.version.as_deref().map(display),
            graphql.operation = self.operation(),
            projects = shown_projects(&self.read.asked),
            regions = shown_regions(&self.read.asked),
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

    fn cache(&self) -> Option<String> {
        let outcomes: Vec<&str> =
            self.read.reads.iter().map(|read| read.outcome.as_str()).collect();
        summed_up(&outcomes)
    }
}

fn summed_up<T: AsRef<str>>(names: &[T]) -> Option<String> {
    if let [only] = names {
        return Some(only.as_ref().to_owned());
    }
    let mut counts = BTreeMap::<&str, usize>::new();
    for name in names {
        *counts.entry(name.as_ref()).or_default() += 1;
    }
    shown_counts(&counts)
}

/// `hit` or `hit:3,miss:1`; `None` where there is nothing to count.
pub(crate) fn shown_counts<N: AsRef<str>>(counts: &BTreeMap<N, usize>) -> Option<String> {
    let shown = |(name, count): (&N, &usize)| match count {
        1 => name.as_ref().to_owned(),
        _ => format!("{}:{count}", name.as_ref()),
    };
    (!counts.is_empty()).then(|| counts.iter().map(shown).collect::<Vec<_>>().join(","))
}

/// The projects, separated by commas; `None` where there is none.
pub(crate) fn shown_projects(asked: &AskedProjects) -> Option<String> {
    let names: Vec<&str> = asked.projects.iter().map(ProjectId::as_str).collect();
    (!names.is_empty()).then(|| names.join(","))
}

/// The regions of the projects, separated by commas; `None` where no project is served.
pub(crate) fn shown_regions(asked: &AskedProjects) -> Option<String> {
    (!asked.regions.is_empty()).then(|| asked.regions.join(","))
}

/// An operation's name, as logs and traces show it.
pub(crate) fn shown_name(name: &str) -> String {
    let shown = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    name.chars().filter(shown).take(MAX_LOGGED_NAME).collect()
}

pub(crate) fn code_of(error: &async_graphql::ServerError) -> String {
    let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
    match code {
        Some(async_graphql::Value::String(code)) => code.clone(),
        _ => ErrorCode::Internal.as_str().to_owned(),
    }
}
