//! Pages of the upstream's lists, cached for a short while for one caller each.
//!
//! After its TTL a page is served only in place of an error. Unlike a record it is never refreshed in the
//! background, because few requests read the same page again.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use super::freshness::Lifetime;
use super::key::CallerKey;
use super::pagination::Row;
use super::ttl_cache::{CacheKey, CacheValue, Entry};
use super::weight::{self, of_unreadable, text};
use crate::config::CacheConfig;
use crate::domain::{
    DesktopOperation, Failure, OperationQuery, Page, ProjectId, RecordId, RecordQuery, RecordTime,
    ScreenRecord, Timestamp, Unreadable,
};
use crate::upstream::{Call, ProjectClient, Range};

/// A list of the upstream: its filter, and how its pages are read.
pub(crate) trait Listing: Clone + Eq + Hash + Send + Sync + 'static {
    type Row: Row + Send + Sync + 'static;

    /// Reads one page.
    fn read(
        &self,
        client: &ProjectClient,
        call: &Call,
        range: Range,
    ) -> impl Future<Output = Result<Page<Self::Row>, Failure>> + Send;

    /// How many bytes this takes on the heap.
    fn bytes(&self) -> usize;

    /// How many bytes a row takes.
    fn row_bytes(row: &Self::Row) -> usize;

    /// The recording in a row, for the record cache: opening it then costs no call.
    fn record(row: &Self::Row) -> Option<(RecordId, &Arc<ScreenRecord>)>;
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

/// The operations of one recording.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct OperationListing {
    pub(crate) id: RecordId,
    pub(crate) query: OperationQuery,
}

impl Row for Arc<ScreenRecord> {
    fn id(&self) -> Option<&str> {
        ScreenRecord::id(self)
    }

    fn time(&self) -> Option<Timestamp> {
        ScreenRecord::time(self, RecordTime::Start)?.ok()
    }
}

impl Row for Arc<DesktopOperation> {
    fn id(&self) -> Option<&str> {
        Some(&self.id)
    }

    fn time(&self) -> Option<Timestamp> {
        None
    }
}

impl Listing for RecordQuery {
    type Row = Arc<ScreenRecord>;

    async fn read(
        &self,
        client: &ProjectClient,
        call: &Call,
        range: Range,
    ) -> Result<Page<Self::Row>, Failure> {
        client.list_screen_records(call, self, range).await.map(shared)
    }

    fn bytes(&self) -> usize {
        let texts = [&self.desktop_id, &self.username].into_iter().flatten();
        texts.chain(self.desktop_names.iter().flatten()).map(String::len).sum()
    }

    fn row_bytes(row: &Self::Row) -> usize {
        weight::of_record(row)
    }

    fn record(row: &Self::Row) -> Option<(RecordId, &Arc<ScreenRecord>)> {
        Some((RecordId::parse(row.id()?).ok()?, row))
    }
}

impl Listing for OperationListing {
    type Row = Arc<DesktopOperation>;

    async fn read(
        &self,
        client: &ProjectClient,
        call: &Call,
        range: Range,
    ) -> Result<Page<Self::Row>, Failure> {
        client.list_desktop_operations(call, &self.id, &self.query, range).await.map(shared)
    }

    fn bytes(&self) -> usize {
        let texts = [&self.query.event, &self.query.data].into_iter().flatten();
        self.id.as_str().len() + texts.map(String::len).sum::<usize>()
    }

    fn row_bytes(row: &Self::Row) -> usize {
        weight::of_operation(row)
    }

    fn record(_row: &Self::Row) -> Option<(RecordId, &Arc<ScreenRecord>)> {
        None
    }
}

fn shared<T>(page: Page<T>) -> Page<Arc<T>> {
    let rows = page.rows.into_iter().map(|row| row.map(Arc::new)).collect();
    Page { rows, total: page.total }
}
