//! Pages of the upstream's lists, cached for a short while for one caller each.
//!
//! After its TTL a page is served only in place of an error. Unlike a record it is never refreshed in the
//! background, because few requests read the same page again.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use super::dependency::{Dependency, WeakPage};
use super::flight::Flights;
use super::freshness::Lifetime;
use super::key::CallerKey;
use super::metrics::RecordMetrics;
use super::slice::Row;
use super::ttl_cache::{CacheKey, CacheValue, Entry, TtlCache};
use super::weight::{of_unreadable, text};
use crate::clock::Clock;
use crate::config::{CacheConfig, Live};
use crate::domain::{Failure, Page, ProjectId, RecordId, ScreenRecord, Unreadable};
use crate::upstream::{Call, Range, Upstream};

/// A list of the upstream: its filter, and how its pages are read.
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

    /// The recording in a row, for the record cache: opening it then costs no call.
    fn record(row: &Self::Row) -> Option<(RecordId, &Arc<ScreenRecord>)>;

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

/// A page in the cache.
pub(crate) struct CachedPage<L: Listing>(pub(crate) Arc<Page<L::Row>>);

pub(crate) type PageEntry<L> = Entry<CachedPage<L>>;

/// The pages of one kind of list.
pub(crate) struct Pages<L: Listing> {
    pub(crate) cache: TtlCache<CachedPage<L>>,
    pub(crate) flights: Flights<PageKey<L>, Arc<PageEntry<L>>>,
}

impl<L: Listing> Pages<L> {
    pub(crate) fn new(
        limits: Live<CacheConfig>,
        max_bytes: u64,
        metrics: RecordMetrics,
        clock: Clock,
    ) -> Self {
        Self { cache: TtlCache::new(limits, max_bytes, clock), flights: Flights::new(metrics) }
    }
}

impl<L: Listing> CacheKey for PageKey<L> {
    fn caller(&self) -> CallerKey {
        self.caller
    }

    fn project(&self) -> &ProjectId {
        &self.project
    }

    fn bytes(&self) -> usize {
        text(self.project.as_str()) + self.listing.bytes()
    }
}

impl<L: Listing> CacheValue for CachedPage<L> {
    type Key = PageKey<L>;

    /// Without a TTL pages are not cached at all.
    fn lifetime(&self, limits: &CacheConfig) -> Lifetime {
        if limits.ttl_list.is_zero() {
            return Lifetime::default();
        }
        Lifetime {
            ttl: limits.ttl_list,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: limits.stale_if_error,
        }
    }

    /// Recordings are counted although the record cache may have them too: the last one to drop them frees
    /// them.
    fn bytes(&self) -> usize {
        let rows = self.0.rows.iter().map(|row| match row {
            Ok(row) => size_of::<Result<L::Row, Arc<Unreadable>>>() + L::row_bytes(row),
            Err(unreadable) => of_unreadable(unreadable),
        });
        size_of::<Page<L::Row>>() + rows.sum::<usize>()
    }
}
