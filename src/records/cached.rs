//! What is cached: records, pages of lists, links and denials, each for one caller.

use std::hash::Hash;
use std::mem::size_of;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use jiff::tz::TimeZone;
use moka::sync::Cache;

use super::freshness::{Lifetime, ttl_of};
use super::invalidation::{Invalidation, LoadKind};
use super::key::RecordKey;
use super::pagination::Row;
use super::ttl_cache::{ARC_HEADER, CacheParts, CacheValue, Entry, TtlCache, text_bytes};
use crate::config::{CacheBudget, CacheConfig};
use crate::domain::{
    DesktopOperation, DownloadLink, Failure, Field, Grant, GrantKey, OperationQuery, Page,
    RecordId, RecordQuery, RecordTime, ScreenRecord, Timestamp, Unreadable, UpstreamAnswer,
};
use crate::upstream::{Call, ProjectClient, Range};

/// The longest TTL of a link. The upstream's links live longer, for a time that is not documented.
const LINK_TTL: Duration = Duration::from_secs(30);
/// The least time that a link from the cache is valid for: a client needs time to start the download.
const MIN_LINK_VALIDITY: Duration = Duration::from_mins(1);
/// The TTL of "no link": a recording that is being uploaded has one soon.
const LINK_ABSENCE_TTL: Duration = Duration::from_secs(2);
/// The most denials that are remembered.
const MAX_DENIALS: u64 = 10_000;

/// The caches of the process.
pub(crate) struct Caches {
    parts: CacheParts,
    pub(crate) records: TtlCache<CachedRecord>,
    pub(crate) record_pages: TtlCache<CachedPage<RecordQuery>>,
    pub(crate) operation_pages: TtlCache<CachedPage<OperationListing>>,
    pub(crate) links: TtlCache<CachedLink>,
    denials: Cache<DenialKey, Instant, RandomState>,
}

impl Caches {
    pub(crate) fn new(parts: CacheParts) -> Self {
        let CacheBudget { records, pages, links, .. } = parts.limits.load().budget();
        let denials =
            Cache::builder().max_capacity(MAX_DENIALS).build_with_hasher(RandomState::default());
        Self {
            records: TtlCache::new(&parts, records),
            record_pages: TtlCache::new(&parts, pages),
            operation_pages: TtlCache::new(&parts, pages),
            links: TtlCache::new(&parts, links),
            denials,
            parts,
        }
    }

    /// Drops what an invalidation covers, and keeps running loads from bringing it back.
    pub(crate) fn invalidate(&self, invalidation: &Invalidation) {
        // First: a load that ends in between caches nothing, or early enough to be dropped.
        self.parts.generations.end(invalidation);
        match invalidation {
            Invalidation::Purge(_) | Invalidation::Token(_) => {
                self.records.invalidate(invalidation);
            }
            Invalidation::Record(key) | Invalidation::Absence(key) => {
                if self.records.remove(key) {
                    self.parts.metrics.dropped.inc();
                }
            }
            Invalidation::Lists { .. } => {}
        }
        self.record_pages.invalidate(invalidation);
        self.operation_pages.invalidate(invalidation);
        self.links.invalidate(invalidation);
        if matches!(invalidation, Invalidation::Purge(_)) {
            // What was missing may have come.
            self.denials.invalidate_all();
        }
    }

    /// Drops what has expired, to give its memory back.
    pub(crate) fn evict_expired(&self) {
        let limits = self.parts.limits.load();
        let CacheConfig { ttl_final, ttl_active, ttl_not_found, ttl_list, .. } = **limits;
        let ttl = ttl_final.max(ttl_active).max(ttl_not_found).max(ttl_list).max(LINK_TTL);
        // No value is served when it is older.
        let life = ttl + limits.stale_if_error.max(limits.stale_while_revalidate);
        self.records.evict_expired(life);
        self.record_pages.evict_expired(life);
        self.operation_pages.evict_expired(life);
        self.links.evict_expired(life);
    }

    /// Brings the gauges of the caches' sizes up to date.
    pub(crate) fn observe(&self) {
        let metrics = &self.parts.metrics;
        metrics.set_size("records", self.records.size());
        metrics.set_size("record_pages", self.record_pages.size());
        metrics.set_size("operation_pages", self.operation_pages.size());
        metrics.set_size("links", self.links.size());
    }

    /// How long ago a recording was denied, if that was within `cache.ttl_not_found`.
    pub(crate) fn denied_since(&self, key: &DenialKey) -> Option<Duration> {
        let age = self.parts.clock.now().saturating_duration_since(self.denials.get(key)?);
        (age < self.parts.limits.load().ttl_not_found).then_some(age)
    }

    pub(crate) fn note_denial(&self, key: DenialKey) {
        // Without memory for the cache, nothing is remembered.
        if self.parts.limits.load().max_bytes > 0 {
            self.denials.insert(key, self.parts.clock.now());
        }
    }
}

