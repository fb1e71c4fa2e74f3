//! The state of the process: caches, running loads, watches, and the shared cache.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cached::Caches;
use super::invalidation::{Generations, Invalidation, PLACES, Purge};
use super::key::{CallerKey, TokenHasher};
use super::metrics::RecordMetrics;
use super::pagination::CursorKey;
use super::redis::RedisTier;
use super::ttl_cache::CacheParts;
use super::watch_list::Watches;
use crate::clock::Clock;
use crate::config::{CacheConfig, InboundConfig, LimitsConfig, Live, SubscriptionsConfig};
use crate::domain::{Failure, ProjectId, Token};
use crate::upstream::{Outdated, Upstream};

/// How long a purge waits for Redis.
const PURGE_REDIS_WITHIN: Duration = Duration::from_secs(1);
const EVICT_EVERY: Duration = Duration::from_secs(30);

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
    pub(crate) caches: Caches,
    pub(crate) cursor_key: CursorKey,
    hasher: TokenHasher,
    pub(crate) limits: Live<CacheConfig>,
    projects: Live<Option<BTreeSet<ProjectId>>>,
    pub(crate) watches: Mutex<Watches>,
    pub(crate) next_operation: AtomicU64,
    /// Whether readers collect events for the audit log.
    pub(crate) is_audited: AtomicBool,
    pub(crate) poll_interval: Live<Duration>,
    pub(crate) max_scanned_rows: Live<usize>,
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
        let limits = Live::new(cache.clone());
        let replicas_secret = cache.shared.as_ref().and(cache.key_secret.as_ref());
        let hasher = TokenHasher::new(replicas_secret)?;
        metrics.most_bytes.set(i64::try_from(cache.max_bytes).unwrap_or(i64::MAX));
        metrics.shared_configured.set(i64::from(cache.shared.is_some()));
        let caches = CacheParts {
            limits: limits.clone(),
            generations: Arc::new(Generations::new(PLACES)),
            metrics: metrics.clone(),
            clock: clock.clone(),
        };
        let tier = |config| RedisTier::new(config, &caches, &upstream, &tasks).map(Arc::new);
        let shared = cache.shared.as_ref().map(tier).transpose()?;
        Ok(Self(Arc::new(RecordStore {
            upstream,
            caches: Caches::new(caches),
            cursor_key: CursorKey::new(cache.key_secret.as_ref())?,
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
        })))
    }

    /// Begins the work in the background, which ends with the process: follows the shared cache, and evicts
    /// what has expired every half minute.
    pub fn start(&self) {
        let (records, tasks) = (self.clone(), self.tasks.clone());
        let evicting = async move {
            let mut ticks = interval(EVICT_EVERY);
            loop {
                ticks.tick().await;
                let records = records.clone();
                // Going through a full cache takes longer than a task should run for.
                let _ = tasks.spawn_blocking(move || records.caches.evict_expired()).await;
            }
        };
        self.tasks.spawn(self.ended.clone().run_until_cancelled_owned(evicting));
        if let Some(tier) = self.shared.clone() {
            let records = self.clone();
            let following = async move {
                let receive = |received| records.caches.invalidate(&received);
                tokio::join!(tier.subscribe(receive), tier.deliver())
            };
            self.tasks.spawn(self.ended.clone().run_until_cancelled_owned(following));
        }
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
        if self.shared.as_ref().is_some_and(|tier| tier.client.get().is_none()) {
            troubles.push("the shared cache does not answer".to_owned());
        }
        troubles
    }

    /// Brings the gauges up to date.
    pub fn observe(&self) {
        self.upstream.observe();
        self.caches.observe();
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
        let invalidate = |purge| self.caches.invalidate(&Invalidation::Purge(purge));
        match outdated {
            Outdated::All => invalidate(Purge::All),
            Outdated::Projects(projects) => {
                projects.into_iter().map(Purge::Project).for_each(invalidate);
            }
        }
    }

    /// Purges for every caller and on every replica, and keeps running loads from bringing the data back.
    ///
    /// Returns whether Redis has accepted the purge. Otherwise it is delivered once Redis is back, and this
    /// replica reads nothing from Redis before.
    pub async fn purge(&self, purge: &Purge) -> bool {
        self.revoke(Invalidation::Purge(purge.clone()));
        self.metrics.purges.inc(purge.scope());
        let is_everywhere = match &self.shared {
            Some(tier) => tier.outbox.delivers_purges(PURGE_REDIS_WITHIN).await,
            None => true,
        };
        let project = purge.project();
        tracing::info!(
            scope = purge.scope(),
            project = project.map(ProjectId::as_str),
            region = project.and_then(|project| self.region_of(project)).as_deref(),
            is_everywhere,
            "the cache was purged"
        );
        is_everywhere
    }

    /// Drops what a failure invalidates, here and on every replica. See [`Invalidation::by`].
    pub(crate) fn revoke_by(
        &self,
        failure: &Failure,
        caller: CallerKey,
        refused: impl FnOnce() -> Invalidation,
    ) {
        if let Some(invalidation) = Invalidation::by(failure, caller, refused) {
            self.revoke(invalidation);
        }
    }

    fn revoke(&self, invalidation: Invalidation) {
        self.caches.invalidate(&invalidation);
        self.publish(invalidation);
    }

    /// Sends an invalidation to the other replicas.
    pub(crate) fn publish(&self, invalidation: Invalidation) {
        if let Some(tier) = &self.shared {
            tier.outbox.add(invalidation);
        }
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
