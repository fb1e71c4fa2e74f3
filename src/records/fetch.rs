//! Loads: one upstream call each, and what it changes in the caches. A record is looked up in the shared
//! cache first.

use std::sync::Arc;
use std::time::Instant;

use super::cached::{CachedRecord, RecordEntry, Value};
use super::context::RequestContext;
use super::dependency::PageDependency;
use super::freshness::ttl_of;
use super::generation::Generation;
use super::invalidation::Invalidation;
use super::key::RecordKey;
use super::pages::{CachedPage, PageEntry, PageKey};
use super::redis::{LeaseOutcome, RedisTier, SharedKey};
use super::single_flight::LoadHandle;
use super::store::Records;
use crate::domain::{Failure, RefusalKind, ScreenRecord};
use crate::upstream::{Call, ProjectClient};

/// The load of a record, from one region.
struct UpstreamLoad {
    client: ProjectClient,
    key: RecordKey,
    generation: Generation,
}

impl Records {
    /// Joins the load of a record, or starts it.
    pub(crate) fn join_record(
        &self,
        key: &RecordKey,
        context: &RequestContext,
    ) -> LoadHandle<Arc<RecordEntry>> {
        let load = |generation| self.clone().load(key.clone(), context.clone(), generation);
        self.cache.join(key, |found| context.accepts_record(found), load)
    }

    /// Refreshes a record in the background, unless a load of it runs already.
    pub(crate) fn refresh_in_background(
        &self,
        key: &RecordKey,
        entry: &Arc<RecordEntry>,
        context: &RequestContext,
    ) {
        let handle = self.join_record(key, context);
        if !handle.is_leader() {
            return;
        }
        self.metrics.background_refreshes.inc();
        let (records, key, entry) = (self.clone(), key.clone(), Arc::clone(entry));
        self.tasks.spawn(async move {
            if let Err(failure) = handle.load.await {
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

    /// Reads a record and brings the caches in line with the answer.
    pub(crate) async fn load(
        self,
        key: RecordKey,
        context: RequestContext,
        generation: Generation,
    ) -> Result<Arc<RecordEntry>, Failure> {
        // A load keeps to one region, whatever the settings become while it runs.
        let client = self.upstream.project(&key.project)?;
        let load = UpstreamLoad { client, key, generation };
        match self.shared_tier() {
            // Many times the size of the other, which would be set aside for every load.
            Some(tier) => Box::pin(self.load_shared(tier, &load, &context)).await,
            None => self.load_upstream(&load, &context.call()).await,
        }
    }

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
            found.is_fresh() && context.accepts_record(&found)
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
        let limits = self.limits();
        match shown {
            Ok(record) => {
                let ttl = ttl_of(&record, &limits);
                let value = Value::Record(Arc::new(record));
                Ok(self.cache_record(key, CachedRecord::new(value, 200, ttl), generation))
            }
            // Cached even without a TTL, so that a list that was read earlier does not bring the record
            // back.
            Err(failure) if is_absence(&failure) => {
                self.publish(Invalidation::Absence(key.clone()));
                let status = failure.upstream_status().unwrap_or_default();
                let absence =
                    CachedRecord::new(Value::Absent(failure), status, limits.ttl_not_found);
                Ok(self.cache_record(key, absence, generation))
            }
            Err(failure) => {
                if let Some(refused) = Invalidation::by_record(&failure, key) {
                    self.revoke(refused);
                }
                Err(failure)
            }
        }
    }

    fn cache_record(
        &self,
        key: &RecordKey,
        record: CachedRecord,
        generation: &Generation,
    ) -> Arc<RecordEntry> {
        let entry = self.cache.entry(record);
        self.cache.insert(key, &entry, generation);
        entry
    }
}

impl Records {
    /// Reads a page of a list, and caches it and the recordings in it.
    pub(crate) async fn load_page<L: PageDependency>(
        self,
        key: PageKey<L>,
        call: Call,
        generation: Generation,
    ) -> Result<Arc<PageEntry<L>>, Failure> {
        let asked = self.clock.now();
        let client = self.upstream.project(&key.project)?;
        let read = key.listing.read(&client, &call, key.range).await;
        let page = read.inspect_err(|failure| {
            if let Some(refused) = Invalidation::by_list(failure, key.caller, &key.project) {
                self.revoke(refused);
            }
        })?;
        let pages = L::cache(&self);
        let entry = pages.entry(CachedPage(Arc::new(page)));
        if pages.assess(Arc::clone(&entry)).is_fresh() {
            pages.insert(&key, &entry, &generation);
        }
        for (id, record) in entry.value.0.rows.iter().flatten().filter_map(L::record) {
            let PageKey { caller, project, .. } = key.clone();
            let key = RecordKey { caller, project, id };
            self.cache_listed_record(&key, record, asked, &generation);
        }
        Ok(entry)
    }

    fn cache_listed_record(
        &self,
        key: &RecordKey,
        record: &Arc<ScreenRecord>,
        asked: Instant,
        generation: &Generation,
    ) {
        let ttl = ttl_of(record, &self.limits());
        let value = Value::Record(Arc::clone(record));
        let entry = self.cache.entry(CachedRecord::new(value, 200, ttl));
        self.cache.insert_if_newer(key, &entry, asked, generation);
    }
}

pub(crate) fn is_absence(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused(refusal) if refusal.kind == RefusalKind::NotFound)
}
