//! The state of the process: caches, running loads, watches, and the shared cache.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cached::CachedRecord;
use super::denials::Denials;
use super::generation::Generations;
use super::invalidation::{Invalidation, Purge};
use super::key::{CallerKey, TokenHasher};
use super::link_cache::CachedLink;
use super::metrics::RecordMetrics;
use super::pages::{CachedPage, OperationListing};
use super::redis::RedisTier;
use super::scan_budget::ScanBudget;
use super::seal::CursorKey;
use super::ttl_cache::{CacheParts, TtlCache};
use super::watch_list::Watches;
use crate::clock::Clock;
use crate::config::{
    CacheBudget, CacheConfig, InboundConfig, LimitsConfig, Live, SubscriptionsConfig,
};
use crate::domain::{ProjectId, RecordQuery, Token};
use crate::upstream::{Outdated, Upstream};

/// The records of the whole process. Clones share everything.
#[derive(Clone)]
pub struct Records(Arc<RecordStore>);

impl Deref for Records {
    type Target = RecordStore;

    fn deref(&self) -> &RecordStore {
        &self.0
    }
}

/// What all clones of [`Records`] share.
pub struct RecordStore {
    pub(crate) upstream: Upstream,
    pub(crate) cache: TtlCache<CachedRecord>,
    pub(crate) record_pages: TtlCache<CachedPage<RecordQuery>>,
    pub(crate) operation_pages: TtlCache<CachedPage<OperationListing>>,
    pub(crate) links: TtlCache<CachedLink>,
    pub(crate) denials: Denials,
    pub(crate) cursor_key: CursorKey,
    pub(crate) generations: Arc<Generations>,
    hasher: TokenHasher,
    pub(crate) limits: Live<CacheConfig>,
    projects: Live<Option<BTreeSet<ProjectId>>>,
    pub(crate) watches: Mutex<Watches>,
    pub(crate) next_operation: AtomicU64,
    is_audited: AtomicBool,
    pub(crate) poll_interval: Live<Duration>,
    max_scanned_rows: Live<usize>,
    pub(crate) shared: Option<Arc<RedisTier>>,
    pub(crate) tasks: TaskTracker,
    pub(crate) ended: CancellationToken,
    pub(crate) metrics: RecordMetrics,
    pub(crate) clock: Clock,
}

