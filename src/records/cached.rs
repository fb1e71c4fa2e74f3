//! A record in the cache.

use std::sync::Arc;
use std::time::Duration;

use super::freshness::{Lifetime, ttl_of};
use super::generation::LoadKind;
use super::invalidation::Invalidation;
use super::key::{CallerKey, RecordKey};
use super::ttl_cache::{CacheKey, CacheValue, Entry};
use super::weight::{of_failure, of_record, text};
use crate::config::CacheConfig;
use crate::domain::{Failure, Grant, ProjectId, ScreenRecord};

/// What the upstream answered about a record.
#[derive(Debug)]
pub(crate) struct CachedRecord {
    /// The record, or that there is none.
    pub(crate) record: Result<Arc<ScreenRecord>, Failure>,
    /// How long it was fresh when it was fetched.
    pub(crate) ttl: Duration,
    /// Whether it was read from the cache that replicas share.
    is_shared: bool,
}

pub(crate) type RecordEntry = Entry<CachedRecord>;

impl CachedRecord {
    /// An answer of the upstream.
    pub(crate) fn new(record: Result<Arc<ScreenRecord>, Failure>, limits: &CacheConfig) -> Self {
        let ttl = record.as_ref().map_or(limits.ttl_not_found, |record| ttl_of(record, limits));
        Self { record, ttl, is_shared: false }
    }

    /// A record from the cache that replicas share.
    pub(crate) fn shared(record: ScreenRecord, ttl: Duration) -> Self {
        Self { record: Ok(Arc::new(record)), ttl, is_shared: true }
    }
}

impl CacheValue for CachedRecord {
    type Key = RecordKey;
    const KIND: LoadKind = LoadKind::Record;

    /// What was fetched under a long TTL must not outlive a shorter one that was set since.
    fn lifetime(&self, limits: &CacheConfig) -> Lifetime {
        match &self.record {
            Ok(record) => Lifetime {
                ttl: self.ttl.min(ttl_of(record, limits)),
                stale_while_revalidate: limits.stale_while_revalidate,
                stale_if_error: limits.stale_if_error,
            },
            Err(_) => Lifetime { ttl: self.ttl.min(limits.ttl_not_found), ..Lifetime::default() },
        }
    }

    fn bytes(&self) -> usize {
        match &self.record {
            Ok(record) => of_record(record),
            Err(failure) => of_failure(failure),
        }
    }

    fn status(&self) -> u16 {
        match &self.record {
            Ok(_) => 200,
            Err(failure) => failure.upstream_status().unwrap_or_default(),
        }
    }

    fn is_absent(&self) -> bool {
        self.record.is_err()
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Restricted callers get no answer from a cached absence.
    fn is_visible_to(&self, grant: &Grant) -> bool {
        match &self.record {
            _ if !grant.is_restricted() => true,
            Ok(record) => grant.shows(record),
            Err(_) => false,
        }
    }

    fn is_covered(key: &RecordKey, invalidation: &Invalidation) -> bool {
        invalidation.covers_record(key)
    }
}

impl CacheKey for RecordKey {
    fn caller(&self) -> CallerKey {
        self.caller
    }

    fn project(&self) -> &ProjectId {
        &self.project
    }

    fn as_record(&self) -> Option<&RecordKey> {
        Some(self)
    }

    fn bytes(&self) -> usize {
        text(self.project.as_str()) + text(self.id.as_str())
    }
}
