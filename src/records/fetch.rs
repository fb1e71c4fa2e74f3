//! Loads: one upstream call each, and what it changes in the caches. A record is looked up in the shared
//! cache first.

use std::sync::Arc;

use super::cached::{CachedPage, CachedRecord, Listing, PageId, RecordEntry};
use super::invalidation::{Generation, Invalidation};
use super::key::{Key, RecordKey};
use super::read::{CacheOutcome, Content, Read, RequestContext};
use super::redis::{LeaseOutcome, RedisTier, SharedKey};
use super::single_flight::LoadHandle;
use super::store::{RecordStore, Records};
use super::ttl_cache::{CacheValue, Entry, TtlCache, key_bytes};
use crate::domain::{ErrorCode, Failure, ProjectId};
use crate::upstream::{Call, ProjectClient};

/// The load of a record, from one region.
struct UpstreamLoad {
    client: ProjectClient,
    key: RecordKey,
    generation: Generation,
}

/// A value that requests read through its cache: a record, or a page of a list.
pub(crate) trait Readable: CacheValue {
    const CONTENT: Content;

    fn cache(store: &RecordStore) -> &TtlCache<Self>;

    /// Reads it and brings the caches in line with the answer.
    fn load(
        records: Records,
        key: Key<Self::Id>,
        context: RequestContext,
        generation: Generation,
    ) -> impl Future<Output = Result<Arc<Entry<Self>>, Failure>> + Send + 'static;
}

/// A record or a page that a response was made from, at its version then. A response may be reused while
/// each of them is still the one in the cache, fresh, and of a project that the caller may see.
pub(crate) struct Dependency {
    pub(crate) content: Content,
    pub(crate) project: ProjectId,
    /// About how many bytes it takes: the memory of a dropped record or page is freed with the last weak
    /// pointer to it.
    pub(crate) bytes: usize,
    /// See [`Reread`].
    pub(crate) reread: Box<Reread>,
}

/// The read that a dependency stands for, as a cache hit; `None` unless it is still in the cache, and fresh
/// enough for a request.
type Reread = dyn Fn(&RecordStore, &RequestContext) -> Option<Read> + Send + Sync;

impl Dependency {
    pub(crate) fn new<V: Readable>(key: &Key<V::Id>, entry: &Arc<Entry<V>>) -> Self {
        let (project, key, entry) = (key.project.clone(), key.clone(), Arc::downgrade(entry));
        let bytes = size_of::<Self>() + key_bytes::<V>(&key) + size_of::<Entry<V>>();
        let reread = move |store: &RecordStore, context: &RequestContext| {
            let now = V::cache(store).fresh(&key)?;
            let is_same = Arc::as_ptr(&now.entry) == entry.as_ptr();
            (is_same && context.accepts_age(now.age)).then(|| now.read(CacheOutcome::Hit, None))
        };
        Self { content: V::CONTENT, project, bytes, reread: Box::new(reread) }
    }
}

impl Records {
    /// Joins the load of a key, or starts it.
    pub(crate) fn join<V: Readable>(
        &self,
        key: &Key<V::Id>,
        context: &RequestContext,
    ) -> LoadHandle<Arc<Entry<V>>> {
        let load = |generation| V::load(self.clone(), key.clone(), context.clone(), generation);
        V::cache(self).join(key, |found| found.may_answer(context), load)
    }

    /// Refreshes an entry in the background, unless a load of it runs already.
    pub(crate) fn refresh_in_background<V: Readable>(
        &self,
        key: &Key<V::Id>,
        entry: &Arc<Entry<V>>,
        context: &RequestContext,
    ) {
        let handle = self.join::<V>(key, context);
        if !handle.is_leader() {
            return;
        }
        self.metrics.background_refreshes.inc();
        let (records, key, entry) = (self.clone(), key.clone(), Arc::clone(entry));
        self.tasks.spawn(async move {
            if let Err(failure) = handle.load.await {
                V::cache(&records).assess(entry).back_off(&failure);
                tracing::warn!(
                    code = failure.code().as_str(),
                    upstream.status = failure.upstream_status(),
                    record.id = V::record_key(&key).map(|key| display(&key.id)),
                    "refresh behind a stale answer ended in an error"
                );
            }
        });
    }
}

impl Readable for CachedRecord {
    const CONTENT: Content = Content::Record;

    fn cache(store: &RecordStore) -> &TtlCache<Self> {
        &store.caches.records
    }

    async fn load(
        records: Records,
        key: RecordKey,
        context: RequestContext,
        generation: Generation,
    ) -> Result<Arc<RecordEntry>, Failure> {
        // A load keeps to one region, whatever the settings become while it runs.
        let client = records.upstream.project(&key.project)?;
        let load = UpstreamLoad { client, key, generation };
        match &records.shared {
            // Many times the size of the other, which would be set aside for every load.
            Some(tier) => Box::pin(records.load_shared(tier, &load, &context)).await,
            None => records.load_upstream(&load, &context.call()).await,
        }
    }
}

