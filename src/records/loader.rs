//! The loader: cache first, then one upstream call per record, however many ask.

use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use dataloader::BatchFn;
use dataloader::cached::Loader;
use futures_util::FutureExt as _;
use futures_util::stream::Stream;
use opentelemetry::Context;
use opentelemetry::trace::SpanContext;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::cached::{CachedRecord, RecordEntry};
use super::dependency::{Dependencies, Dependency};
use super::explain::Explanation;
use super::flight::{Boarding, Flight, Flights, JoinRequest};
use super::freshness::Freshness;
use super::generation::{Generations, LoadKind};
use super::invalidation::{Invalidation, Purge};
use super::key::{CallerKey, RecordKey, TokenHasher};
use super::links::{LinkLoader, Links};
use super::list::OperationListing;
use super::load::{Landing, Loadable, Tier};
use super::metrics::RecordMetrics;
use super::pages::Pages;
use super::read::{CacheOutcome, Content, Read, ReadSummary};
use super::redis::{Identity, RedisTier, RedisTierParts, WriteQueue};
use super::ttl_cache::{Found, TtlCache};
use super::watch::Watches;
use crate::clock::Clock;
use crate::config::{
    CacheBudget, CacheConfig, InboundConfig, Live, SubscriptionsConfig, UpstreamConfig,
};
use crate::domain::{
    CallerIdentity, Failure, ProjectId, RecordId, RecordQuery, ScreenRecord, Token,
};
use crate::spans;
use crate::upstream::{Call, Requester, Upstream};

/// How long refreshes of a record rest after one has failed, unless the upstream names a time.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Projects that are noted of one operation, for the log.
const MOST_NOTED_PROJECTS: usize = 10;

/// The records, for the whole process. Clones share everything.
#[derive(Clone)]
pub struct Records(Arc<Inner>);

/// The records, without keeping them.
pub(crate) struct WeakRecords(Weak<Inner>);

struct Inner {
    upstream: Upstream,
    cache: TtlCache<CachedRecord>,
    flights: Flights<RecordKey, Landing>,
    record_pages: Arc<Pages<RecordQuery>>,
    operation_pages: Arc<Pages<OperationListing>>,
    links: Links,
    generations: Generations,
    hasher: TokenHasher,
    limits: Live<CacheConfig>,
    projects: Live<Option<BTreeSet<ProjectId>>>,
    watches: Watches,
    next_operation: AtomicU64,
    poll_interval: Live<Duration>,
    shared: Option<RedisTier>,
    tasks: TaskTracker,
    ended: CancellationToken,
    metrics: RecordMetrics,
    clock: Clock,
}

/// What the records are made of beside the upstream.
pub struct RecordParts<'c> {
    /// `upstream.*`: whose records these are, for the tier that replicas share.
    pub upstream: &'c UpstreamConfig,
    /// `cache.*`
    pub cache: &'c CacheConfig,
    /// `inbound.*`
    pub inbound: &'c InboundConfig,
    /// `subscriptions.*`
    pub subscriptions: &'c SubscriptionsConfig,
    /// Where reads are counted.
    pub metrics: RecordMetrics,
    /// The source of time.
    pub clock: Clock,
    /// The tasks of the process, which its end waits for.
    pub tasks: TaskTracker,
    /// Cancelled once the last request is through.
    pub ended: CancellationToken,
}

/// Who asks, and how. One per GraphQL request.
#[derive(Clone, Debug, Default)]
pub struct Asking {
    /// The caller, as per-caller limits count them.
    pub identity: CallerIdentity,
    /// Tells the operations of a caller apart; set by [`Records::reader`].
    pub(crate) operation: u64,
    /// The caller's token, where one came.
    pub token: Option<Token>,
    /// The projects the caller may see, of those that are served at all; `None` for all of these.
    pub projects: Option<Arc<BTreeSet<ProjectId>>>,
    /// `X-Request-Id`, sent upstream with every call made for this request.
    pub request_id: Arc<str>,
    /// Read from the upstream even what is fresh: request header `Cache-Control: no-cache`.
    pub no_cache: bool,
    /// Read from the upstream what is older than this: request header `Cache-Control: max-age=…`.
    pub max_age: Option<Duration>,
}

