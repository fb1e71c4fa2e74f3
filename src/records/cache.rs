//! The process-wide record cache: bounded in bytes, every entry with the time it was read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use moka::sync::Cache;

use super::caller_index::CallerIndex;
use super::freshness::{Freshness, ttl_of};
use super::generation::Generation;
use super::invalidation::Invalidation;
use super::key::RecordKey;
use super::weight::weight;
use crate::clock::Clock;
use crate::config::{CacheConfig, Live};
use crate::domain::{Failure, ScreenRecord};

/// What the upstream said of a record, and when.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    /// HTTP status of the answer it was read from.
    pub(crate) status: u16,
    fetched: Instant,
    ttl: Duration,
    /// Refreshes rest until the entry has this age in milliseconds, after one has failed.
    resting_until: AtomicU64,
}

/// A record, or the upstream's word that there is none.
#[derive(Debug)]
pub(crate) enum Value {
    Record(Arc<ScreenRecord>),
    Absent(Failure),
}

/// An entry and what may be done with it now.
pub(crate) struct Found {
    pub(crate) entry: Arc<Entry>,
    pub(crate) freshness: Freshness,
    pub(crate) age: Duration,
    /// How long it is fresh.
    pub(crate) ttl: Duration,
}

/// Records by key. Freshness is judged on reading, by our own clock; moka only bounds the memory.
pub(crate) struct RecordCache {
    entries: Cache<RecordKey, Arc<Entry>, RandomState>,
    limits: Live<CacheConfig>,
    callers: CallerIndex,
    max_bytes: u64,
    clock: Clock,
}

impl RecordCache {
    pub(crate) fn new(limits: Live<CacheConfig>, max_bytes: u64, clock: Clock) -> Self {
        // Per-entry expiry makes writes to moka several times as slow, it could not tell fresh from
        // stale anyway, and lives may change: what nothing may serve is let go of by `sweep`.
        let entries = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(weight)
            .support_invalidation_closures()
            .build_with_hasher(RandomState::default());
        let callers = CallerIndex::new(clock.clone());
        Self { entries, limits, callers, max_bytes, clock }
    }

    /// The entry of a key, unless nothing may serve it any more.
    pub(crate) fn get(&self, key: &RecordKey) -> Option<Found> {
        let entry = self.entries.get(key)?;
        let age = self.age_of(&entry);
        let limits = self.limits.load();
        let (freshness, ttl) = (entry.freshness(age, &limits), entry.ttl_under(&limits));
        (freshness != Freshness::Expired).then_some(Found { entry, freshness, age, ttl })
    }

    /// Whether an entry is fresh.
    pub(crate) fn is_fresh(&self, entry: &Entry) -> bool {
        !self.remaining(entry).is_zero()
    }

    /// The entry of a key, if it is fresh.
    pub(crate) fn fresh(&self, key: &RecordKey) -> Option<Arc<Entry>> {
        self.get(key)
            .filter(|found| matches!(found.freshness, Freshness::Fresh(_)))
            .map(|found| found.entry)
    }

    /// Keeps a record that has just been read.
    pub(crate) fn keep(
        &self,
        key: &RecordKey,
        record: ScreenRecord,
        generation: &Generation,
    ) -> Arc<Entry> {
        let ttl = ttl_of(&record, &self.limits.load());
        let entry = self.entry(Value::Record(Arc::new(record)), 200, ttl);
        self.insert(key, &entry, generation);
        entry
    }

    /// Keeps a record out of a list that was asked for at some time, unless what is kept was read
    /// after that: answers overtake one another.
    pub(crate) fn keep_listed(
        &self,
        key: &RecordKey,
        record: &Arc<ScreenRecord>,
        asked: Instant,
        generation: &Generation,
    ) {
        if self.entries.get(key).is_some_and(|entry| entry.fetched > asked) {
            return;
        }
        let ttl = ttl_of(record, &self.limits.load());
        let entry = self.entry(Value::Record(Arc::clone(record)), 200, ttl);
        self.insert(key, &entry, generation);
    }

