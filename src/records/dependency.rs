//! What a response was made from, and whether it still holds.
//!
//! A response may be reused while every record and page that it was made from is still the one in the
//! cache, fresh, and of a project that the caller may see. This module knows no response.

use std::sync::{Arc, MutexGuard, PoisonError, Weak};

use smallvec::SmallVec;

use super::cached::RecordEntry;
use super::key::RecordKey;
use super::list::OperationListing;
use super::loader::Reader;
use super::pages::{Listing, PageEntry, PageKey};
use super::read::{CacheOutcome, Content, Read};
use super::ttl_cache::{CacheKey as _, CacheValue, Entry, TtlCache};
use crate::domain::RecordQuery;

/// A record or a page that a response was made from, at its version then.
pub(crate) enum Dependency {
    Record(RecordKey, Weak<RecordEntry>),
    RecordPage(PageKey<RecordQuery>, WeakPage<RecordQuery>),
    OperationPage(PageKey<OperationListing>, WeakPage<OperationListing>),
}

pub(crate) type WeakPage<L> = Weak<PageEntry<L>>;

/// What a request has read so far.
pub(crate) enum Dependencies {
    Known(Vec<Dependency>),
    /// It has read stale data, a failure or a signed link.
    Uncacheable,
}

impl Default for Dependencies {
    fn default() -> Self {
        Self::Known(Vec::new())
    }
}

impl Dependency {
    /// About how many bytes it takes: the memory of a dropped record or page is freed with the last weak
    /// pointer to it.
    pub(crate) fn bytes(&self) -> usize {
        const ARC_HEADER: usize = 2 * size_of::<usize>();
        let (project, id, target) = match self {
            Self::Record(key, _) => (&key.project, key.id.as_str().len(), size_of::<RecordEntry>()),
            Self::RecordPage(key, _) => {
                (&key.project, key.listing.bytes(), size_of::<PageEntry<RecordQuery>>())
            }
            Self::OperationPage(key, _) => {
                (&key.project, key.listing.bytes(), size_of::<PageEntry<OperationListing>>())
            }
        };
        size_of::<Self>() + 3 * ARC_HEADER + project.as_str().len() + id + target
    }

    fn content(&self) -> Content {
        match self {
            Self::Record(..) => Content::Record,
            Self::RecordPage(..) | Self::OperationPage(..) => Content::Page,
        }
    }
}

impl Reader {
    /// What was read, for a response that may be reused; `None` where nothing was read, or something that
    /// no response may be reused with.
    pub(crate) fn take_dependencies(&self) -> Option<Vec<Dependency>> {
        match std::mem::take(&mut *self.dependencies()) {
            Dependencies::Known(dependencies) if !dependencies.is_empty() => Some(dependencies),
            Dependencies::Known(_) | Dependencies::Uncacheable => None,
        }
    }

    /// The reads that the dependencies stand for, as cache hits; `None` unless each is still in the cache,
    /// fresh enough for this request, and of a project that its caller may see.
    pub(crate) fn revalidate(&self, dependencies: &[Dependency]) -> Option<SmallVec<[Read; 1]>> {
        dependencies.iter().map(|dependency| self.revalidate_one(dependency)).collect()
    }

    /// Counts and traces what [`Self::revalidate`] has returned as reads of this request.
    pub(crate) fn note_hits(&self, dependencies: &[Dependency], hits: SmallVec<[Read; 1]>) {
        for (dependency, hit) in dependencies.iter().zip(hits) {
            hit.outcome.record(&dependency.content().span());
            self.note_read(hit);
        }
    }

    /// Notes something that this request has read.
    pub(crate) fn depend_on(&self, dependency: impl FnOnce() -> Dependency) {
        if let Dependencies::Known(dependencies) = &mut *self.dependencies() {
            dependencies.push(dependency());
        }
    }

    /// Notes that the response of this request must not be reused.
    pub(crate) fn mark_uncacheable(&self) {
        *self.dependencies() = Dependencies::Uncacheable;
    }

    fn dependencies(&self) -> MutexGuard<'_, Dependencies> {
        self.dependencies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn revalidate_one(&self, dependency: &Dependency) -> Option<Read> {
        let records = self.records();
        match dependency {
            Dependency::Record(key, then) => self.revalidate_in(records.cache(), key, then),
            Dependency::RecordPage(key, then) => {
                self.revalidate_in(&records.record_pages().cache, key, then)
            }
            Dependency::OperationPage(key, then) => {
                self.revalidate_in(&records.operation_pages().cache, key, then)
            }
        }
    }

    fn revalidate_in<V: CacheValue>(
        &self,
        cache: &TtlCache<V>,
        key: &V::Key,
        then: &Weak<Entry<V>>,
    ) -> Option<Read> {
        self.admit_project(key.project()).ok()?;
        let now = cache.fresh(key)?;
        let is_same = Arc::as_ptr(&now.entry) == then.as_ptr();
        (is_same && self.asking().accepts_age(now.age))
            .then(|| Read::of(CacheOutcome::Hit, now.age, now.ttl, None))
    }
}