/// Reads records for one GraphQL request: collapses duplicates, starts distinct ones together.
///
/// There is one `dataloader` per request and not one per process, because that crate holds a lock
/// while a batch loads. Its batches only *begin* loads and hand them out, so nobody waits for the
/// slowest key of a batch; and it is made at the first miss, so a hit never meets it.
pub struct Reader {
    records: Records,
    asking: Asking,
    caller: Option<CallerKey>,
    loader: OnceLock<Loader<LoadKey, Ticket, Departures>>,
    link_loader: OnceLock<LinkLoader>,
    noted: Mutex<ReadSummary>,
    pub(super) dependencies: Mutex<Dependencies>,
    /// What was read field by field, where somebody wants to know.
    pub(super) explanation: OnceLock<Box<Explanation>>,
    /// How many recordings and pages are being read.
    under_way: AtomicUsize,
    /// Told when one of them has been.
    landed: Notify,
}

/// Whether a request may ask for other recordings at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    Others,
    None,
}

/// Counts as one read under way while it lives.
pub(crate) struct Loading<'r>(&'r Reader);

/// Begins the loads of one batch.
struct Departures {
    records: Records,
    asking: Asking,
}

/// A record to load. Compared by the record alone.
#[derive(Clone, Debug)]
struct LoadKey {
    record: RecordKey,
    /// The span of the read that asks first.
    trace: Context,
}

