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
    pub(crate) value: Value,
    /// How long it was fresh when it was fetched.
    pub(crate) ttl: Duration,
    /// Whether it was read from the cache that replicas share.
    is_shared: bool,
}

/// A record, or that there is none.
#[derive(Debug)]
pub(crate) enum Value {
    Record(Arc<ScreenRecord>),
    Absent(Failure),
}

pub(crate) type RecordEntry = Entry<CachedRecord>;

impl CachedRecord {
    pub(crate) fn new(value: Value, ttl: Duration) -> Self {
        Self { value, ttl, is_shared: false }
    }

    /// A record from the cache that replicas share.
    pub(crate) fn shared(record: ScreenRecord, ttl: Duration) -> Self {
        Self { is_shared: true, ..Self::new(Value::Record(Arc::new(record)), ttl) }
    }

    pub(crate) fn read(&self) -> Result<Arc<ScreenRecord>, Failure> {
        match &self.value {
            Value::Record(record) => Ok(Arc::clone(record)),
            Value::Absent(failure) => Err(failure.clone()),
        }
    }
}

impl CacheValue for CachedRecord {
    type Key = RecordKey;
    const KIND: LoadKind = LoadKind::Record;

    /// What was fetched under a long TTL must not outlive a shorter one that was set since.
    fn lifetime(&self, limits: &CacheConfig) -> Lifetime {
        match &self.value {
            Value::Record(record) => Lifetime {
                ttl: self.ttl.min(ttl_of(record, limits)),
                stale_while_revalidate: limits.stale_while_revalidate,
                stale_if_error: limits.stale_if_error,
            },
            Value::Absent(_) => {
                Lifetime { ttl: self.ttl.min(limits.ttl_not_found), ..Lifetime::default() }
            }
        }
    }

    fn bytes(&self) -> usize {
        match &self.value {
            Value::Record(record) => of_record(record),
            Value::Absent(failure) => of_failure(failure),
        }
    }

    fn status(&self) -> u16 {
        match &self.value {
            Value::Record(_) => 200,
            Value::Absent(failure) => failure.upstream_status().unwrap_or_default(),
        }
    }

    fn is_absent(&self) -> bool {
        matches!(self.value, Value::Absent(_))
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Restricted callers get no answer from a cached absence.
    fn is_visible_to(&self, grant: &Grant) -> bool {
        match &self.value {
            _ if !grant.is_restricted() => true,
            Value::Record(record) => grant.shows(record),
            Value::Absent(_) => false,
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
