//! What a response was made from, and whether it still holds.
//!
//! A response may be reused while every record and page that it was made from is still the one in the
//! cache, fresh, and of a project that the caller may see. This module knows no response.

use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use smallvec::SmallVec;

use super::cache::Entry;
use super::key::RecordKey;
use super::list::OperationListing;
use super::loader::Reader;
use super::pages::{KeptPage, Listing, PageKey, Pages};
use super::read::{CacheOutcome, Content, Read};
use crate::domain::RecordQuery;

/// A record or a page that a response was made from, at its version then.
pub(crate) enum Dependency {
    Record(RecordKey, Weak<Entry>),
    RecordPage(PageKey<RecordQuery>, WeakPage<RecordQuery>),
    OperationPage(PageKey<OperationListing>, WeakPage<OperationListing>),
}

pub(crate) type WeakPage<L> = Weak<KeptPage<<L as Listing>::Row>>;

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
            Self::Record(key, _) => (&key.project, key.id.as_str().len(), size_of::<Entry>()),
            Self::RecordPage(key, _) => {
                (&key.project, key.listing.bytes(), size_of::<KeptPage<()>>())
            }
            Self::OperationPage(key, _) => {
                (&key.project, key.listing.bytes(), size_of::<KeptPage<()>>())
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
        match dependency {
            Dependency::Record(key, then) => {
                self.admit_project(&key.project).ok()?;
                let cache = self.records().cache();
                let now = cache.fresh(key)?;
                (Arc::as_ptr(&now) == then.as_ptr()).then_some(())?;
                self.as_hit(cache.age_of(&now), cache.remaining(&now))
            }
            Dependency::RecordPage(key, then) => {
                self.revalidate_page(self.records().record_pages(), key, then)
            }
            Dependency::OperationPage(key, then) => {
                self.revalidate_page(self.records().operation_pages(), key, then)
            }
        }
    }

    fn revalidate_page<L: Listing>(
        &self,
        pages: &Pages<L>,
        key: &PageKey<L>,
        then: &WeakPage<L>,
    ) -> Option<Read> {
        self.admit_project(&key.project).ok()?;
        let now = pages.get(key).filter(|now| pages.is_fresh(now))?;
        (Arc::as_ptr(&now) == then.as_ptr()).then_some(())?;
        self.as_hit(pages.age_of(&now), pages.remaining(&now))
    }

    fn as_hit(&self, age: Duration, remaining: Duration) -> Option<Read> {
        let hit = Read {
            outcome: CacheOutcome::Hit,
            age,
            remaining,
            overdue: Duration::ZERO,
            upstream_status: None,
        };
        self.asking().accepts_age(age).then_some(hit)
    }
}
