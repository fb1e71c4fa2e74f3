//! The metrics of the shared cache.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::counters::LabelledCounter;

/// The metrics of the shared cache.
#[derive(Clone, Debug)]
pub(crate) struct RedisMetrics {
    pub(super) reads: LabelledCounter,
    pub(super) writes: LabelledCounter,
    pub(super) leases: LabelledCounter,
    pub(crate) news: LabelledCounter,
    pub(crate) configured: Gauge,
    pub(super) up: Gauge,
    pub(super) undelivered: Gauge,
}

impl Default for RedisMetrics {
    fn default() -> Self {
        let reads = ["hit", "miss", "purged", "broken", "failed", "skipped"];
        Self {
            reads: LabelledCounter::new("outcome", &reads),
            writes: LabelledCounter::new("outcome", &["written", "dropped", "failed"]),
            leases: LabelledCounter::new("outcome", &["taken", "waited", "expired"]),
            news: LabelledCounter::new("kind", &["purge", "refusal", "absence", "missed"]),
            configured: Gauge::default(),
            up: Gauge::default(),
            undelivered: Gauge::default(),
        }
    }
}

impl RedisMetrics {
    /// Puts the metrics on show.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let shared = registry.sub_registry_with_prefix("gateway_shared_cache");
        for (name, help, counter) in [
            ("reads", "Reads from the shared cache, by outcome", &self.reads),
            ("writes", "Writes to the shared cache, by outcome", &self.writes),
            ("leases", "Leases on loads that replicas share, by outcome", &self.leases),
            ("news", "Invalidations received from other replicas, by kind", &self.news),
        ] {
            shared.register(name, help, counter.family());
        }
        for (name, help, gauge) in [
            (
                "configured",
                "Whether replicas share a cache: 1 if cache.redis_url is set",
                &self.configured,
            ),
            ("up", "Whether the shared cache is connected and answers", &self.up),
            (
                "undelivered_news",
                "Purges and refusals that the shared cache has not accepted yet",
                &self.undelivered,
            ),
        ] {
            shared.register(name, help, gauge.clone());
        }
    }
}