/// A recording that was denied to the restricted callers with one grant, because it is missing or invisible.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct DenialKey {
    pub(crate) grant: GrantKey,
    pub(crate) record: RecordKey,
}

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
    type Id = RecordId;
    const KIND: LoadKind = LoadKind::Record;

    fn id_bytes(id: &RecordId) -> usize {
        text_bytes(id.as_str())
    }

    fn record_key(key: &RecordKey) -> Option<&RecordKey> {
        Some(key)
    }

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
        ARC_HEADER
            + match &self.record {
                Ok(record) => record.bytes(),
                Err(failure) => {
                    let texts = failure.upstream().map_or(0, UpstreamAnswer::text_bytes);
                    size_of::<UpstreamAnswer>() + texts
                }
            }
    }

    fn status(&self) -> u16 {
        match &self.record {
            Ok(_) => 200,
            Err(failure) => failure.upstream_status().unwrap_or_default(),
        }
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

/// A link to a video, or that there is none. Links are secrets that expire: they are cached for seconds, in
/// this process only, and never logged.
pub(crate) struct CachedLink {
    pub(crate) link: Field<DownloadLink>,
    ttl: Duration,
}

pub(crate) type LinkEntry = Entry<CachedLink>;

impl CachedLink {
    /// A link that was fetched just now.
    pub(crate) fn new(link: Field<DownloadLink>, now: jiff::Timestamp) -> Self {
        let ttl = match &link {
            Some(Ok(link)) => link_ttl(link.expires_at(), now),
            Some(Err(_)) | None => LINK_ABSENCE_TTL,
        };
        Self { link, ttl }
    }
}

/// How long a link is cached. One that expires soon is not cached at all.
fn link_ttl(expires_at: Option<Timestamp>, now: jiff::Timestamp) -> Duration {
    let Some(expires_at) = expires_at else { return LINK_TTL };
    let validity = expires_at.as_utc().duration_since(TimeZone::UTC.to_datetime(now));
    let validity = Duration::try_from(validity).unwrap_or_default();
    validity.saturating_sub(MIN_LINK_VALIDITY).min(LINK_TTL)
}

/// The key of a link is that of its record.
impl CacheValue for CachedLink {
    type Id = RecordId;

    fn id_bytes(id: &RecordId) -> usize {
        text_bytes(id.as_str())
    }

    fn lifetime(&self, _limits: &CacheConfig) -> Lifetime {
        Lifetime { ttl: self.ttl, ..Lifetime::default() }
    }

    fn bytes(&self) -> usize {
        field_bytes(&self.link, |link| link.expose().len())
    }
}

/// A list of the upstream: its filter, and how its pages are read.
pub(crate) trait Listing: Clone + Eq + Hash + Send + Sync + 'static {
    type Row: Row + Send + Sync + 'static;

    /// The cache of its pages.
    fn pages(caches: &Caches) -> &TtlCache<CachedPage<Self>>;

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
    fn record(_row: &Self::Row) -> Option<(RecordId, &Arc<ScreenRecord>)> {
        None
    }
}

/// Finds a page within a project.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct PageId<L> {
    pub(crate) listing: L,
    pub(crate) range: Range,
}

/// A page of a list. After its TTL it is served only in place of an error. Unlike a record it is never
/// refreshed in the background, because few requests read the same page again.
pub(crate) struct CachedPage<L: Listing>(pub(crate) Arc<Page<L::Row>>);

impl<L: Listing> CacheValue for CachedPage<L> {
    type Id = PageId<L>;

    fn id_bytes(id: &PageId<L>) -> usize {
        id.listing.bytes()
    }

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
            Err(unreadable) => unreadable_bytes(unreadable),
        });
        size_of::<Page<L::Row>>() + rows.sum::<usize>()
    }
}

impl Listing for RecordQuery {
    type Row = Arc<ScreenRecord>;

    fn pages(caches: &Caches) -> &TtlCache<CachedPage<Self>> {
        &caches.record_pages
    }

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
        ARC_HEADER + row.bytes()
    }

    fn record(row: &Self::Row) -> Option<(RecordId, &Arc<ScreenRecord>)> {
        Some((RecordId::parse(row.id()?).ok()?, row))
    }
}

/// The operations of one recording.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct OperationListing {
    pub(crate) id: RecordId,
    pub(crate) query: OperationQuery,
}

impl Listing for OperationListing {
    type Row = Arc<DesktopOperation>;

    fn pages(caches: &Caches) -> &TtlCache<CachedPage<Self>> {
        &caches.operation_pages
    }

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
        let texts = [&row.desktop_id, &row.username, &row.event, &row.data];
        let texts = texts.into_iter().map(|field| field_bytes(field, |text| text_bytes(text)));
        size_of::<DesktopOperation>()
            + ARC_HEADER
            + text_bytes(&row.id)
            + texts.sum::<usize>()
            + field_bytes(&row.kind, |kind| text_bytes(&kind.raw))
            + field_bytes(&row.level, |level| text_bytes(&level.raw))
            + field_bytes(&row.time, |_| 0)
            + field_bytes(&row.offset, |_| 0)
    }
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
}

fn shared<T>(page: Page<T>) -> Page<Arc<T>> {
    let rows = page.rows.into_iter().map(|row| row.map(Arc::new)).collect();
    Page { rows, total: page.total }
}

fn unreadable_bytes(unreadable: &Unreadable) -> usize {
    ARC_HEADER + unreadable.bytes()
}

/// The bytes that a field takes on the heap.
fn field_bytes<T>(field: &Field<T>, of_value: impl Fn(&T) -> usize) -> usize {
    match field {
        None => 0,
        Some(Ok(value)) => of_value(value),
        Some(Err(unreadable)) => unreadable_bytes(unreadable),
    }
}