/// What the caches need besides the upstream.
pub struct RecordParts<'c> {
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
        let RecordParts { cache, inbound, subscriptions, .. } = parts;
        let RecordParts { metrics, clock, tasks, ended, .. } = parts;
        let CacheBudget { records: record_bytes, pages, links, .. } = cache.budget();
        let limits = Live::new(cache.clone());
        let replicas_secret = cache.shared.as_ref().and(cache.key_secret.as_ref());
        let hasher = TokenHasher::new(replicas_secret)?;
        metrics.limit(cache.max_bytes);
        metrics.shared.configured.set(i64::from(cache.shared.is_some()));
        let caches = CacheParts {
            limits: limits.clone(),
            generations: Arc::default(),
            metrics: metrics.clone(),
            clock: clock.clone(),
        };
        let tier = |config| RedisTier::new(config, &caches, &upstream, &tasks).map(Arc::new);
        let shared = cache.shared.as_ref().map(tier).transpose()?;
        let records = Self(Arc::new(RecordStore {
            upstream,
            cache: TtlCache::new(&caches, record_bytes),
            record_pages: TtlCache::new(&caches, pages),
            operation_pages: TtlCache::new(&caches, pages),
            links: TtlCache::new(&caches, links),
            denials: Denials::new(limits.clone(), clock.clone()),
            cursor_key: CursorKey::new(cache.key_secret.as_ref())?,
            generations: caches.generations,
            hasher,
            limits,
            projects: Live::new(inbound.projects.clone()),
            watches: Mutex::default(),
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
        let Some(tier) = self.shared.clone() else { return };
        let (records, ended) = (self.clone(), self.ended.clone());
        self.tasks.spawn(async move {
            tier.run_until(ended, |received| records.invalidate(&received)).await;
        });
    }

    /// Who may see what a token reads; `None` where one is needed and there is none.
    pub(crate) fn caller(&self, token: Option<&Token>) -> Option<CallerKey> {
        if self.upstream.uses_callers_token() {
            token.map(|token| self.hasher.key_of(token))
        } else {
            Some(CallerKey::Gateway)
        }
    }

    /// What stands in the way of some reads, but leaves the gateway ready: circuits that are not closed,
    /// logins that fail for some projects, and a shared cache that does not answer.
    pub fn partial_trouble(&self) -> Vec<String> {
        let mut troubles = self.upstream.partial_trouble();
        troubles.extend(self.shared.as_ref().and_then(|tier| tier.trouble()));
        troubles
    }

    /// Why no record can be read for now, where that is known.
    pub fn trouble(&self) -> Option<String> {
        self.upstream.trouble()
    }

    /// Brings the gauges of the cache's size up to date.
    pub fn observe(&self) {
        let RecordStore { upstream, cache, record_pages, operation_pages, links, .. } = &*self.0;
        let metrics = &self.metrics;
        upstream.observe();
        metrics.set_size("records", cache.size());
        metrics.set_size("record_pages", record_pages.size());
        metrics.set_size("operation_pages", operation_pages.size());
        metrics.set_size("links", links.size());
    }

    /// Applies new settings.
    pub fn change(
        &self,
        cache: &CacheConfig,
        inbound: &InboundConfig,
        subscriptions: &SubscriptionsConfig,
        limits: &LimitsConfig,
    ) {
        self.max_scanned_rows.set(limits.max_scanned_rows);
        self.projects.set(inbound.projects.clone());
        self.limits.set(cache.clone());
        self.poll_interval.set(subscriptions.poll_interval);
    }

    /// Drops what is outdated from memory, and keeps running loads from bringing it back. Other replicas
    /// do so when they get the same settings.
    pub fn forget(&self, outdated: Outdated) {
        let invalidate = |purge| self.invalidate(&Invalidation::Purge(purge));
        match outdated {
            Outdated::All => invalidate(Purge::All),
            Outdated::Projects(projects) => {
                projects.into_iter().map(Purge::Project).for_each(invalidate);
            }
        }
    }

    /// The rows that a new operation may scan.
    pub(crate) fn scan_budget(&self) -> ScanBudget {
        let scanned = self.metrics.scanned_rows.clone();
        let rows = u32::try_from(**self.max_scanned_rows.load()).unwrap_or(u32::MAX);
        ScanBudget::new(rows, scanned)
    }

    /// Drops what an invalidation covers from all caches.
    pub(crate) fn drop_invalid(&self, invalidation: &Invalidation) {
        let RecordStore { cache, record_pages, operation_pages, links, metrics, .. } = &*self.0;
        match invalidation {
            Invalidation::Purge(_) | Invalidation::Token(_) => cache.invalidate(invalidation),
            Invalidation::Record(key) | Invalidation::Absence(key) => {
                if cache.remove(key) {
                    metrics.dropped.inc();
                }
            }
            Invalidation::Lists { .. } => {}
        }
        record_pages.invalidate(invalidation);
        operation_pages.invalidate(invalidation);
        links.invalidate(invalidation);
        if matches!(invalidation, Invalidation::Purge(_)) {
            self.denials.clear();
        }
    }

    /// Whether readers collect events for the audit log.
    pub(super) fn is_audited(&self) -> bool {
        self.is_audited.load(Ordering::Relaxed)
    }

    /// Begins or stops to collect events for the audit log.
    pub fn set_audited(&self, is_audited: bool) {
        self.is_audited.store(is_audited, Ordering::Relaxed);
    }

    /// The label of a project's region. `None` unless the settings allow the project and say where it is.
    pub(crate) fn region_of(&self, project: &ProjectId) -> Option<Arc<str>> {
        let served = self.projects.load();
        Option::as_ref(&served)
            .is_none_or(|served: &BTreeSet<_>| served.contains(project))
            .then(|| self.upstream.region_of(project))?
    }
}
