//! What the record cache counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::read::CacheOutcome;
use crate::counters::{Label, LabelledCounter};

/// The number of entries of a cache, and their size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheSize {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

/// The record cache's metrics.
#[derive(Clone, Debug)]
pub struct RecordMetrics {
    reads: LabelledCounter,
    pub(crate) background_refreshes: Counter,
    pub(crate) abandoned: Counter,
    pub(crate) dropped: Counter,
    entries: Family<Label, Gauge>,
    bytes: Family<Label, Gauge>,
    pub(crate) most_bytes: Gauge,
    pub(crate) flights: Gauge,
    pub(crate) pollers: Gauge,
    /// Rows of lists that were scanned, for any reason.
    pub(crate) scanned_rows: Counter,
    /// By what was denied: the project, a recording, or a field for which the caller has no permission.
    pub(crate) denials: LabelledCounter,
    /// As [`super::Purge::scope`] names them.
    pub(crate) purges: LabelledCounter,
    pub(crate) shared_reads: LabelledCounter,
    pub(crate) shared_writes: LabelledCounter,
    pub(crate) shared_leases: LabelledCounter,
    pub(crate) shared_news: LabelledCounter,
    pub(crate) shared_configured: Gauge,
    pub(crate) shared_up: Gauge,
    pub(crate) shared_undelivered: Gauge,
}

impl Default for RecordMetrics {
    fn default() -> Self {
        use CacheOutcome::{Bypass, Collapsed, Expired, Hit, Miss, Stale, StaleOnError};

        // Every value is listed, so that each counter starts at 0: a rate needs something to rise from.
        let outcomes = [Hit, Stale, StaleOnError, Miss, Collapsed, Expired, Bypass];
        let shared_reads = ["hit", "miss", "purged", "broken", "failed", "skipped"];
        let shared_news = ["purge", "refusal", "absence", "missed"];
        Self {
            reads: LabelledCounter::new("outcome", &outcomes.map(CacheOutcome::as_str)),
            background_refreshes: Counter::default(),
            abandoned: Counter::default(),
            dropped: Counter::default(),
            entries: Family::default(),
            bytes: Family::default(),
            most_bytes: Gauge::default(),
            flights: Gauge::default(),
            pollers: Gauge::default(),
            scanned_rows: Counter::default(),
            denials: LabelledCounter::new("reason", &["project", "record", "permission"]),
            purges: LabelledCounter::new("scope", &["record", "project", "all"]),
            shared_reads: LabelledCounter::new("outcome", &shared_reads),
            shared_writes: LabelledCounter::new("outcome", &["written", "dropped", "failed"]),
            shared_leases: LabelledCounter::new("outcome", &["taken", "waited", "expired"]),
            shared_news: LabelledCounter::new("kind", &shared_news),
            shared_configured: Gauge::default(),
            shared_up: Gauge::default(),
            shared_undelivered: Gauge::default(),
        }
    }
}

impl RecordMetrics {
    /// Puts the metrics on show.
    pub fn register(&self, registry: &mut Registry) {
        let access = registry.sub_registry_with_prefix("gateway_access");
        access.register(
            "denials",
            "Projects, recordings and fields denied to callers, by reason",
            self.denials.family(),
        );
        access.register(
            "scanned_rows",
            "Rows of lists scanned for statistics, for filters that the upstream lacks, and for callers with constraints",
            self.scanned_rows.clone(),
        );
        let cache = registry.sub_registry_with_prefix("gateway_cache");
        cache.register("reads", "Records, pages and links read, by source", self.reads.family());
        for (name, help, counter) in [
            (
                "background_refreshes",
                "Background refreshes started by a stale answer",
                &self.background_refreshes,
            ),
            ("abandoned_loads", "Loads cancelled because every caller left", &self.abandoned),
            (
                "revoked_entries",
                "Entries dropped because a refresh answered 401, 403 or 404",
                &self.dropped,
            ),
        ] {
            cache.register(name, help, counter.clone());
        }
        cache.register("entries", "Entries in the cache, by content", self.entries.clone());
        cache.register("bytes", "Size of the entries in the cache, by content", self.bytes.clone());
        for (name, help, gauge) in [
            ("limit_bytes", "Limit of the size of all entries together", &self.most_bytes),
            ("loads_in_flight", "Loads in progress", &self.flights),
            ("pollers", "Records and lists watched by subscriptions", &self.pollers),
        ] {
            cache.register(name, help, gauge.clone());
        }
        cache.register("purges", "Purges, by scope", self.purges.family());
        self.register_shared(registry);
    }

    fn register_shared(&self, registry: &mut Registry) {
        let shared = registry.sub_registry_with_prefix("gateway_shared_cache");
        for (name, help, counter) in [
            ("reads", "Reads from the shared cache, by outcome", &self.shared_reads),
            ("writes", "Writes to the shared cache, by outcome", &self.shared_writes),
            ("leases", "Leases on loads that replicas share, by outcome", &self.shared_leases),
            ("news", "Invalidations received from other replicas, by kind", &self.shared_news),
        ] {
            shared.register(name, help, counter.family());
        }
        for (name, help, gauge) in [
            (
                "configured",
                "Whether replicas share a cache: 1 if cache.redis_url is set",
                &self.shared_configured,
            ),
            ("up", "Whether the shared cache is connected and answers", &self.shared_up),
            (
                "undelivered_news",
                "Purges and refusals that the shared cache has not accepted yet",
                &self.shared_undelivered,
            ),
        ] {
            shared.register(name, help, gauge.clone());
        }
    }

    pub(crate) fn set_size(&self, content: &'static str, CacheSize { entries, bytes }: CacheSize) {
        let gauge = |number| i64::try_from(number).unwrap_or(i64::MAX);
        self.entries.get_or_create(&[("content", content)]).set(gauge(entries));
        self.bytes.get_or_create(&[("content", content)]).set(gauge(bytes));
    }

    pub(crate) fn count(&self, outcome: CacheOutcome) {
        self.reads.inc(outcome.as_str());
    }
}
