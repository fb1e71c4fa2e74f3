//! The limits on a listener's connections, and their metrics.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use crate::config::{LimitsConfig, Live};
use crate::counters::LabelledCounter;
use crate::resizable_semaphore::ResizableSemaphore;

/// Why a connection was ended, as the metric names it: headers did not arrive in time.
pub(super) const ENDED_HEADERS: &str = "headers";
/// The connection was idle for too long.
pub(super) const ENDED_IDLE: &str = "idle";
/// The client did not read its answer.
pub(super) const ENDED_STALLED: &str = "stalled";

/// The limits on a listener's connections. A change applies to connections accepted from then on. Clones share
/// the limits.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    pub(super) limits: Live<LimitsConfig>,
    /// `limits.max_connections`
    permits: ResizableSemaphore,
    pub(super) metrics: ConnectionMetrics,
}

#[derive(Clone, Debug)]
pub(super) struct ConnectionMetrics {
    pub(super) open: Gauge,
    limit: Gauge<u64, AtomicU64>,
    full: Counter,
    pub(super) ended: LabelledCounter,
}

impl ConnectionLimits {
    /// The limits of the settings.
    pub fn new(limits: &LimitsConfig) -> Self {
        let metrics = ConnectionMetrics {
            open: Gauge::default(),
            limit: Gauge::default(),
            full: Counter::default(),
            ended: LabelledCounter::new("reason", &[ENDED_HEADERS, ENDED_IDLE, ENDED_STALLED]),
        };
        metrics.limit.set(limits.max_connections as u64);
        let permits = ResizableSemaphore::new(limits.max_connections);
        Self { limits: Live::new(limits.clone()), permits, metrics }
    }

    /// Adds the metrics of the connections to the metrics page.
    pub fn register(&self, registry: &mut Registry) {
        let ConnectionMetrics { open, limit, full, ended } = &self.metrics;
        let http = registry.sub_registry_with_prefix("gateway_http");
        http.register("connections", "Open connections to the GraphQL listener", open.clone());
        http.register(
            "connections_limit",
            "Limit of connections to the GraphQL listener",
            limit.clone(),
        );
        http.register(
            "connections_full",
            "How often the limit of connections was reached, so that the next one waited",
            full.clone(),
        );
        http.register(
            "connections_ended",
            "Connections closed for being slow or idle",
            ended.family(),
        );
    }

    /// Applies other limits. No connection is ended: a lower number holds once enough of them have ended.
    pub fn change(&self, limits: &LimitsConfig, tasks: &TaskTracker) {
        self.limits.set(limits.clone());
        self.permits.resize(limits.max_connections, tasks);
        self.metrics.limit.set(limits.max_connections as u64);
    }

    /// Waits until one more connection is allowed.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some(permit);
        }
        self.metrics.full.inc();
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }
}