    /// Keeps what was found in the shared tier, unless what is kept was read after that.
    pub(crate) fn keep_shared(&self, key: &RecordKey, entry: &Arc<Entry>, generation: &Generation) {
        if self.entries.get(key).is_none_or(|kept| kept.fetched < entry.fetched) {
            self.insert(key, entry, generation);
        }
    }

    /// Keeps for a short while that there is no such record. Even where that is for no time at all, a list
    /// that was asked for earlier does not bring the record back.
    pub(crate) fn keep_absence(
        &self,
        key: &RecordKey,
        failure: Failure,
        generation: &Generation,
    ) -> Arc<Entry> {
        let status = failure.upstream_status().unwrap_or_default();
        let ttl = self.limits.load().ttl_not_found;
        let entry = self.entry(Value::Absent(failure), status, ttl);
        self.insert(key, &entry, generation);
        entry
    }

    /// Whether an entry is still the one that is kept.
    pub(crate) fn holds(&self, key: &RecordKey, entry: &Arc<Entry>) -> bool {
        self.entries.get(key).is_some_and(|kept| Arc::ptr_eq(&kept, entry))
    }

    /// Drops what is kept for a key; whether there was anything.
    pub(crate) fn drop_entry(&self, key: &RecordKey) -> bool {
        self.entries.remove(key).is_some()
    }

    /// Drops what an invalidation covers, except a single record: see [`Self::drop_entry`].
    pub(crate) fn invalidate(&self, invalidation: &Invalidation) {
        match invalidation {
            Invalidation::Purge(_) | Invalidation::Token(_) => {}
            Invalidation::Record(_) | Invalidation::Lists { .. } | Invalidation::Absence(_) => {
                return;
            }
        }
        if self.callers.take(invalidation) {
            let invalidation = invalidation.clone();
            // Infallible: invalidation closures are enabled above.
            let _ =
                self.entries.invalidate_entries_if(move |key, _| invalidation.covers_record(key));
        }
    }

    /// How long an entry stays fresh from now on.
    pub(crate) fn remaining(&self, entry: &Entry) -> Duration {
        self.ttl_of(entry).saturating_sub(self.age_of(entry))
    }

    /// How long an entry is fresh.
    pub(crate) fn ttl_of(&self, entry: &Entry) -> Duration {
        entry.ttl_under(&self.limits.load())
    }

    pub(crate) fn age_of(&self, entry: &Entry) -> Duration {
        self.clock.now().saturating_duration_since(entry.fetched)
    }

    /// Lets refreshes of an entry rest for a while, after one has failed.
    pub(crate) fn rest(&self, entry: &Entry, pause: Duration) {
        let until = u64::try_from((self.age_of(entry) + pause).as_millis()).unwrap_or(u64::MAX);
        entry.resting_until.store(until, Ordering::Relaxed);
    }

    /// Lets go of what nothing may serve any more.
    pub(crate) fn sweep(&self) {
        let limits = self.limits.get();
        for (key, entry) in &self.entries {
            if entry.freshness(self.age_of(&entry), &limits) == Freshness::Expired {
                self.entries.invalidate(&*key);
            }
        }
        self.callers.evict_expired(longest_use(&limits));
    }

    /// Number of entries and their weight in bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.entries.run_pending_tasks();
        (self.entries.entry_count(), self.entries.weighted_size())
    }

    /// A cache of no bytes keeps nothing at all.
    fn insert(&self, key: &RecordKey, entry: &Arc<Entry>, generation: &Generation) {
        if self.max_bytes > 0 {
            generation.keep(|| {
                self.entries.insert(key.clone(), Arc::clone(entry));
                self.callers.note(key.caller, &key.project);
            });
        }
    }

    fn entry(&self, value: Value, status: u16, ttl: Duration) -> Arc<Entry> {
        Arc::new(Entry::new(value, status, self.clock.now(), ttl))
    }
}