/// A load under way, as one of this request's readers sees it.
#[derive(Clone)]
struct Ticket {
    flight: Flight<Landing>,
    /// Set for the one reader that counts the upstream call as its own.
    leads: Arc<AtomicBool>,
    /// The span of the read that had begun it before; invalid where none had.
    begun_in: SpanContext,
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
            })
        });
        let (shared, writes) = shared.transpose()?.unzip();
        metrics.limit(cache.max_bytes);
        metrics.shared.configured.set(i64::from(cache.shared.is_some()));
        let records = Self(Arc::new(Inner {
            upstream,
            cache: TtlCache::new(limits.clone(), record_bytes, clock.clone()),
            flights: Flights::new(metrics.clone()),
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
            generations: Generations::default(),
            hasher,
            limits,
            projects: Live::new(inbound.projects.clone()),
            watches: Watches::default(),
            next_operation: AtomicU64::new(0),
            poll_interval: Live::new(subscriptions.poll_interval),
            shared: shared.clone(),
            tasks,
            ended,
            metrics,
            clock,
        }));
        if let (Some(tier), Some(writes)) = (shared, writes) {
            records.run_shared_tier(tier, writes);
        }
        Ok(records)
    }

    /// Keeps the shared cache going until the process ends.
    fn run_shared_tier(&self, tier: RedisTier, writes: WriteQueue) {
        let records = self.downgrade();
        let ended = self.0.ended.clone();
        self.0.tasks.spawn(async move {
            let on_received = |received| {
                if let Some(records) = records.upgrade() {
                    records.receive(&received);
                }
            };
            tier.run(writes, on_received, ended).await;
        });
    }

    /// A reader for one GraphQL request.
    pub fn reader(&self, asking: Asking) -> Reader {
        let caller = self.caller(asking.token.as_ref());
        let operation = self.0.next_operation.fetch_add(1, Ordering::Relaxed);
        let asking = Asking { operation, ..asking };
        Reader {
            records: self.clone(),
            asking,
            caller,
            loader: OnceLock::new(),
            link_loader: OnceLock::new(),
            noted: Mutex::default(),
            dependencies: Mutex::default(),
            explanation: OnceLock::new(),
            under_way: AtomicUsize::new(0),
            landed: Notify::new(),
        }
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

    /// Has other lives, projects and pauses used from now on.
    pub fn change(
        &self,
        cache: &CacheConfig,
        inbound: &InboundConfig,
        subscriptions: &SubscriptionsConfig,
    ) {
        self.0.projects.set(inbound.projects.clone());
        self.0.limits.set(cache.clone());
        self.0.poll_interval.set(subscriptions.poll_interval);
    }

    /// Drops everything that this process holds, because it reads as somebody else from now on.
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
    }

    pub(crate) fn watches(&self) -> &Watches {
        &self.0.watches
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    pub(crate) fn metrics(&self) -> &RecordMetrics {
        &self.0.metrics
    }

    pub(crate) fn poll_interval(&self) -> Duration {
        **self.0.poll_interval.load()
    }

    fn board(&self, key: &RecordKey, asking: &Asking) -> Boarding<Landing> {
        let Inner { cache, flights, .. } = &*self.0;
        let young = |found: &Found<CachedRecord>| asking.accepts_age(found.age);
        let load =
            |generation| self.clone().load(key.clone(), Loadable::of(asking), generation).boxed();
        let begin = || self.generations().begin(key.caller, &key.project, LoadKind::Record);
        flights.board_record(JoinRequest { key, begin: &begin }, cache, young, load)
    }

    /// Refreshes a record without anybody waiting for it, unless a load is under way already.
    fn refresh_behind(&self, key: &RecordKey, found: &Found<CachedRecord>, asking: &Asking) {
        let boarding = self.board(key, asking);
        if boarding.joined {
            return;
        }
        self.0.metrics.background_refreshes.inc();
        let (records, key, entry) = (self.clone(), key.clone(), Arc::clone(&found.entry));
        self.0.tasks.spawn(async move {
            if let Err(failure) = boarding.flight.await {
                records.back_off(entry, &failure);
                tracing::warn!(
                    code = failure.code().as_str(),
                    upstream.status = failure.upstream_status(),
                    record.id = %key.id,
                    "refresh behind a stale answer ended in an error"
                );
            }
        });
    }

    /// Makes no further refresh of an entry for a while.
    fn back_off(&self, entry: Arc<RecordEntry>, failure: &Failure) {
        let pause = failure.retry_after().unwrap_or_default().max(REST_AFTER_FAILURE);
        self.0.cache.assess(entry).back_off(pause);
    }
}

impl WeakRecords {
    pub(crate) fn upgrade(&self) -> Option<Records> {
        self.0.upgrade().map(Records)
    }
}

impl Asking {
    /// The upstream calls that this makes.
    pub(crate) fn call(&self) -> Call {
        let request_id = Arc::clone(&self.request_id);
        let token = self.token.clone();
        let requester = Requester { caller: self.identity.limit_key(), operation: self.operation };
        Call { requester, token, request_id, waited: Duration::ZERO }
    }

    /// Where something came from that was read.
    pub(crate) fn outcome(&self, leads: bool, was_cached: bool) -> CacheOutcome {
        match (leads, self.no_cache, was_cached) {
            (false, ..) => CacheOutcome::Collapsed,
            (true, true, _) => CacheOutcome::Bypass,
            (true, false, true) => CacheOutcome::Expired,
            (true, false, false) => CacheOutcome::Miss,
        }
    }

    /// Whether a cached value may be served: it is fresh, and young enough for this request.
    pub(crate) fn accepts<V>(&self, found: &Found<V>) -> bool {
        found.is_fresh() && self.accepts_age(found.age)
    }

    /// Whether a cached value of an age is young enough for this request.
    pub(crate) fn accepts_age(&self, age: Duration) -> bool {
        !self.no_cache && self.max_age.is_none_or(|most| age <= most)
    }
}

impl Reader {
    /// One recording.
    ///
    /// # Errors
    /// [`Failure::TokenMissing`] and [`Failure::ProjectNotAllowed`] before anything is read; else
    /// what the upstream, or the way there, made of it.
    pub async fn screen_record(
        &self,
        project: ProjectId,
        id: RecordId,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        self.read(self.admit(project, id)?, Company::Others).await
    }

