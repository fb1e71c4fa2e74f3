//! The metrics of connections and of their TLS.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{OutcomeLabel, ReasonLabel};
use crate::counters::counted;

/// The metrics of a listener's connections.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    pub(crate) open: Gauge,
    limit: Gauge,
    pub(crate) full: Counter,
    ended: Family<ReasonLabel, Counter>,
}

/// Why the gateway ended a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended {
    /// Headers did not arrive in time.
    Headers,
    /// It was idle for too long.
    Idle,
    /// The client did not read its answer.
    Stalled,
}

/// The metrics of a listener's TLS.
#[derive(Clone, Debug)]
pub struct TlsMetrics {
    handshakes: Family<OutcomeLabel, Counter>,
    expiry: Gauge,
}

/// The outcome of a handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HandshakeOutcome {
    Completed,
    Failed,
    TimedOut,
}

impl Ended {
    const ALL: [Self; 3] = [Self::Headers, Self::Idle, Self::Stalled];

    fn label(self) -> ReasonLabel {
        let reason = match self {
            Self::Headers => "headers",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
        };
        ReasonLabel { reason }
    }
}

impl Default for ConnectionMetrics {
    fn default() -> Self {
        let ended = counted(Ended::ALL.map(Ended::label));
        Self { open: Gauge::default(), limit: Gauge::default(), full: Counter::default(), ended }
    }
}

impl ConnectionMetrics {
    /// Adds the metrics to the metrics page.
    pub fn register(&self, registry: &mut Registry) {
        let http = registry.sub_registry_with_prefix("gateway_http");
        http.register("connections", "Open connections to the GraphQL listener", self.open.clone());
        http.register(
            "connections_limit",
            "Limit of connections to the GraphQL listener",
            self.limit.clone(),
        );
        http.register(
            "connections_full",
            "How often the limit of connections was reached, so that the next one waited",
            self.full.clone(),
        );
        http.register(
            "connections_ended",
            "Connections closed for being slow or idle",
            self.ended.clone(),
        );
    }

    /// Shows the limit of connections.
    pub(crate) fn limit(&self, most: usize) {
        self.limit.set(i64::try_from(most).unwrap_or(i64::MAX));
    }

    /// Counts the end of a connection, and returns `order`.
    pub(crate) fn ended<T>(&self, reason: Ended, order: T) -> T {
        self.ended.get_or_create(&reason.label()).inc();
        order
    }
}

impl HandshakeOutcome {
    const ALL: [Self; 3] = [Self::Completed, Self::Failed, Self::TimedOut];

    fn label(self) -> OutcomeLabel {
        let outcome = match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::TimedOut => "timeout",
        };
        OutcomeLabel { outcome }
    }
}

impl Default for TlsMetrics {
    fn default() -> Self {
        let handshakes = counted(HandshakeOutcome::ALL.map(HandshakeOutcome::label));
        Self { handshakes, expiry: Gauge::default() }
    }
}

impl TlsMetrics {
    /// Adds the metrics to the metrics page.
    pub fn register(&self, registry: &mut Registry) {
        let tls = registry.sub_registry_with_prefix("gateway_tls");
        tls.register(
            "handshakes",
            "TLS handshakes of the GraphQL listener, by outcome",
            self.handshakes.clone(),
        );
        tls.register_with_unit(
            "certificate_expiry_timestamp",
            "When the listener's certificate expires, as Unix time; 0 without TLS",
            Unit::Seconds,
            self.expiry.clone(),
        );
    }

    pub(crate) fn count(&self, outcome: HandshakeOutcome) {
        self.handshakes.get_or_create(&outcome.label()).inc();
    }

    /// Shows when the certificate ends, in seconds of Unix time.
    pub(crate) fn ends(&self, at: i64) {
        self.expiry.set(at);
    }
}