/// How long a record may be served after it was read, if only in place of an error.
fn longest_use(limits: &CacheConfig) -> Duration {
    let fresh = limits.ttl_final.max(limits.ttl_active).max(limits.ttl_not_found);
    fresh + limits.stale_if_error.max(limits.stale_while_revalidate)
}

impl Entry {
    pub(crate) fn new(value: Value, status: u16, fetched: Instant, ttl: Duration) -> Self {
        Self { value, status, fetched, ttl, resting_until: AtomicU64::new(0) }
    }

    fn freshness(&self, age: Duration, limits: &CacheConfig) -> Freshness {
        match &self.value {
            Value::Record(_) => Freshness::of_record(age, self.ttl_under(limits), limits),
            Value::Absent(_) => Freshness::of_absence(age, limits),
        }
    }

    /// For how long it is fresh under limits that may have changed since it was read: what was kept
    /// for long must not outlive a shorter life.
    fn ttl_under(&self, limits: &CacheConfig) -> Duration {
        let now = match &self.value {
            Value::Record(record) => ttl_of(record, limits),
            Value::Absent(_) => limits.ttl_not_found,
        };
        self.ttl.min(now)
    }

    /// When it was read from the upstream.
    pub(crate) fn fetched(&self) -> Instant {
        self.fetched
    }

    /// For how long from then on it is fresh.
    pub(crate) fn ttl(&self) -> Duration {
        self.ttl
    }
}

impl Found {
    /// Whether a refresh failed so recently that another would only add load.
    pub(crate) fn is_resting(&self) -> bool {
        self.age.as_millis() < u128::from(self.entry.resting_until.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::super::generation::{Generations, LoadKind};
    use super::super::key::CallerKey;
    use super::*;
    use crate::domain::{ProjectId, RecordFields, RecordId, RecordText};

    fn generation(key: &RecordKey) -> Generation {
        Generations::default().begin(key.caller, &key.project, LoadKind::Record)
    }

    #[test]
    fn a_flood_of_records_stays_within_the_bytes_that_are_allowed() {
        let limits = CacheConfig { max_bytes: 64 * 1024, ..CacheConfig::default() };
        let max_bytes = limits.max_bytes;
        let (limits, clock) = (Live::new(limits), Clock::default());
        let cache = RecordCache::new(limits, max_bytes, clock);

        for number in 0..5000 {
            let key = RecordKey {
                caller: CallerKey::Gateway,
                project: ProjectId::parse("p").unwrap(),
                id: RecordId::parse(&format!("r{number}")).unwrap(),
            };
            let username = "u".repeat(number % 500);
            let fields = RecordFields::default().with_text(RecordText::Username, username);
            cache.keep(&key, fields.into(), &generation(&key));
        }

        let (entries, bytes) = cache.size();
        assert!(entries > 10 && bytes <= 64 * 1024, "{entries} entries of {bytes} bytes");
    }

    #[test]
    fn what_nothing_may_serve_is_let_go_of_and_other_lives_count_at_once() {
        let (limits, clock) = (Live::new(CacheConfig::default()), Clock::default());
        let cache = RecordCache::new(limits.clone(), 1 << 20, clock.clone());
        let key = RecordKey {
            caller: CallerKey::Gateway,
            project: ProjectId::parse("p").unwrap(),
            id: RecordId::parse("r").unwrap(),
        };
        let entry = cache.keep(&key, ScreenRecord::default(), &generation(&key));
        clock.advance(Duration::from_secs(4));

        let second = Duration::from_secs(1);
        limits.set(CacheConfig { ttl_active: second, ..CacheConfig::default() });
        let (is_fresh, ttl) = (cache.is_fresh(&entry), cache.ttl_of(&entry));
        cache.sweep();
        let kept = cache.size().0;
        limits.set(CacheConfig {
            ttl_active: second,
            stale_while_revalidate: second,
            stale_if_error: second,
            ..CacheConfig::default()
        });
        cache.sweep();

        assert_eq!((is_fresh, ttl), (false, second));
        assert_eq!((kept, cache.size().0), (1, 0));
    }
}
