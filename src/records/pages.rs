//! Pages of the upstream's lists, kept for a short while for one caller each.
//!
//! A page past its life is served only in place of an outage; unlike a record it is never refreshed
//! behind an answer, since few ask for just the same page again.

use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use moka::sync::Cache;

use super::caller_index::CallerIndex;
use super::dependency::{Dependency, WeakPage};
use super::flight::Flights;
use super::generation::Generation;
use super::invalidation::Invalidation;
use super::key::CallerKey;
use super::metrics::RecordMetrics;
use super::slice::Row;
use super::weight;
use crate::clock::Clock;
use crate::config::{CacheConfig, Live};
use crate::domain::{Failure, Page, ProjectId};
use crate::upstream::{Call, Range, Upstream};

/// A list of the upstream: what it is narrowed to, and how its pages are read.
pub(crate) trait Listing: Clone + Eq + Hash + Send + Sync + 'static {
    type Row: Row + Send + Sync + 'static;

    /// Reads one page.
    fn read(
        &self,
        upstream: &Upstream,
        call: &Call,
        project: &ProjectId,
        range: Range,
    ) -> impl Future<Output = Result<Page<Self::Row>, Failure>> + Send;

    /// How many bytes this takes on the heap.
    fn bytes(&self) -> usize;

    /// How many bytes a row takes.
    fn row_bytes(row: &Self::Row) -> usize;

    /// A page as a dependency of a response.
    fn dependency(key: PageKey<Self>, page: WeakPage<Self>) -> Dependency;
}

/// Finds one page for one caller. Compared in full.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct PageKey<L> {
    pub(crate) caller: CallerKey,
    pub(crate) project: ProjectId,
    pub(crate) listing: L,
    pub(crate) range: Range,
}

/// A page and when it was read.
pub(crate) struct KeptPage<T> {
    pub(crate) page: Arc<Page<T>>,
    fetched: Instant,
}

/// The pages of one kind of list.
pub(crate) struct Pages<L: Listing> {
    entries: Cache<PageKey<L>, Arc<KeptPage<L::Row>>, RandomState>,
    pub(crate) flights: Flights<PageKey<L>, Arc<KeptPage<L::Row>>>,
    callers: CallerIndex,
    limits: Live<CacheConfig>,
    max_bytes: u64,
    clock: Clock,
}

impl<L: Listing> Pages<L> {
    pub(crate) fn new(
        limits: Live<CacheConfig>,
        max_bytes: u64,
        metrics: RecordMetrics,
        clock: Clock,
    ) -> Self {
        let entries = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|key, kept| weight::of_page(key, kept))
            .support_invalidation_closures()
            .build_with_hasher(RandomState::default());
        Self {
            entries,
            flights: Flights::new(metrics),
            callers: CallerIndex::new(clock.clone()),
            limits,
            max_bytes,
            clock,
        }
    }

    /// The page of a key, unless nothing may serve it any more.
    pub(crate) fn get(&self, key: &PageKey<L>) -> Option<Arc<KeptPage<L::Row>>> {
        let kept = self.entries.get(key)?;
        (self.age_of(&kept) < longest_use(&self.limits.load())).then_some(kept)
    }

    /// Lets go of what nothing may serve any more.
    pub(crate) fn sweep(&self) {
        let longest_use = longest_use(&self.limits.load());
        for (key, kept) in &self.entries {
            if self.age_of(&kept) >= longest_use {
                self.entries.invalidate(&*key);
            }
        }
        self.callers.evict_expired(longest_use);
    }

    /// Keeps a page that has just been read.
    pub(crate) fn keep(
        &self,
        key: &PageKey<L>,
        page: Page<L::Row>,
        generation: &Generation,
    ) -> Arc<KeptPage<L::Row>> {
        let kept = Arc::new(KeptPage { page: Arc::new(page), fetched: self.clock.now() });
        if self.max_bytes == 0 || self.ttl().is_zero() {
            return kept;
        }
        generation.keep(|| {
            self.entries.insert(key.clone(), Arc::clone(&kept));
            self.callers.note(key.caller, &key.project);
        });
        kept
    }

    /// Drops what an invalidation covers.
    pub(crate) fn invalidate(&self, invalidation: &Invalidation) {
        if !self.callers.take(invalidation) {
            return;
        }
        let invalidation = invalidation.clone();
        // Infallible: invalidation closures are enabled above.
        let _ = self.entries.invalidate_entries_if(move |key, _| {
            invalidation.covers_lists_of(key.caller, &key.project)
        });
    }

    /// Whether a page is still the one that is kept.
    pub(crate) fn holds(&self, key: &PageKey<L>, page: &Arc<KeptPage<L::Row>>) -> bool {
        self.entries.get(key).is_some_and(|kept| Arc::ptr_eq(&kept, page))
    }

    pub(crate) fn age_of(&self, kept: &KeptPage<L::Row>) -> Duration {
        self.clock.now().saturating_duration_since(kept.fetched)
    }

    /// How long a page stays fresh from now on.
    pub(crate) fn remaining(&self, kept: &KeptPage<L::Row>) -> Duration {
        self.ttl().saturating_sub(self.age_of(kept))
    }

    /// How long a page has been stale.
    pub(crate) fn overdue(&self, kept: &KeptPage<L::Row>) -> Duration {
        self.age_of(kept).saturating_sub(self.ttl())
    }

    fn ttl(&self) -> Duration {
        self.limits.load().ttl_list
    }

    pub(crate) fn is_fresh(&self, kept: &KeptPage<L::Row>) -> bool {
        !self.remaining(kept).is_zero()
    }

    /// Number of pages and their weight in bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.entries.run_pending_tasks();
        (self.entries.entry_count(), self.entries.weighted_size())
    }
}

/// How long a page may be served, if only in place of an outage.
fn longest_use(limits: &CacheConfig) -> Duration {
    limits.ttl_list + limits.stale_if_error
}
