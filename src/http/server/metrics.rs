//! The metrics of a listener's connections, and of its TLS.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::counters::LabelledCounter;

/// Headers did not arrive in time.
pub(super) const ENDED_HEADERS: &str = "headers";
/// The connection was idle for too long.
pub(super) const ENDED_IDLE: &str = "idle";
/// The client did not read its answer.
pub(super) const ENDED_STALLED: &str = "stalled";

pub(super) const HANDSHAKE_COMPLETED: &str = "completed";
pub(super) const HANDSHAKE_FAILED: &str = "failed";
pub(super) const HANDSHAKE_TIMED_OUT: &str = "timeout";

/// The metrics of a listener's connections.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    pub(super) open: Gauge,
    pub(super) limit: Gauge<u64, AtomicU64>,
    pub(super) full: Counter,
    pub(super) ended: LabelledCounter,
}

/// The metrics of a listener's TLS.
#[derive(Clone, Debug)]
pub struct TlsMetrics {
    pub(super) handshakes: LabelledCounter,
    /// When the certificate ends, in seconds of Unix time.
    pub(super) expiry: Gauge,
}

impl Default for ConnectionMetrics {
    fn default() -> Self {
        let ended = LabelledCounter::new("reason", &[ENDED_HEADERS, ENDED_IDLE, ENDED_STALLED]);
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
            self.ended.family(),
        );
    }
}

impl Default for TlsMetrics {
    fn default() -> Self {
        let outcomes = [HANDSHAKE_COMPLETED, HANDSHAKE_FAILED, HANDSHAKE_TIMED_OUT];
        let handshakes = LabelledCounter::new("outcome", &outcomes);
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
            self.handshakes.family(),
        );
        tls.register_with_unit(
            "certificate_expiry_timestamp",
            "When the listener's certificate expires, as Unix time; 0 without TLS",
            Unit::Seconds,
            self.expiry.clone(),
        );
    }
}
