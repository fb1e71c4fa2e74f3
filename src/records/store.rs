//! The state of the process: caches, running loads, watches, and the shared cache.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cached::{CachedRecord, RecordEntry};
use super::denials::Denials;
use super::generation::Generations;
use super::invalidation::{Invalidation, Purge};
use super::key::{CallerKey, RecordKey, TokenHasher};
use super::link_cache::Links;
use super::metrics::RecordMetrics;
use super::pages::{OperationListing, Pages};
use super::redis::{Identity, RedisTier, RedisTierParts};
use super::scan_budget::ScanBudget;
use super::seal::CursorKey;
use super::single_flight::SingleFlight;
use super::ttl_cache::TtlCache;
use super::watch_list::WatchList;
use crate::clock::Clock;
use crate::config::{
    CacheBudget, CacheConfig, InboundConfig, LimitsConfig, Live, SubscriptionsConfig,
    UpstreamConfig,
};
use crate::domain::{Failure, ProjectId, RecordQuery, Token};
use crate::upstream::Upstream;

/// The shortest time without a further refresh after one has failed.
const MIN_BACKOFF: Duration = Duration::from_secs(1);

/// The records of the whole process. Clones share everything.
#[derive(Clone)]
pub struct Records(Arc<Inner>);

/// A reference that does not keep the caches alive.
pub(crate) struct WeakRecords(Weak<Inner>);

struct Inner {
    upstream: Upstream,
    cache: TtlCache<CachedRecord>,
    loads: SingleFlight<RecordKey, Arc<RecordEntry>>,
    record_pages: Arc<Pages<RecordQuery>>,
    operation_pages: Arc<Pages<OperationListing>>,
    links: Links,
    denials: Denials,
    cursor_key: CursorKey,
    generations: Generations,
    hasher: TokenHasher,
    limits: Live<CacheConfig>,
    projects: Live<Option<BTreeSet<ProjectId>>>,
    watches: WatchList,
    next_operation: AtomicU64,
    is_audited: AtomicBool,
    poll_interval: Live<Duration>,
    max_scanned_rows: Live<usize>,
    shared: Option<RedisTier>,
    tasks: TaskTracker,
    ended: CancellationToken,
    metrics: RecordMetrics,
    clock: Clock,
}

/// What the caches need besides the upstream.
pub struct RecordParts<'c> {
    /// `upstream.*`: whose records these are, for the tier that replicas share.
    pub upstream: &'c UpstreamConfig,
    /// `cache.*`
    pub cache: &'c CacheConfig,
    /// `inbound.*`
    pub inbound: &'c InboundConfig,
    /// `subscriptions.*`
    pub subscriptions: &'c SubscriptionsConfig,
    /// `limits.*`
    pub limits: &'c LimitsConfig,
    /// Where reads are counted.
    pub metrics: RecordMetrics,
    /// The source of time.
    pub clock: Clock,
    /// The tasks of the process, which its end waits for.
    pub tasks: TaskTracker,
    /// Cancelled once the last request is through.
    pub ended: CancellationToken,
}