    /// As [`Self::screen_record`], for a request that asks for this recording and no other: there is
    /// nothing to make a batch of.
    ///
    /// # Errors
    /// As [`Self::screen_record`].
    pub async fn only_screen_record(
        &self,
        project: ProjectId,
        id: RecordId,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        self.read(self.admit(project, id)?, Company::None).await
    }

    async fn read(&self, key: RecordKey, company: Company) -> Result<Arc<ScreenRecord>, Failure> {
        let found = self.records.0.cache.get(&key).filter(|_| !self.asking.no_cache);
        if found.as_ref().is_some_and(|found| !self.asking.accepts_age(found.age)) {
            // Too old for this request, but still there in place of an error.
            return self.fetch(key, found, company).await;
        }
        match &found {
            Some(fresh @ Found { freshness: Freshness::Fresh, .. }) => {
                return self.serve(&key, fresh, CacheOutcome::Hit);
            }
            Some(stale @ Found { freshness: Freshness::Stale, .. }) => {
                if !stale.is_backing_off() {
                    self.records.refresh_behind(&key, stale, &self.asking);
                }
                return self.serve(&key, stale, CacheOutcome::Stale);
            }
            Some(spare) if spare.is_backing_off() => {
                return self.serve(&key, spare, CacheOutcome::StaleOnError);
            }
            Some(_) | None => {}
        }
        self.fetch(key, found, company).await
    }

    /// The state of a recording now, then again whenever it changes. Ends after a final status, and
    /// after a failure that waiting will not mend.
    ///
    /// # Errors
    /// [`Failure::TokenMissing`] and [`Failure::ProjectNotAllowed`] before anything is read;
    /// [`Failure::TooManyWatched`] and [`Failure::Overloaded`] at the limits of watched recordings.
    pub fn watch(
        &self,
        project: ProjectId,
        id: RecordId,
    ) -> Result<impl Stream<Item = Result<Arc<ScreenRecord>, Failure>> + Send + use<>, Failure>
    {
        self.records.watch(&self.asking, self.admit(project, id)?)
    }

    /// A reader for the next answer of the same operation: with empty loaders, and with the part of
    /// the summary that was not taken.
    pub(crate) fn renewed(&self) -> Self {
        let renewed = self.records.reader(self.asking.clone());
        *renewed.noted() = self.take_summary();
        renewed
    }

    /// What was read since the last call.
    pub fn take_summary(&self) -> ReadSummary {
        std::mem::take(&mut self.noted())
    }

    /// Checks that the caller may ask for the project at all, and makes the key.
    pub(crate) fn admit(&self, project: ProjectId, id: RecordId) -> Result<RecordKey, Failure> {
        let caller = self.admit_project(&project)?;
        Ok(RecordKey { caller, project, id })
    }

    /// Checks that the caller may ask for the project at all.
    pub(crate) fn admit_project(&self, project: &ProjectId) -> Result<CallerKey, Failure> {
        self.check_project(project)?;
        self.caller.ok_or(Failure::TokenMissing)
    }

    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    pub(crate) fn asking(&self) -> &Asking {
        &self.asking
    }

    pub(crate) fn link_loader(&self, new: impl FnOnce() -> LinkLoader) -> &LinkLoader {
        self.link_loader.get_or_init(new)
    }

