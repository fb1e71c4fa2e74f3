//! A cache that is bounded in bytes and knows when each value was fetched.
//!
//! Freshness is decided when a value is read, from its age and the settings of that moment, so new settings
//! take effect at once. moka only bounds the memory: an expiry of each entry would make its writes several
//! times as slow, and could not tell fresh from stale.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use moka::sync::Cache;

use super::freshness::{Freshness, Lifetime};
use super::invalidation::{CallerIndex, Generation, Generations, Invalidation, LoadKind};
use super::key::{Key, RecordKey};
use super::metrics::{CacheSize, RecordMetrics};
use super::read::{CacheOutcome, Read, RequestContext};
use super::single_flight::{LoadHandle, SingleFlight};
use crate::clock::Clock;
use crate::config::{CacheConfig, Live};
use crate::domain::{Failure, Grant};

/// What moka needs for an entry beside key and value: hash-table slots, queue nodes and reference counts,
/// estimated from its structures.
const BOOKKEEPING: usize = 200;

/// The shortest time without a further load after one has failed.
const MIN_BACKOFF: Duration = Duration::from_secs(1);

/// Reference counts before a shared value.
pub(crate) const ARC_HEADER: usize = 2 * size_of::<usize>();

/// A value that is cached.
pub(crate) trait CacheValue: Send + Sync + Sized + 'static {
    /// Finds it within a project, for one caller.
    type Id: Clone + Eq + Hash + Send + Sync + 'static;
    /// What a load of it reads.
    const KIND: LoadKind = LoadKind::List;

    /// The bytes that its id takes on the heap.
    fn id_bytes(id: &Self::Id) -> usize;

    /// The key of a record, if it is one.
    fn record_key(_key: &Key<Self::Id>) -> Option<&RecordKey> {
        None
    }

    /// How long it may be served under settings that may have changed since it was fetched.
    fn lifetime(&self, limits: &CacheConfig) -> Lifetime;

    /// The bytes that it takes on the heap.
    fn bytes(&self) -> usize;

    /// HTTP status of the answer.
    fn status(&self) -> u16 {
        200
    }

    /// Whether it was read from the cache that replicas share.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether it may answer callers with a grant.
    fn is_visible_to(&self, _grant: &Grant) -> bool {
        true
    }

    /// Whether an invalidation covers the value of a key.
    fn is_covered(key: &Key<Self::Id>, invalidation: &Invalidation) -> bool {
        invalidation.covers_lists_of(key.caller, &key.project)
    }
}

/// A value and when it was fetched from the upstream.
#[derive(Debug)]
pub(crate) struct Entry<V> {
    pub(crate) value: V,
    pub(crate) fetched: Instant,
    /// After a failed load, no further one is made before the entry has this age in milliseconds.
    backoff_until: AtomicU64,
}

/// An entry and how it may be used now.
pub(crate) struct Found<V> {
    pub(crate) entry: Arc<Entry<V>>,
    pub(crate) age: Duration,
    pub(crate) ttl: Duration,
    pub(crate) freshness: Freshness,
}

/// Values by key, and the loads of those that are missing.
pub(crate) struct TtlCache<V: CacheValue> {
    entries: Cache<Key<V::Id>, Arc<Entry<V>>, RandomState>,
    loads: SingleFlight<Key<V::Id>, Arc<Entry<V>>>,
    callers: CallerIndex,
    max_bytes: u64,
    shared: CacheParts,
}

/// What the caches share.
#[derive(Clone)]
pub(crate) struct CacheParts {
    pub(crate) limits: Live<CacheConfig>,
    pub(crate) generations: Arc<Generations>,
    pub(crate) metrics: RecordMetrics,
    pub(crate) clock: Clock,
}

impl<V: CacheValue> TtlCache<V> {
    pub(crate) fn new(shared: &CacheParts, max_bytes: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(weigh)
            .support_invalidation_closures()
            .build_with_hasher(RandomState::default());
        let loads = SingleFlight::new(shared.metrics.clone());
        Self { entries, loads, callers: CallerIndex::default(), max_bytes, shared: shared.clone() }
    }

    /// A value that was fetched just now.
    pub(crate) fn entry(&self, value: V) -> Arc<Entry<V>> {
        Entry::new(value, self.shared.clock.now())
    }