impl Records {
    async fn load_shared(
        &self,
        tier: &Arc<RedisTier>,
        load: &UpstreamLoad,
        context: &RequestContext,
    ) -> Result<Arc<RecordEntry>, Failure> {
        let UpstreamLoad { client, key: record, generation } = load;
        let key = SharedKey { record: record.clone(), tag: Arc::clone(client.tag()) };
        let begun = self.clock.now();
        let is_usable = |entry: &Arc<RecordEntry>| {
            let found = self.caches.records.assess(Arc::clone(entry));
            found.is_fresh() && found.may_answer(context)
        };
        let land = |entry: Arc<RecordEntry>| {
            self.caches.records.insert_if_newer(record, &entry, entry.fetched, generation);
            Ok(entry)
        };
        let until = tier.time_limit();
        let found = tier.look_up(&key, until).await;
        let mut lease = None;
        if !context.no_cache {
            if let Ok(entry) = &found.entry
                && is_usable(entry)
            {
                return land(Arc::clone(entry));
            }
            // Without generations Redis has not answered, and knows no lease either.
            if found.generations.is_some() {
                match tier.acquire_lease(&key, until, is_usable).await {
                    LeaseOutcome::Load(acquired) => lease = acquired,
                    LeaseOutcome::LoadedElsewhere(entry) => return land(entry),
                }
            }
        }
        // The wait counts towards the deadline.
        let waited = self.clock.now().saturating_duration_since(begun);
        let call = Call { waited, ..context.call() };
        let loaded = self.load_upstream(load, &call).await;
        match (&loaded, found.entry, found.generations) {
            (Ok(entry), _, Some(generations)) => {
                tier.store(key, Arc::clone(entry), generations, lease);
            }
            (Err(failure), Ok(stale), _) if failure.permits_stale() => {
                self.caches.records.insert_if_newer(record, &stale, stale.fetched, generation);
            }
            _ => {}
        }
        loaded
    }

    async fn load_upstream(
        &self,
        load: &UpstreamLoad,
        call: &Call,
    ) -> Result<Arc<RecordEntry>, Failure> {
        let UpstreamLoad { client, key, generation } = load;
        // Boxed, so that the load stays small: it is moved several times before it begins.
        let shown = Box::pin(client.show_screen_record(call, &key.id)).await;
        let record = match shown {
            Ok(record) => Ok(Arc::new(record)),
            // Cached even without a TTL, so that a list that was read earlier does not bring the record
            // back.
            Err(failure) if failure.code() == ErrorCode::NotFound => {
                self.publish(Invalidation::Absence(key.clone()));
                Err(failure)
            }
            Err(failure) => {
                self.revoke_by(&failure, key.caller, || Invalidation::Record(key.clone()));
                return Err(failure);
            }
        };
        let entry = self.caches.records.entry(CachedRecord::new(record, &self.limits.load()));
        self.caches.records.insert(key, &entry, generation);
        Ok(entry)
    }
}

impl<L: Listing> Readable for CachedPage<L> {
    const CONTENT: Content = Content::Page;

    fn cache(store: &RecordStore) -> &TtlCache<Self> {
        L::pages(&store.caches)
    }

    /// Caches the recordings in the page, too.
    async fn load(
        records: Records,
        key: Key<PageId<L>>,
        context: RequestContext,
        generation: Generation,
    ) -> Result<Arc<Entry<Self>>, Failure> {
        let requested = records.clock.now();
        let client = records.upstream.project(&key.project)?;
        let PageId { listing, range } = &key.id;
        let read = listing.read(&client, &context.call(), *range).await;
        let page = read.inspect_err(|failure| {
            let (caller, project) = (key.caller, key.project.clone());
            records.revoke_by(failure, caller, || Invalidation::Lists { caller, project });
        })?;
        let (pages, recordings) = (L::pages(&records.caches), &records.caches.records);
        let entry = pages.entry(Self(Arc::new(page)));
        if pages.assess(Arc::clone(&entry)).is_fresh() {
            pages.insert(&key, &entry, &generation);
        }
        let limits = records.limits.load();
        for (id, record) in entry.value.0.rows.iter().flatten().filter_map(L::record) {
            let record = recordings.entry(CachedRecord::new(Ok(Arc::clone(record)), &limits));
            let key = RecordKey { caller: key.caller, project: key.project.clone(), id };
            recordings.insert_if_newer(&key, &record, requested, &generation);
        }
        Ok(entry)
    }
}
