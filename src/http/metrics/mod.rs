//! The metrics of HTTP requests.

mod clients;
mod connections;
mod exposition;
mod outcome;

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
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
const WATCHED_STATUSES: [u16; 7] = [101, 400, 401, 429, 499, 500, 503];
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

/// The GraphQL endpoint's metrics.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<StatusLabel, Counter>,
    /// Of status 200, which nearly all have.
    good: Counter,
    errors: Family<CodeLabel, Counter>,
    operations: LabelledCounter,
    /// Those without any error, which nearly all are.
    good_operations: Counter,
    clients: ClientOperations,
    streams: Gauge,
    most_in_flight: Gauge,
    duration: Histogram,
    documents: Gauge,
    document_bytes: Gauge,
    pub(crate) responses_reused: Counter,
    pub(crate) in_flight: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: String,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        let bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let duration = Histogram::new(bounds);
        let requests = counted(WATCHED_STATUSES.map(|status| StatusLabel { status }));
        let codes = WATCHED_CODES.map(ErrorCode::as_str);
        let errors = counted(codes.map(|code| CodeLabel { code: code.to_owned() }));
        let outcomes = OperationOutcome::ALL.map(OperationOutcome::as_str);
        let operations = LabelledCounter::new("outcome", &outcomes);
        Self {
            good: requests.get_or_create_owned(&StatusLabel { status: 200 }),
            requests,
            errors,
            good_operations: operations.counter(OperationOutcome::Ok.as_str()),
            operations,
            clients: ClientOperations::default(),
            streams: Gauge::default(),
            most_in_flight: Gauge::default(),
            duration,
            documents: Gauge::default(),
            document_bytes: Gauge::default(),
            responses_reused: Counter::default(),
            in_flight: Gauge::default(),
        }
    }
}

impl HttpMetrics {
    /// Adds the metrics to the metrics page.
    pub fn register(&self, registry: &mut Registry) {
        let http = registry.sub_registry_with_prefix("gateway_http");
        http.register("requests", "GraphQL requests, by HTTP status", self.requests.clone());
        http.register("graphql_errors", "GraphQL errors, by code", self.errors.clone());
        for (name, help, gauge) in [
            ("requests_in_flight", "GraphQL requests in progress", &self.in_flight),
            (
                "requests_in_flight_limit",
                "Limit of GraphQL requests in progress, and of open sockets and event streams",
                &self.most_in_flight,
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
        match status {
            200 => self.good.inc(),
            status => self.requests.get_or_create(&StatusLabel { status }).inc(),
        };
        self.duration.observe(took.as_secs_f64());
    }

    pub(crate) fn count_operation(&self, outcome: OperationOutcome, app: &ClientApp) {
        self.clients.count(app.name.as_ref(), outcome);
        match outcome {
            OperationOutcome::Ok => {
                self.good_operations.inc();
            }
            other => self.operations.inc(other.as_str()),
        }
    }

    pub(crate) fn limit(&self, most_in_flight: usize) {
        self.most_in_flight.set(i64::try_from(most_in_flight).unwrap_or(i64::MAX));
    }

    pub(crate) fn streams(&self, open: usize) {
        self.streams.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    pub(crate) fn documents(&self, size: (u64, u64)) {
        set([&self.documents, &self.document_bytes], size);
    }

    /// The gateway's codes are few.
    pub(crate) fn count_error(&self, code: &str) {
        self.errors.get_or_create(&CodeLabel { code: code.to_owned() }).inc();
    }
}

/// Sets a number of things and their weight in bytes.
fn set([count, bytes]: [&Gauge; 2], size: (u64, u64)) {
    count.set(i64::try_from(size.0).unwrap_or(i64::MAX));
    bytes.set(i64::try_from(size.1).unwrap_or(i64::MAX));
}

/// Whether the gateway is ready, as lines to stand before a metrics page: each reason that it may
/// have not to be, with what is wrong for now, if anything.
pub(crate) fn readiness(reasons: &[(&'static str, Option<String>)]) -> Result<String, fmt::Error> {
    let (ready, not_ready) = (Gauge::<i64>::default(), Family::<Label, Gauge>::default());
    ready.set(i64::from(reasons.iter().all(|(_, wrong)| wrong.is_none())));
    for (reason, wrong) in reasons {
        not_ready.get_or_create(&[("reason", *reason)]).set(i64::from(wrong.is_some()));
    }
    let mut registry = Registry::with_prefix("gateway");
    registry.register("ready", "Whether the gateway accepts requests, as /readyz says", ready);
    registry.register(
        "not_ready",
        "Reasons for not being ready: 1 for each that applies",
        not_ready,
    );
    let mut lines = String::new();
    encode_registry(&mut lines, &registry)?;
    Ok(lines)
}