impl Records {
    /// A cache in front of `upstream`.
    ///
    /// # Errors
    /// When the system's random generator gives no key for hashing tokens.
    pub fn new(upstream: Upstream, parts: RecordParts<'_>) -> Result<Self, getrandom::Error> {
        let RecordParts { upstream: whose, cache, inbound, subscriptions, .. } = parts;
        let RecordParts { metrics, clock, tasks, ended, .. } = parts;
        let CacheBudget { records: record_bytes, pages, links, .. } = cache.budget();
        let limits = Live::new(cache.clone());
        let hasher = match cache.shared.as_ref().and_then(|shared| shared.key_secret.as_ref()) {
            Some(secret) => TokenHasher::from_secret(secret),
            None => TokenHasher::random()?,
        };
        let shared = cache.shared.as_ref().map(|shared| {
            RedisTier::new(RedisTierParts {
                config: shared,
                limits: limits.clone(),
                identity: Identity(whose.identity()),
                metrics: metrics.shared.clone(),
                clock: clock.clone(),
                tasks: tasks.clone(),
            })
        });
        let shared = shared.transpose()?;
        metrics.limit(cache.max_bytes);
        metrics.shared.configured.set(i64::from(cache.shared.is_some()));
        let records = Self(Arc::new(Inner {
            upstream,
            cache: TtlCache::new(limits.clone(), record_bytes, clock.clone()),
            loads: SingleFlight::new(metrics.clone()),
            record_pages: Arc::new(Pages::new(
                limits.clone(),
                pages,
                metrics.clone(),
                clock.clone(),
            )),
            operation_pages: Arc::new(Pages::new(
                limits.clone(),
                pages,
                metrics.clone(),
                clock.clone(),
            )),
            links: Links::new(limits.clone(), links, metrics.clone(), clock.clone()),
            denials: Denials::new(limits.clone(), clock.clone()),
            cursor_key: CursorKey::new(cache.key_secret.as_ref())?,
            generations: Generations::default(),
            hasher,
            limits,
            projects: Live::new(inbound.projects.clone()),
            watches: WatchList::default(),
            next_operation: AtomicU64::new(0),
            is_audited: AtomicBool::new(false),
            poll_interval: Live::new(subscriptions.poll_interval),
            max_scanned_rows: Live::new(parts.limits.max_scanned_rows),
            shared,
            tasks,
            ended,
            metrics,
            clock,
        }));
        records.run_shared_tier();
        Ok(records)
    }

    /// Keeps the shared cache going until the process ends.
    fn run_shared_tier(&self) {
        let Some(tier) = self.0.shared.clone() else { return };
        let (records, ended) = (self.downgrade(), self.0.ended.clone());
        self.0.tasks.spawn(async move {
            let on_received = |received| {
                if let Some(records) = records.upgrade() {
                    records.receive(&received);
                }
            };
            tier.run_until(ended, on_received).await;
        });
    }

    /// Who may see what a token reads; `None` where one is needed and there is none.
    pub(crate) fn caller(&self, token: Option<&Token>) -> Option<CallerKey> {
        if self.0.upstream.uses_callers_token() {
            token.map(|token| self.0.hasher.key_of(token))
        } else {
            Some(CallerKey::Gateway)
        }
    }

