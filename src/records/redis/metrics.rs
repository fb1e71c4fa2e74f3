//! The metrics of the shared cache.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::counters::counted;

const READS: [ReadOutcome; 6] = [
    ReadOutcome::Hit,
    ReadOutcome::Miss,
    ReadOutcome::Purged,
    ReadOutcome::Broken,
    ReadOutcome::Failed,
    ReadOutcome::Skipped,
];
const WRITES: [&str; 3] = ["written", "dropped", "failed"];
const LEASES: [&str; 3] = ["taken", "waited", "expired"];
const NEWS: [&str; 4] = ["purge", "refusal", "absence", "missed"];

/// The metrics of the shared cache.
#[derive(Clone, Debug)]
pub(crate) struct RedisMetrics {
    reads: Family<OutcomeLabel, Counter>,
    writes: Family<OutcomeLabel, Counter>,
    leases: Family<OutcomeLabel, Counter>,
    news: Family<KindLabel, Counter>,
    pub(crate) configured: Gauge,
    pub(super) up: Gauge,
    pub(super) undelivered: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// The outcome of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// There is an entry.
    Hit,
    /// There is none.
    Miss,
    /// There is one from before a purge.
    Purged,
    /// There is one of another version, or a broken one.
    Broken,
    /// Redis answered with an error, or not in time.
    Failed,
    /// Redis is not connected, or has not accepted a purge yet.
    Skipped,
}

impl Default for RedisMetrics {
    fn default() -> Self {
        Self {
            reads: counted(READS.map(|read| OutcomeLabel { outcome: read.as_str() })),
            writes: counted(WRITES.map(|outcome| OutcomeLabel { outcome })),
            leases: counted(LEASES.map(|outcome| OutcomeLabel { outcome })),
            news: counted(NEWS.map(|kind| KindLabel { kind })),
            configured: Gauge::default(),
            up: Gauge::default(),
            undelivered: Gauge::default(),
        }
    }
}

impl ReadOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Purged => "purged",
            Self::Broken => "broken",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl RedisMetrics {
    /// Puts the metrics on show.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let shared = registry.sub_registry_with_prefix("gateway_shared_cache");
        shared.register("reads", "Reads from the shared cache, by outcome", self.reads.clone());
        shared.register("writes", "Writes to the shared cache, by outcome", self.writes.clone());
        shared.register(
            "leases",
            "Leases on loads that replicas share, by outcome",
            self.leases.clone(),
        );
        shared.register(
            "news",
            "Invalidations received from other replicas, by kind",
            self.news.clone(),
        );
        shared.register(
            "configured",
            "Whether replicas share a cache: 1 if cache.redis_url is set",
            self.configured.clone(),
        );
        shared.register("up", "Whether the shared cache is connected and answers", self.up.clone());
        shared.register(
            "undelivered_news",
            "Purges and refusals that the shared cache has not accepted yet",
            self.undelivered.clone(),
        );
    }

    pub(super) fn count_read(&self, outcome: ReadOutcome) {
        self.reads.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }).inc();
    }

    pub(super) fn count_write(&self, outcome: &'static str) {
        self.writes.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(super) fn count_lease(&self, outcome: &'static str) {
        self.leases.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn count_news(&self, kind: &'static str) {
        self.news.get_or_create(&KindLabel { kind }).inc();
    }
}