    /// The entry of a key, unless it has expired.
    pub(crate) fn get(&self, key: &Key<V::Id>) -> Option<Found<V>> {
        let found = self.assess(self.entries.get(key)?);
        (found.freshness != Freshness::Expired).then_some(found)
    }

    /// The entry of a key, if it is fresh.
    pub(crate) fn fresh(&self, key: &Key<V::Id>) -> Option<Found<V>> {
        self.get(key).filter(Found::is_fresh)
    }

    /// How an entry may be used now.
    pub(crate) fn assess(&self, entry: Arc<Entry<V>>) -> Found<V> {
        let age = self.shared.clock.now().saturating_duration_since(entry.fetched);
        let lifetime = entry.value.lifetime(&self.shared.limits.load());
        let freshness = Freshness::of(age, lifetime);
        Found { entry, age, ttl: lifetime.ttl, freshness }
    }

    /// The generation of a load of a key that begins now.
    pub(crate) fn begin(&self, key: &Key<V::Id>) -> Generation {
        self.shared.generations.begin(key.caller, &key.project, V::KIND)
    }

    /// Joins the load of a key, or starts it. A fresh entry that `accepts` takes stands for a load.
    pub(crate) fn join<L>(
        &self,
        key: &Key<V::Id>,
        accepts: impl FnOnce(&Found<V>) -> bool,
        load: impl FnOnce(Generation) -> L,
    ) -> LoadHandle<Arc<Entry<V>>>
    where
        L: Future<Output = Result<Arc<Entry<V>>, Failure>> + Send + 'static,
    {
        let generation = self.begin(key);
        let cached = || Some(self.fresh(key).filter(accepts)?.entry);
        self.loads.join(key, generation, cached, load)
    }

    /// Whether an entry is still the one in the cache.
    pub(crate) fn holds(&self, key: &Key<V::Id>, entry: &Arc<Entry<V>>) -> bool {
        self.entries.get(key).is_some_and(|current| Arc::ptr_eq(&current, entry))
    }

    /// Inserts an entry that a load has fetched, unless its generation has ended.
    pub(crate) fn insert(&self, key: &Key<V::Id>, entry: &Arc<Entry<V>>, generation: &Generation) {
        // With no bytes, moka would keep an entry for a moment.
        if self.max_bytes > 0 {
            generation.keep(|| {
                self.entries.insert(key.clone(), Arc::clone(entry));
                self.callers.note(key.caller, &key.project, self.shared.clock.now());
            });
        }
    }

    /// Inserts an entry, unless the one in the cache was fetched after `asked`: answers overtake one
    /// another.
    pub(crate) fn insert_if_newer(
        &self,
        key: &Key<V::Id>,
        entry: &Arc<Entry<V>>,
        asked: Instant,
        generation: &Generation,
    ) {
        if self.entries.get(key).is_none_or(|current| current.fetched <= asked) {
            self.insert(key, entry, generation);
        }
    }

    /// Drops the entry of a key; whether there was one.
    pub(crate) fn remove(&self, key: &Key<V::Id>) -> bool {
        self.entries.remove(key).is_some()
    }

    /// Drops what an invalidation covers.
    pub(crate) fn invalidate(&self, invalidation: &Invalidation) {
        if self.callers.take(invalidation) {
            let invalidation = invalidation.clone();
            let is_covered = move |key: &Key<V::Id>, _: &_| V::is_covered(key, &invalidation);
            // Infallible: invalidation closures are enabled above.
            let _ = self.entries.invalidate_entries_if(is_covered);
        }
    }

    /// Drops what has expired.
    pub(crate) fn evict_expired(&self, longest_life: Duration) {
        for (key, entry) in &self.entries {
            if self.assess(entry).freshness == Freshness::Expired {
                self.entries.invalidate(&*key);
            }
        }
        self.callers.evict_expired(self.shared.clock.now(), longest_life);
    }

    pub(crate) fn size(&self) -> CacheSize {
        self.entries.run_pending_tasks();
        CacheSize { entries: self.entries.entry_count(), bytes: self.entries.weighted_size() }
    }
}

impl<V> Entry<V> {
    pub(crate) fn new(value: V, fetched: Instant) -> Arc<Self> {
        Arc::new(Self { value, fetched, backoff_until: AtomicU64::new(0) })
    }
}

