//! What the record cache counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::CacheOutcome;
use super::redis::RedisMetrics;
use super::ttl_cache::CacheSize;
use crate::counters::counted;

/// Every outcome, so that each reads 0 before the first: a rate needs something to rise from.
const OUTCOMES: [CacheOutcome; 7] = [
    CacheOutcome::Hit,
    CacheOutcome::Stale,
    CacheOutcome::StaleOnError,
    CacheOutcome::Miss,
    CacheOutcome::Collapsed,
    CacheOutcome::Expired,
    CacheOutcome::Bypass,
];
/// As [`super::Purge::scope`] names them.
const SCOPES: [&str; 3] = ["record", "project", "all"];

/// Why something was denied to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DenialReason {
    /// The project is not granted, or not served.
    Project,
    /// A restricted caller asked for a recording that is missing or invisible.
    Record,
    /// The caller has no permission for a field.
    Permission,
}

/// The record cache's metrics.
#[derive(Clone, Debug)]
pub struct RecordMetrics {
    reads: Family<OutcomeLabel, Counter>,
    /// Reads that were hits, which nearly all are.
    hits: Counter,
    pub(crate) background_refreshes: Counter,
    pub(crate) abandoned: Counter,
    pub(crate) dropped: Counter,
    entries: Family<ContentLabel, Gauge>,
    bytes: Family<ContentLabel, Gauge>,
    most_bytes: Gauge,
    pub(crate) flights: Gauge,
    pub(crate) pollers: Gauge,
    /// Rows of lists that were scanned for restricted callers.
    pub(crate) scanned_rows: Counter,
    denials: Family<DenialLabel, Counter>,
    purges: Family<ScopeLabel, Counter>,
    pub(crate) shared: RedisMetrics,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScopeLabel {
    scope: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DenialLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ContentLabel {
    content: &'static str,
}

impl DenialReason {
    const ALL: [Self; 3] = [Self::Project, Self::Record, Self::Permission];

    fn label(self) -> DenialLabel {
        let reason = match self {
            Self::Project => "project",
            Self::Record => "record",
            Self::Permission => "permission",
        };
        DenialLabel { reason }
    }
}

impl Default for RecordMetrics {
    fn default() -> Self {
        let reads = counted(OUTCOMES.map(|outcome| OutcomeLabel { outcome: outcome.as_str() }));
        let purges = counted(SCOPES.map(|scope| ScopeLabel { scope }));
        let hit = OutcomeLabel { outcome: CacheOutcome::Hit.as_str() };
        Self {
            hits: reads.get_or_create_owned(&hit),
            reads,
            background_refreshes: Counter::default(),
            abandoned: Counter::default(),
            dropped: Counter::default(),
            entries: Family::default(),
            bytes: Family::default(),
            most_bytes: Gauge::default(),
            flights: Gauge::default(),
            pollers: Gauge::default(),
            scanned_rows: Counter::default(),
            denials: counted(DenialReason::ALL.map(DenialReason::label)),
            purges,
            shared: RedisMetrics::default(),
        }
    }
}

impl RecordMetrics {
    /// Puts the metrics on show.
    pub fn register(&self, registry: &mut Registry) {
        self.shared.register(registry);
        let access = registry.sub_registry_with_prefix("gateway_access");
        access.register(
            "denials",
            "Projects, recordings and fields denied to callers, by reason",
            self.denials.clone(),
        );
        access.register(
            "scanned_rows",
            "Rows of lists scanned for filters that the upstream lacks, and for callers with constraints",
            self.scanned_rows.clone(),
        );
        let cache = registry.sub_registry_with_prefix("gateway_cache");
        cache.register("reads", "Records, pages and links read, by source", self.reads.clone());
        cache.register(
            "background_refreshes",
            "Background refreshes started by a stale answer",
            self.background_refreshes.clone(),
        );
        cache.register(
            "abandoned_loads",
            "Loads cancelled because every caller left",
            self.abandoned.clone(),
        );
        cache.register(
            "revoked_entries",
            "Entries dropped because a refresh answered 401, 403 or 404",
            self.dropped.clone(),
        );
        cache.register("entries", "Entries in the cache, by content", self.entries.clone());
        cache.register("bytes", "Size of the entries in the cache, by content", self.bytes.clone());
        cache.register(
            "limit_bytes",
            "Limit of the size of all entries together",
            self.most_bytes.clone(),
        );
        cache.register("loads_in_flight", "Loads in progress", self.flights.clone());
        cache.register("purges", "Purges, by scope", self.purges.clone());
        cache.register("pollers", "Records watched by subscriptions", self.pollers.clone());
    }

    pub(crate) fn limit(&self, most_bytes: u64) {
        self.most_bytes.set(i64::try_from(most_bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn count_purge(&self, scope: &'static str) {
        self.purges.get_or_create(&ScopeLabel { scope }).inc();
    }

    pub(crate) fn set_size(&self, content: &'static str, CacheSize { entries, bytes }: CacheSize) {
        let gauge = |number| i64::try_from(number).unwrap_or(i64::MAX);
        self.entries.get_or_create(&ContentLabel { content }).set(gauge(entries));
        self.bytes.get_or_create(&ContentLabel { content }).set(gauge(bytes));
    }

    pub(crate) fn count_denial(&self, reason: DenialReason) {
        self.denials.get_or_create(&reason.label()).inc();
    }

    pub(crate) fn count(&self, outcome: CacheOutcome) {
        match outcome {
            CacheOutcome::Hit => self.hits.inc(),
            other => self.reads.get_or_create(&OutcomeLabel { outcome: other.as_str() }).inc(),
        };
    }
}
