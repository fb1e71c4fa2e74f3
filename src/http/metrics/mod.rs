//! The metrics of HTTP requests.

mod clients;
mod connections;
mod exposition;
mod outcome;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::client_app::ClientApp;
use crate::counters::{Label, LabelledCounter, counted};
use crate::domain::ErrorCode;

use clients::ClientOperations;
pub use connections::{ConnectionMetrics, TlsMetrics};
pub(crate) use connections::{
    ENDED_HEADERS, ENDED_IDLE, ENDED_STALLED, HANDSHAKE_COMPLETED, HANDSHAKE_FAILED,
    HANDSHAKE_TIMED_OUT,
};
pub(crate) use exposition::Exposition;
pub(crate) use outcome::OperationOutcome;

/// Statuses that are present from the start with 0, because a rate needs a first value.
const WATCHED_STATUSES: [u16; 8] = [101, 200, 400, 401, 429, 499, 500, 503];
/// Codes that are present from the start, for the same reason.
const WATCHED_CODES: [ErrorCode; 9] = [
    ErrorCode::UpstreamUnauthenticated,
    ErrorCode::UpstreamError,
    ErrorCode::UpstreamUnavailable,
    ErrorCode::UpstreamTimeout,
    ErrorCode::UpstreamInvalidResponse,
    ErrorCode::Unauthenticated,
    ErrorCode::RateLimited,
    ErrorCode::Overloaded,
    ErrorCode::Internal,
];

/// The metrics of the GraphQL endpoint, and whether the gateway is ready.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<[(&'static str, u16); 1], Counter>,
    errors: Family<[(&'static str, String); 1], Counter>,
    operations: LabelledCounter,
    clients: ClientOperations,
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
        let codes = WATCHED_CODES.map(ErrorCode::as_str);
        let outcomes = OperationOutcome::ALL.map(OperationOutcome::as_str);
        Self {
            requests: counted(WATCHED_STATUSES.map(|status| [("status", status)])),
            errors: counted(codes.map(|code| [("code", code.to_owned())])),
            operations: LabelledCounter::new("outcome", &outcomes),
            clients: ClientOperations::default(),
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
        http.register("requests", "GraphQL requests, by HTTP status", self.requests.clone());
        http.register("graphql_errors", "GraphQL errors, by code", self.errors.clone());
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
            self.clients.family.clone(),
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
        self.requests.get_or_create(&[("status", status)]).inc();
        self.duration.observe(took.as_secs_f64());
    }

    pub(crate) fn count_operation(&self, outcome: OperationOutcome, app: &ClientApp) {
        self.clients.count(app.name.as_ref(), outcome);
        self.operations.inc(outcome.as_str());
    }

    /// The gateway's codes are few.
    pub(crate) fn count_error(&self, code: &str) {
        self.errors.get_or_create(&[("code", code.to_owned())]).inc();
    }

    /// Shows every reason not to be ready, and whether there is a problem for now.
    pub(crate) fn readiness(&self, reasons: &[(&'static str, Option<String>)]) {
        self.ready.set(i64::from(reasons.iter().all(|(_, problem)| problem.is_none())));
        for (reason, problem) in reasons {
            self.not_ready.get_or_create(&[("reason", *reason)]).set(i64::from(problem.is_some()));
        }
    }
}
