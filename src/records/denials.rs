//! Recordings that were denied to restricted callers just now, because they are missing or invisible.

use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use moka::sync::Cache;

use super::key::RecordKey;
use crate::clock::Clock;
use crate::config::{CacheConfig, Live};
use crate::domain::GrantKey;

/// The most denials that are remembered.
const MAX_DENIALS: u64 = 10_000;

/// The recent denials of the process.
pub(crate) struct Denials {
    entries: Cache<DenialKey, Instant, RandomState>,
    limits: Live<CacheConfig>,
    clock: Clock,
}

/// A recording that was denied to the callers with one grant.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct DenialKey {
    pub(crate) grant: GrantKey,
    pub(crate) record: RecordKey,
}

impl Denials {
    pub(crate) fn new(limits: Live<CacheConfig>, clock: Clock) -> Self {
        let entries =
            Cache::builder().max_capacity(MAX_DENIALS).build_with_hasher(RandomState::default());
        Self { entries, limits, clock }
    }

    /// How long ago a recording was denied, if that was within `cache.ttl_not_found`.
    pub(crate) fn age(&self, key: &DenialKey) -> Option<Duration> {
        let age = self.clock.now().saturating_duration_since(self.entries.get(key)?);
        (age < self.limits.load().ttl_not_found).then_some(age)
    }

    pub(crate) fn note(&self, key: DenialKey) {
        // Without memory for the cache, nothing is remembered.
        if self.limits.load().max_bytes > 0 {
            self.entries.insert(key, self.clock.now());
        }
    }

    /// Forgets all denials, after a purge: what was missing may have come.
    pub(crate) fn clear(&self) {
        self.entries.invalidate_all();
    }
}