    /// Begins to load a recording or a page.
    pub(crate) async fn loading(&self) -> Loading<'_> {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let loading = Loading(self);
        // A request that cannot be answered in its first poll needs a permit to wait. Nothing is sent
        // upstream before it has one.
        tokio::task::yield_now().await;
        loading
    }

    /// Waits until no recording and no page is being read.
    pub(crate) async fn quiet(&self) {
        loop {
            // Fields beside this one have all begun to read by the time it is asked again.
            tokio::task::yield_now().await;
            let landed = self.landed.notified();
            if self.under_way.load(Ordering::SeqCst) == 0 {
                return;
            }
            landed.await;
        }
    }

    /// Checks a project against those that are served and those of the caller, and notes that it was
    /// asked for.
    fn check_project(&self, project: &ProjectId) -> Result<(), Failure> {
        let mut noted = self.noted();
        if noted.projects.len() < MOST_NOTED_PROJECTS && !noted.projects.contains(project) {
            noted.projects.push(project.clone());
        }
        drop(noted);
        let served = self.records.0.projects.load();
        let own = self.asking.projects.as_deref();
        if [Option::as_ref(&served), own]
            .into_iter()
            .flatten()
            .any(|allowed| !allowed.contains(project))
        {
            return Err(Failure::ProjectNotAllowed);
        }
        Ok(())
    }

    async fn fetch(
        &self,
        key: RecordKey,
        found: Option<Found<CachedRecord>>,
        company: Company,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        self.join_load(key, found, company).instrument(Content::Record.span()).await
    }

    /// Joins the load of a record, or begins it, within the span of the read.
    async fn join_load(
        &self,
        key: RecordKey,
        found: Option<Found<CachedRecord>>,
        company: Company,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        let _loading = self.loading().await;
        let ticket = match company {
            Company::Others => self.ticket(&key).await,
            Company::None => Ticket::of(self.board(&key)),
        };
        Span::current().add_link(ticket.begun_in.clone());
        let leads = ticket.leads.swap(false, Ordering::Relaxed);
        match self.landing(&key, ticket, leads).await {
            (Ok(Landing { entry, tier: Tier::Shared }), _) => {
                let found = self.records.0.cache.assess(entry);
                let read = Read::of(CacheOutcome::Hit, found.age, found.ttl, None);
                self.note_load(&key, read, Some(&found.entry));
                self.note_shared();
                found.entry.value.read()
            }
            (Ok(Landing { entry, tier: Tier::First }), leads) => {
                let outcome = self.asking.outcome(leads, found.is_some());
                let loaded = self.records.0.cache.assess(entry);
                let status = Some(loaded.entry.value.status);
                let read = Read::of(outcome, loaded.age, loaded.ttl, status);
                self.note_load(&key, read, Some(&loaded.entry));
                loaded.entry.value.read()
            }
            (Err(failure), leads) => {
                // The load may have found in the shared tier what may stand in for a failure.
                let found = found.or_else(|| self.spare(&key));
                self.fall_back(&key, leads, found, failure)
            }
        }
    }

    /// What a load ends in, and whether it is this request's own. A load that another request began
    /// may end in something from the shared tier that is too old for this one: then another is made.
    async fn landing(
        &self,
        key: &RecordKey,
        ticket: Ticket,
        mut leads: bool,
    ) -> (Result<Landing, Failure>, bool) {
        let mut landing = ticket.flight.await;
        while let Ok(Landing { entry, tier: Tier::Shared }) = &landing {
            if self.asking.accepts_age(self.records.0.cache.assess(Arc::clone(entry)).age) {
                break;
            }
            let boarding = self.board(key);
            leads = !boarding.joined;
            landing = boarding.flight.await;
        }
        (landing, leads)
    }

    fn board(&self, key: &RecordKey) -> Boarding<Landing> {
        self.records.board(key, &self.asking)
    }

    fn spare(&self, key: &RecordKey) -> Option<Found<CachedRecord>> {
        let may_be = !self.asking.no_cache && self.records.0.shared.is_some();
        may_be.then(|| self.records.0.cache.get(key)).flatten()
    }

    /// Serves what is kept in a failure's place, where that is allowed.
    fn fall_back(
        &self,
        key: &RecordKey,
        leads: bool,
        found: Option<Found<CachedRecord>>,
        failure: Failure,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        match found {
            // A record that was dropped meanwhile must not be served.
            Some(spare) if failure.permits_stale() && self.is_kept(key, &spare) => {
                self.records.back_off(Arc::clone(&spare.entry), &failure);
                let code = failure.code().as_str();
                tracing::warn!(code, record.id = %key.id, "served stale in place of an error");
                let stale = self.records.0.cache.assess(spare.entry);
                let status = failure.upstream_status();
                let read = Read::of(CacheOutcome::StaleOnError, stale.age, stale.ttl, status);
                self.note_load(key, read, Some(&stale.entry));
                stale.entry.value.read()
            }
            found => {
                let outcome = self.asking.outcome(leads, found.is_some());
                spans::fail(&Span::current(), failure.code().as_str());
                self.note_load(key, Read::failed(outcome, failure.upstream_status()), None);
                Err(failure)
            }
        }
    }

    fn is_kept(&self, key: &RecordKey, found: &Found<CachedRecord>) -> bool {
        self.records.0.cache.holds(key, &found.entry)
    }

    async fn ticket(&self, key: &RecordKey) -> Ticket {
        let loader = self.loader.get_or_init(|| {
            let (records, asking) = (self.records.clone(), self.asking.clone());
            let departures = Departures { records, asking };
            // Sibling fields have all been asked once by the time the first is asked again, so
            // yielding once is enough to see them all.
            Loader::new(departures).with_yield_count(1)
        });
        let (record, trace) = (key.clone(), Context::current());
        match loader.try_load(LoadKey { record, trace }).await {
            Ok(ticket) => ticket,
            // The batch answers every key; should one be missing, it is loaded by itself.
            Err(_) => Ticket::of(self.board(key)),
        }
    }

    fn serve(
        &self,
        key: &RecordKey,
        found: &Found<CachedRecord>,
        outcome: CacheOutcome,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        outcome.record_with_absence(&Content::Record.span(), found.entry.value.is_absent());
        self.note(key, Read::of(outcome, found.age, found.ttl, None), Some(&found.entry));
        found.entry.value.read()
    }

    /// Notes the outcome of a load in the current span, which is that of the read, and for the answer.
    fn note_load(&self, key: &RecordKey, read: Read, entry: Option<&Arc<RecordEntry>>) {
        let is_absence = entry.is_some_and(|entry| entry.value.is_absent());
        read.outcome.record_with_absence(&Span::current(), is_absence);
        self.note(key, read, entry);
    }

    fn note(&self, key: &RecordKey, read: Read, entry: Option<&Arc<RecordEntry>>) {
        match entry {
            Some(entry) if read.outcome.is_fresh() => {
                self.depend_on(|| Dependency::Record(key.clone(), Arc::downgrade(entry)));
            }
            Some(_) | None => self.mark_uncacheable(),
        }
        self.note_for_field(Content::Record, &read, entry.is_some());
        self.note_read(read);
    }

    pub(crate) fn note_read(&self, read: Read) {
        self.records.0.metrics.count(read.outcome);
        self.noted().reads.push(read);
    }

    /// Notes that a signed link is handed out.
    pub(crate) fn note_secret(&self) {
        self.noted().has_links = true;
    }

    fn noted(&self) -> MutexGuard<'_, ReadSummary> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
        self.0.landed.notify_waiters();
    }
}

impl BatchFn<LoadKey, Ticket> for Departures {
    async fn load(&mut self, keys: &[LoadKey]) -> HashMap<LoadKey, Ticket> {
        let ticket = |key: &LoadKey| {
            let _attached = key.trace.clone().attach();
            Ticket::of(self.records.board(&key.record, &self.asking))
        };
        keys.iter().map(|key| (key.clone(), ticket(key))).collect()
    }
}

impl Ticket {
    fn of(boarding: Boarding<Landing>) -> Self {
        let leads = Arc::new(AtomicBool::new(!boarding.joined));
        Self { flight: boarding.flight, leads, begun_in: boarding.span }
    }
}

impl PartialEq for LoadKey {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record
    }
}

impl Eq for LoadKey {}

impl Hash for LoadKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.record.hash(state);
    }
}
