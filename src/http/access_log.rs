//! The access log: one line at the end of each request, and of each operation of a socket or an event stream.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::ServerError;
use opentelemetry::trace::SpanContext;
use smallvec::SmallVec;

use super::caller_request::ClientApp;
use super::metrics::HttpMetrics;
use crate::domain::ErrorCode;
use crate::records::{AskedProjects, ReadSummary};
use crate::spans;

/// The status that is logged and counted for a client that closed its connection: nginx's, never sent.
pub(crate) const CLIENT_CLOSED_REQUEST: u16 = 499;
/// The longest operation name that is logged, in characters.
const MAX_LOGGED_NAME: usize = 64;

/// What a line says of the caller, the operation and what was read. A stream may never end, so nothing in here
/// grows with its answers.
#[derive(Default)]
pub(crate) struct AccessLogEntry {
    pub(crate) caller: Option<Arc<str>>,
    pub(crate) operation: Option<Arc<str>>,
    asked: AskedProjects,
    upstream_status: Option<u16>,
    cache_outcomes: Counts<&'static str>,
    error_codes: Counts<String>,
}

/// The end of a request or a stream.
pub(crate) struct Ended<'r> {
    pub(crate) message: &'static str,
    pub(crate) id: &'r str,
    /// Invalid while traces are off.
    pub(crate) span: &'r SpanContext,
    pub(crate) app: &'r ClientApp,
    /// Of the response to a request.
    pub(crate) status: Option<u16>,
    /// The number of answers of a stream.
    pub(crate) answers: Option<usize>,
    pub(crate) took: Duration,
}

impl AccessLogEntry {
    pub(crate) fn of(caller: Option<Arc<str>>, operation: Option<Arc<str>>) -> Self {
        Self { caller, operation, ..Self::default() }
    }

    /// Adds an error that the client gets, and counts it.
    pub(crate) fn add_error(&mut self, code: String, metrics: &HttpMetrics) {
        metrics.count_error(&code);
        self.error_codes.add(code);
    }

    pub(crate) fn add_read(&mut self, read: ReadSummary) {
        for read in &read.reads {
            self.cache_outcomes.add(read.outcome.as_str());
        }
        self.upstream_status = self.upstream_status.max(read.upstream_status());
        if self.asked.0.is_empty() {
            self.asked = read.asked;
        } else {
            self.asked.add(&read.asked);
        }
    }

    /// Writes the line.
    pub(crate) fn log(&self, ended: &Ended<'_>) {
        let Ended { message, id, span, app, status, answers, took } = *ended;
        let projects = self.asked.0.iter().map(|project| project.id.as_str());
        let regions = self.asked.0.iter().filter_map(|project| project.region.as_deref());
        tracing::info!(
            message,
            request.id = id,
            trace_id = spans::trace_id(span).map(display),
            span_id = spans::span_id(span).map(display),
            caller.name = self.caller.as_deref(),
            graphql.client.name = app.name.as_deref(),
            graphql.client.version = app.version.as_deref(),
            graphql.operation = self.operation.as_deref().map(shown_name),
            projects = listed(projects).as_deref(),
            regions = listed(regions).as_deref(),
            http.status = status,
            upstream.status = self.upstream_status,
            answers,
            cache = self.cache_outcomes.shown(),
            errors = self.error_codes.shown(),
            duration_ms = took.as_secs_f64() * 1000.0,
        );
    }
}

/// Names, each once, separated by commas; `None` where there is none.
fn listed<'n>(names: impl Iterator<Item = &'n str>) -> Option<Cow<'n, str>> {
    let mut listed = SmallVec::<[&str; 1]>::new();
    for name in names {
        if !listed.contains(&name) {
            listed.push(name);
        }
    }
    match &*listed {
        [] => None,
        [name] => Some((*name).into()),
        names => Some(names.join(",").into()),
    }
}

/// A few names, and how often each occurred.
struct Counts<N>(SmallVec<[(N, usize); 1]>);

impl<N> Default for Counts<N> {
    fn default() -> Self {
        Self(SmallVec::new())
    }
}

impl<N: AsRef<str> + Ord> Counts<N> {
    fn add(&mut self, name: N) {
        if let Some((_, count)) = self.0.iter_mut().find(|(other, _)| *other == name) {
            *count += 1;
        } else {
            self.0.push((name, 1));
            self.0.sort();
        }
    }

    /// `hit` or `hit:3,miss:1`; `None` where there is nothing to count.
    fn shown(&self) -> Option<String> {
        let mut shown = String::new();
        for (name, count) in &self.0 {
            let comma = if shown.is_empty() { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(shown, "{comma}{}", name.as_ref());
            if *count > 1 {
                let _ = write!(shown, ":{count}");
            }
        }
        (!shown.is_empty()).then_some(shown)
    }
}

/// An operation's name, as logs and traces show it.
pub(crate) fn shown_name(name: &str) -> String {
    let shown = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    name.chars().filter(shown).take(MAX_LOGGED_NAME).collect()
}

pub(crate) fn code_of(error: &ServerError) -> String {
    let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
    match code {
        Some(async_graphql::Value::String(code)) => code.clone(),
        _ => ErrorCode::Internal.as_str().to_owned(),
    }
}
