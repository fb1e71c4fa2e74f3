//! Loads: one upstream call each, and what it changes in the caches. A record is looked up in the shared
//! cache first.

use std::sync::Arc;

use super::cached::{CachedRecord, RecordEntry};
use super::context::RequestContext;
use super::generation::Generation;
use super::invalidation::Invalidation;
use super::key::RecordKey;
use super::pages::{CachedPage, Listing, OperationListing, PageEntry, PageKey};
use super::read::Content;
use super::redis::{LeaseOutcome, RedisTier, SharedKey};
use super::single_flight::LoadHandle;
use super::store::{RecordStore, Records};
use super::ttl_cache::{CacheKey as _, CacheValue, Entry, TtlCache};
use crate::domain::{ErrorCode, Failure, RecordQuery};
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
        key: Self::Key,
        context: RequestContext,
        generation: Generation,
    ) -> impl Future<Output = Result<Arc<Entry<Self>>, Failure>> + Send + 'static;
}

/// A list whose pages are cached.
pub(crate) trait CachedListing: Listing {
    fn pages(store: &RecordStore) -> &TtlCache<CachedPage<Self>>;
}

impl Records {
    /// Joins the load of a key, or starts it.
    pub(crate) fn join<V: Readable>(
        &self,
        key: &V::Key,
        context: &RequestContext,
    ) -> LoadHandle<Arc<Entry<V>>> {
        let load = |generation| V::load(self.clone(), key.clone(), context.clone(), generation);
        V::cache(self).join(key, |found| context.accepts(found), load)
    }

    /// Refreshes an entry in the background, unless a load of it runs already.
    pub(crate) fn refresh_in_background<V: Readable>(
        &self,
        key: &V::Key,
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
                    record.id = key.as_record().map(|key| display(&key.id)),
                    "refresh behind a stale answer ended in an error"
                );
            }
        });
    }
}

impl Readable for CachedRecord {
    const CONTENT: Content = Content::Record;

    fn cache(store: &RecordStore) -> &TtlCache<Self> {
        &store.cache
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
            let found = self.cache.assess(Arc::clone(entry));
            found.is_fresh() && context.accepts(&found)
        };
        let land = |entry: Arc<RecordEntry>| {
            self.cache.insert_if_newer(record, &entry, entry.fetched, generation);
            Ok(entry)
        };
        let until = tier.time_limit();
        let mut found = tier.look_up(&key, until).await;
        let mut lease = None;
        if !context.no_cache {
            if let Some(entry) = found.entry.take_if(|entry| is_usable(entry)) {
                return land(entry);
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
            (Err(failure), Some(stale), _) if failure.permits_stale() => {
                self.cache.insert_if_newer(record, &stale, stale.fetched, generation);
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
            Err(failure) if is_absence(&failure) => {
                self.publish(Invalidation::Absence(key.clone()));
                Err(failure)
            }
            Err(failure) => {
                if let Some(refused) = Invalidation::by_record(&failure, key) {
                    self.revoke(refused);
                }
                return Err(failure);
            }
        };
        let entry = self.cache.entry(CachedRecord::new(record, &self.limits.load()));
        self.cache.insert(key, &entry, generation);
        Ok(entry)
    }
}

impl<L: CachedListing> Readable for CachedPage<L> {
    const CONTENT: Content = Content::Page;

    fn cache(store: &RecordStore) -> &TtlCache<Self> {
        L::pages(store)
    }

    /// Caches the recordings in the page, too.
    async fn load(
        records: Records,
        key: PageKey<L>,
        context: RequestContext,
        generation: Generation,
    ) -> Result<Arc<PageEntry<L>>, Failure> {
        let requested = records.clock.now();
        let client = records.upstream.project(&key.project)?;
        let read = key.listing.read(&client, &context.call(), key.range).await;
        let page = read.inspect_err(|failure| {
            if let Some(refused) = Invalidation::by_list(failure, key.caller, &key.project) {
                records.revoke(refused);
            }
        })?;
        let pages = L::pages(&records);
        let entry = pages.entry(Self(Arc::new(page)));
        if pages.assess(Arc::clone(&entry)).is_fresh() {
            pages.insert(&key, &entry, &generation);
        }
        for (id, record) in entry.value.0.rows.iter().flatten().filter_map(L::record) {
            let PageKey { caller, project, .. } = key.clone();
            let record = CachedRecord::new(Ok(Arc::clone(record)), &records.limits.load());
            let record = records.cache.entry(record);
            let key = RecordKey { caller, project, id };
            records.cache.insert_if_newer(&key, &record, requested, &generation);
        }
        Ok(entry)
    }
}

impl CachedListing for RecordQuery {
    fn pages(store: &RecordStore) -> &TtlCache<CachedPage<Self>> {
        &store.record_pages
    }
}

impl CachedListing for OperationListing {
    fn pages(store: &RecordStore) -> &TtlCache<CachedPage<Self>> {
        &store.operation_pages
    }
}

fn is_absence(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused(refusal) if refusal.code == ErrorCode::NotFound)
}
