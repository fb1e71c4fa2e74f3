//! The metrics of HTTP requests, and the formats of the metrics page: OpenMetrics 1.0 and the classic text format
//! 0.0.4 of Prometheus.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::http::HeaderMap;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::caller_request::ClientApp;
use super::negotiation::rank;
use crate::counters::{Label, LabelledCounter, WatchedCounters};
use crate::domain::ErrorCode;

/// Statuses that are present from the start with 0, because a rate needs a first value.
const WATCHED_STATUSES: [u16; 8] = [101, 200, 400, 401, 429, 499, 500, 503];
/// Client names that have a label of their own.
const MAX_CLIENT_NAMES: usize = 20;
/// The label of further names.
const OTHER_CLIENT: &str = "other";
/// The label of clients that send no name.
const UNNAMED_CLIENT: &str = "unnamed";

type ClientLabels = [(&'static str, Cow<'static, str>); 2];

/// The outcome of a GraphQL operation, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OperationOutcome {
    /// Answered without an error.
    Ok,
    /// Answered with an error of at least one field.
    Failed,
    /// Not executed: it is wrong in itself, or over a limit.
    Refused,
}

impl OperationOutcome {
    const ALL: [Self; 3] = [Self::Ok, Self::Failed, Self::Refused];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// The metrics of the GraphQL endpoint, and whether the gateway is ready.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: WatchedCounters<[(&'static str, u16); 1]>,
    errors: WatchedCounters<[(&'static str, String); 1]>,
    operations: LabelledCounter,
    client_operations: WatchedCounters<ClientLabels>,
    /// The names that have a label.
    client_names: Arc<Mutex<HashSet<Arc<str>>>>,
    duration: Histogram,
    pub(crate) in_flight: Gauge,
    pub(crate) in_flight_limit: Gauge<u64, AtomicU64>,
    pub(crate) streams: Gauge<u64, AtomicU64>,
    pub(crate) documents: Gauge<u64, AtomicU64>,
    pub(crate) document_bytes: Gauge<u64, AtomicU64>,
    pub(crate) responses_reused: Counter,
    ready: Gauge,
    not_ready: Family<Label, Gauge>,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        let bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let codes = ErrorCode::ALL.iter().map(|code| code.as_str().to_owned());
        let outcomes = OperationOutcome::ALL.map(OperationOutcome::as_str);
        Self {
            requests: WatchedCounters::new(WATCHED_STATUSES.map(|status| [("status", status)])),
            errors: WatchedCounters::new(codes.map(|code| [("code", code)])),
            operations: LabelledCounter::new("outcome", &outcomes),
            client_operations: WatchedCounters::new(
                [UNNAMED_CLIENT, OTHER_CLIENT].into_iter().flat_map(client_labels),
            ),
            client_names: Arc::default(),
            duration: Histogram::new(bounds),
            in_flight: Gauge::default(),
            in_flight_limit: Gauge::default(),
            streams: Gauge::default(),
            documents: Gauge::default(),
            document_bytes: Gauge::default(),
            responses_reused: Counter::default(),
            ready: Gauge::default(),
            not_ready: Family::default(),
        }
    }
}

impl HttpMetrics {
    /// Adds the metrics to the metrics page.
    pub fn register(&self, registry: &mut Registry) {
        let gateway = registry.sub_registry_with_prefix("gateway");
        let ready = "Whether the gateway accepts requests, as /readyz says";
        gateway.register("ready", ready, self.ready.clone());
        let not_ready = "Reasons for not being ready: 1 for each that applies";
        gateway.register("not_ready", not_ready, self.not_ready.clone());
        let http = gateway.sub_registry_with_prefix("http");
        http.register("requests", "GraphQL requests, by HTTP status", self.requests.family());
        http.register("graphql_errors", "GraphQL errors, by code", self.errors.family());
        http.register("requests_in_flight", "GraphQL requests in progress", self.in_flight.clone());
        for (name, help, gauge) in [
            (
                "requests_in_flight_limit",
                "Limit of GraphQL requests in progress, and of open sockets and event streams",
                &self.in_flight_limit,
            ),
            (
                "streams",
                "Open event streams, and open WebSockets that have authenticated",
                &self.streams,
            ),
            ("known_documents", "GraphQL documents in the document cache", &self.documents),
            ("known_documents_bytes", "Size of the document cache", &self.document_bytes),
        ] {
            http.register(name, help, gauge.clone());
        }
        http.register(
            "graphql_operations",
            "Completed GraphQL operations, by outcome",
            self.operations.family(),
        );
        http.register(
            "client_operations",
            "Completed GraphQL operations, by the name that the client sends and by outcome",
            self.client_operations.family(),
        );
        http.register_with_unit(
            "request_duration",
            "Time from a request's headers to its answer",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.sub_registry_with_prefix("gateway_cache").register(
            "answers_reused",
            "Operations answered from the response cache",
            self.responses_reused.clone(),
        );
    }

    pub(crate) fn count(&self, status: u16, took: Duration) {
        self.requests.inc(&[("status", status)]);
        self.duration.observe(took.as_secs_f64());
    }

    pub(crate) fn count_operation(&self, outcome: OperationOutcome, app: &ClientApp) {
        self.operations.inc(outcome.as_str());
        let client = match &app.name {
            None => UNNAMED_CLIENT.into(),
            Some(name) if self.has_label(name) => Cow::Owned(name.as_ref().to_owned()),
            Some(_) => OTHER_CLIENT.into(),
        };
        self.client_operations.inc(&client_label(client, outcome));
    }

    /// Whether a client's name has a label. Clients choose their names, so only the first ones get one.
    fn has_label(&self, name: &Arc<str>) -> bool {
        let mut names = self.client_names.lock();
        if names.contains(name) {
            return true;
        }
        if names.len() >= MAX_CLIENT_NAMES {
            return false;
        }
        names.insert(Arc::clone(name));
        for label in client_labels(name) {
            self.client_operations.start(&label);
        }
        true
    }

    /// The gateway's codes are few.
    pub(crate) fn count_error(&self, code: &str) {
        self.errors.inc(&[("code", code.to_owned())]);
    }

    /// Shows every reason not to be ready, and whether there is a problem for now.
    pub(crate) fn readiness(&self, reasons: &[(&'static str, Option<String>)]) {
        self.ready.set(i64::from(reasons.iter().all(|(_, problem)| problem.is_none())));
        for (reason, problem) in reasons {
            self.not_ready.get_or_create(&[("reason", *reason)]).set(i64::from(problem.is_some()));
        }
    }
}

fn client_label(client: Cow<'static, str>, outcome: OperationOutcome) -> ClientLabels {
    [("client", client), ("outcome", outcome.as_str().into())]
}

/// The counters of a client, which start at 0.
fn client_labels(client: &str) -> [ClientLabels; 3] {
    OperationOutcome::ALL.map(|outcome| client_label(client.to_owned().into(), outcome))
}

/// The media type and the text of the metrics page in the format that a scraper prefers, made from OpenMetrics text.
/// It is classic, which every tool for Prometheus reads, if a scraper does not prefer OpenMetrics. Prometheus does.
pub(crate) fn negotiated(openmetrics: String, headers: &HeaderMap) -> (&'static str, String) {
    if rank("application/openmetrics-text", headers) > rank("text/plain", headers) {
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", openmetrics)
    } else {
        ("text/plain; version=0.0.4; charset=utf-8", classic(&openmetrics))
    }
}

/// Samples are equal in both formats. The classic format names a family like its samples, has no type `info`,
/// and marks neither units nor an end.
fn classic(openmetrics: &str) -> String {
    let mut page = String::with_capacity(openmetrics.len());
    let mut help = "";
    for line in openmetrics.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            page.push_str(line);
            page.push('\n');
            continue;
        };
        let mut words = comment.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("HELP"), Some(_), text) => help = text.unwrap_or_default(),
            (Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    other => ("", other),
                };
                // Writing to a string cannot fail.
                let _ = writeln!(page, "# HELP {name}{suffix} {help}");
                let _ = writeln!(page, "# TYPE {name}{suffix} {kind}");
            }
            _ => {}
        }
    }
    page
}
