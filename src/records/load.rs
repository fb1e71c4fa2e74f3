//! One load: from the shared tier where it holds something fresh, else from the upstream.

use std::sync::Arc;
use std::time::Duration;

use super::cached::{CachedRecord, RecordEntry, Value};
use super::freshness::ttl_of;
use super::generation::Generation;
use super::invalidation::Invalidation;
use super::key::RecordKey;
use super::loader::{Asking, Records};
use super::redis::{LeaseOutcome, RedisTier};
use crate::domain::{Failure, RefusalKind};
use crate::upstream::Call;

/// What a load ended in, and where that came from.
#[derive(Clone)]
pub(crate) struct Landing {
    pub(crate) entry: Arc<RecordEntry>,
    pub(crate) tier: Tier,
}

/// Where something came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// The memory of this process, or the upstream by way of it.
    First,
    /// What replicas share.
    Shared,
}

/// How a load is to be made, as the one who begins it asks.
pub(crate) struct Loadable {
    call: Call,
    no_cache: bool,
    max_age: Option<Duration>,
}

impl Landing {
    pub(crate) fn first(entry: Arc<RecordEntry>) -> Self {
        Self { entry, tier: Tier::First }
    }
}

impl Loadable {
    /// As `asking` asks.
    pub(crate) fn of(asking: &Asking) -> Self {
        Self { call: asking.call(), no_cache: asking.no_cache, max_age: asking.max_age }
    }
}

impl Records {
    /// Reads a record and brings the caches in line with the answer.
    pub(crate) async fn load(
        self,
        key: RecordKey,
        how: Loadable,
        generation: Generation,
    ) -> Result<Landing, Failure> {
        match self.shared_tier() {
            // Many times the size of the other, which would be set aside for every load.
            Some(tier) => Box::pin(self.load_shared(tier, key, how, &generation)).await,
            None => self.load_upstream(&key, &how.call, &generation).await.map(Landing::first),
        }
    }

    async fn load_shared(
        &self,
        tier: &RedisTier,
        key: RecordKey,
        mut how: Loadable,
        generation: &Generation,
    ) -> Result<Landing, Failure> {
        let begun = self.now();
        let is_usable = |entry: &Arc<RecordEntry>| {
            let found = self.cache().assess(Arc::clone(entry));
            found.is_fresh() && how.max_age.is_none_or(|most| found.age <= most)
        };
        let land = |entry: Arc<RecordEntry>| {
            self.cache().insert_if_newer(&key, &entry, entry.fetched, generation);
            Ok(Landing { entry, tier: Tier::Shared })
        };
        let budget = tier.time_budget();
        let mut found = tier.look_up(&key, &budget).await;
        let mut lease = None;
        if !how.no_cache {
            if let Some(entry) = found.entry.take_if(|entry| is_usable(entry)) {
                return land(entry);
            }
            // Without generations Redis has not answered, and knows no lease either.
            if found.generations.is_some() {
                match tier.acquire_lease(&key, &budget, is_usable).await {
                    LeaseOutcome::Acquired(acquired) => lease = Some(acquired),
                    LeaseOutcome::LoadAnyway => {}
                    LeaseOutcome::LoadedElsewhere(entry) => return land(entry),
                }
            }
        }
        // The wait counts towards the deadline.
        how.call.waited = self.now().saturating_duration_since(begun);
        let loaded = self.load_upstream(&key, &how.call, generation).await;
        match (&loaded, found.entry) {
            (Ok(entry), _) => tier.store(&key, entry, found.generations),
            (Err(failure), Some(stale)) if failure.permits_stale() => {
                self.cache().insert_if_newer(&key, &stale, stale.fetched, generation);
            }
            (Err(_), _) => {}
        }
        // Given back after the entry is queued to be stored: the replicas that wait find it.
        drop(lease);
        loaded.map(Landing::first)
    }

    async fn load_upstream(
        &self,
        key: &RecordKey,
        call: &Call,
        generation: &Generation,
    ) -> Result<Arc<RecordEntry>, Failure> {
        let shown = self.upstream().show_screen_record(call, &key.project, &key.id).await;
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
        let entry = self.cache().entry(record);
        self.cache().insert(key, &entry, generation);
        entry
    }
}

fn is_absence(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused(refusal) if refusal.kind == RefusalKind::NotFound)
}