impl<V> Found<V> {
    /// Makes no further load for a while, after one has failed.
    pub(crate) fn back_off(&self, failure: &Failure) {
        let pause = failure.retry_after().unwrap_or_default().max(MIN_BACKOFF);
        let until = u64::try_from((self.age + pause).as_millis()).unwrap_or(u64::MAX);
        self.entry.backoff_until.store(until, Ordering::Relaxed);
    }

    /// Whether a load failed so recently that another would only add load.
    pub(crate) fn is_backing_off(&self) -> bool {
        let until = self.entry.backoff_until.load(Ordering::Relaxed);
        self.age.as_millis() < u128::from(until)
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.freshness == Freshness::Fresh
    }

    /// As it is read for a request.
    pub(crate) fn read(&self, outcome: CacheOutcome, upstream_status: Option<u16>) -> Read {
        Read::of(outcome, self.age, self.ttl, upstream_status)
    }
}

impl<V: CacheValue> Found<V> {
    /// Whether it may answer a request: it is young enough, and visible to the caller.
    pub(crate) fn may_answer(&self, context: &RequestContext) -> bool {
        context.accepts_age(self.age) && self.entry.value.is_visible_to(&context.grant)
    }
}

fn weigh<V: CacheValue>(key: &Key<V::Id>, entry: &Arc<Entry<V>>) -> u32 {
    let bytes = key_bytes::<V>(key) + size_of::<Entry<V>>() + entry.value.bytes();
    u32::try_from(BOOKKEEPING + bytes).unwrap_or(u32::MAX)
}

/// The bytes that a key takes, wherever they are.
pub(crate) fn key_bytes<V: CacheValue>(key: &Key<V::Id>) -> usize {
    size_of::<Key<V::Id>>() + text_bytes(key.project.as_str()) + V::id_bytes(&key.id)
}

pub(crate) fn text_bytes(text: &str) -> usize {
    ARC_HEADER + text.len()
}

#[cfg(test)]
mod tests {
    use super::super::cached::CachedRecord;
    use super::super::key::CallerKey;
    use super::*;
    use crate::domain::{ProjectId, RecordFields, RecordId, RecordText, ScreenRecord};

    fn key(id: &str) -> RecordKey {
        RecordKey {
            caller: CallerKey::Gateway,
            project: ProjectId::parse("p").unwrap(),
            id: RecordId::parse(id).unwrap(),
        }
    }

    fn parts(limits: Live<CacheConfig>, clock: Clock) -> CacheParts {
        let generations = Arc::new(Generations::new(1));
        CacheParts { limits, generations, metrics: RecordMetrics::default(), clock }
    }

    fn insert(cache: &TtlCache<CachedRecord>, id: &str, record: ScreenRecord) {
        let key = key(id);
        let entry = cache.entry(CachedRecord::new(Ok(Arc::new(record)), &CacheConfig::default()));
        cache.insert(&key, &entry, &cache.begin(&key));
    }

    #[test]
    fn a_flood_of_records_stays_within_the_bytes_that_are_allowed() {
        let limits = Live::new(CacheConfig::default());
        let cache = TtlCache::new(&parts(limits, Clock::default()), 64 * 1024);

        for number in 0..5000 {
            let username = "u".repeat(number % 500);
            let fields = RecordFields::default().with_text(RecordText::Username, username);
            insert(&cache, &format!("r{number}"), fields.into());
        }

        let CacheSize { entries, bytes } = cache.size();
        assert!(entries > 10 && bytes <= 64 * 1024, "{entries} entries of {bytes} bytes");
    }

    #[test]
    fn expired_entries_are_evicted_and_new_settings_take_effect_at_once() {
        let (limits, clock) = (Live::new(CacheConfig::default()), Clock::default());
        let cache = TtlCache::new(&parts(limits.clone(), clock.clone()), 1 << 20);
        insert(&cache, "r", ScreenRecord::default());
        clock.advance(Duration::from_secs(4));

        let second = Duration::from_secs(1);
        limits.set(CacheConfig { ttl_active: second, ..CacheConfig::default() });
        let found = cache.get(&key("r")).unwrap();
        cache.evict_expired(second);
        let entries = cache.size().entries;
        limits.set(CacheConfig {
            ttl_active: second,
            stale_while_revalidate: second,
            stale_if_error: second,
            ..CacheConfig::default()
        });
        cache.evict_expired(second);

        assert_eq!((found.freshness, found.ttl), (Freshness::Stale, second));
        assert_eq!((entries, cache.size().entries), (1, 0));
    }
}