    /// What stands in the way of reads but may pass by itself: the circuit is not closed, or the
    /// tier that replicas share is away.
    pub fn circuit(&self) -> Option<&'static str> {
        let shared = || self.0.shared.as_ref().and_then(RedisTier::trouble);
        self.0.upstream.circuit().or_else(shared)
    }

    /// Why no record can be read for now, where that is known.
    pub fn trouble(&self) -> Option<&'static str> {
        self.0.upstream.trouble()
    }

    /// Brings the gauges of the cache's size up to date.
    pub fn observe(&self) {
        let Inner { upstream, cache, record_pages, operation_pages, links, .. } = &*self.0;
        let metrics = self.metrics();
        upstream.observe();
        metrics.set_size("records", cache.size());
        metrics.set_size("record_pages", record_pages.cache.size());
        metrics.set_size("operation_pages", operation_pages.cache.size());
        metrics.set_size("links", links.cache.size());
    }

    /// Applies new settings.
    pub fn change(
        &self,
        cache: &CacheConfig,
        inbound: &InboundConfig,
        subscriptions: &SubscriptionsConfig,
        limits: &LimitsConfig,
    ) {
        self.0.max_scanned_rows.set(limits.max_scanned_rows);
        self.0.projects.set(inbound.projects.clone());
        self.0.limits.set(cache.clone());
        self.0.poll_interval.set(subscriptions.poll_interval);
    }

    /// Drops everything in memory, because the gateway's credentials have changed.
    pub fn forget_all(&self) {
        self.invalidate(&Invalidation::Purge(Purge::All));
    }

    pub(crate) fn upstream(&self) -> &Upstream {
        &self.0.upstream
    }

    pub(crate) fn record_pages(&self) -> &Arc<Pages<RecordQuery>> {
        &self.0.record_pages
    }

    pub(crate) fn operation_pages(&self) -> &Arc<Pages<OperationListing>> {
        &self.0.operation_pages
    }

    pub(crate) fn cache(&self) -> &TtlCache<CachedRecord> {
        &self.0.cache
    }

    pub(crate) fn limits(&self) -> Arc<CacheConfig> {
        self.0.limits.get()
    }

    pub(crate) fn shared_tier(&self) -> Option<&RedisTier> {
        self.0.shared.as_ref()
    }

    pub(crate) fn downgrade(&self) -> WeakRecords {
        WeakRecords(Arc::downgrade(&self.0))
    }

    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.0.ended
    }

    pub(crate) fn links(&self) -> &Links {
        &self.0.links
    }

    pub(crate) fn denials(&self) -> &Denials {
        &self.0.denials
    }

    pub(crate) fn cursor_key(&self) -> &CursorKey {
        &self.0.cursor_key
    }

    /// The rows that a new operation may scan.
    pub(crate) fn scan_budget(&self) -> ScanBudget {
        let scanned = self.0.metrics.scanned_rows.clone();
        ScanBudget::new(**self.0.max_scanned_rows.load(), scanned)
    }

    pub(crate) fn now(&self) -> Instant {
        self.0.clock.now()
    }

    pub(crate) fn generations(&self) -> &Generations {
        &self.0.generations
    }

    /// Drops what an invalidation covers from all caches.
    pub(crate) fn drop_invalid(&self, invalidation: &Invalidation) {
        let Inner { cache, record_pages, operation_pages, links, metrics, .. } = &*self.0;
        match invalidation {
            Invalidation::Purge(_) | Invalidation::Token(_) => cache.invalidate(invalidation),
            Invalidation::Record(key) | Invalidation::Absence(key) => {
                if cache.remove(key) {
                    metrics.dropped.inc();
                }
            }
            Invalidation::Lists { .. } => {}
        }
        record_pages.cache.invalidate(invalidation);
        operation_pages.cache.invalidate(invalidation);
        links.cache.invalidate(invalidation);
        if matches!(invalidation, Invalidation::Purge(_)) {
            self.denials().clear();
        }
    }

    /// Whether readers collect events for the audit log.
    pub(super) fn is_audited(&self) -> bool {
        self.0.is_audited.load(Ordering::Relaxed)
    }

    /// Begins or stops to collect events for the audit log.
    pub fn set_audited(&self, is_audited: bool) {
        self.0.is_audited.store(is_audited, Ordering::Relaxed);
    }

    pub(crate) fn watches(&self) -> &WatchList {
        &self.0.watches
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    pub(crate) fn metrics(&self) -> &RecordMetrics {
        &self.0.metrics
    }

    pub(crate) fn loads(&self) -> &SingleFlight<RecordKey, Arc<RecordEntry>> {
        &self.0.loads
    }

    /// Whether the settings allow a project.
    pub(crate) fn serves(&self, project: &ProjectId) -> bool {
        let served = self.0.projects.load();
        Option::as_ref(&served).is_none_or(|served: &BTreeSet<_>| served.contains(project))
    }

    /// A number for an operation.
    pub(crate) fn next_operation(&self) -> u64 {
        self.0.next_operation.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn poll_interval(&self) -> Duration {
        **self.0.poll_interval.load()
    }

    /// Makes no further refresh of an entry for a while.
    pub(crate) fn back_off(&self, entry: Arc<RecordEntry>, failure: &Failure) {
        let pause = failure.retry_after().unwrap_or_default().max(MIN_BACKOFF);
        self.0.cache.assess(entry).back_off(pause);
    }
}

impl WeakRecords {
    pub(crate) fn upgrade(&self) -> Option<Records> {
        self.0.upgrade().map(Records)
    }
}
