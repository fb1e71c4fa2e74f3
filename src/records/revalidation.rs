//! Whether the dependencies of a response still hold.

use std::sync::{Arc, Weak};

use smallvec::SmallVec;

use super::dependency::Dependency;
use super::read::{CacheOutcome, Read};
use super::reader::Reader;
use super::ttl_cache::{CacheKey as _, CacheValue, Entry, TtlCache};

impl Reader {
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

    fn revalidate_one(&self, dependency: &Dependency) -> Option<Read> {
        let records = self.records();
        match dependency {
            Dependency::Record(key, then) => self.revalidate_in(&records.cache, key, then),
            Dependency::RecordPage(key, then) => {
                self.revalidate_in(&records.record_pages, key, then)
            }
            Dependency::OperationPage(key, then) => {
                self.revalidate_in(&records.operation_pages, key, then)
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
        (is_same && self.context().accepts_age(now.age))
            .then(|| Read::of(CacheOutcome::Hit, now.age, now.ttl, None))
    }
}
