//! Lists for one GraphQL request: recordings, and what happened during one.

use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::cached::{CachedRecord, Value};
use super::cursor::{Cursor, ListPrint};
use super::dependency::{Dependency, WeakPage};
use super::flight::JoinRequest;
use super::freshness::ttl_of;
use super::generation::{Generation, LoadKind};
use super::invalidation::Invalidation;
use super::key::RecordKey;
use super::loader::{Reader, Records};
use super::pages::{CachedPage, Listing, PageEntry, PageKey, Pages};
use super::read::{CacheOutcome, Content, Read};
use super::slice::{Ask, Row, Slice, slice};
use super::ttl_cache::Found;
use super::weight;
use crate::domain::{
    DesktopOperation, Failure, OperationQuery, Page, ProjectId, RecordId, RecordQuery, RecordTime,
    ScreenRecord, Timestamp,
};
use crate::spans;
use crate::upstream::{Call, Range, RecordPath, Upstream, operation_filter, record_filter};

/// The most rows that are shown at once.
pub(crate) const MOST_ROWS: u32 = 1000;

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The most rows, 0 to 1000.
    pub first: i32,
    /// The cursor of the row they follow.
    pub after: Option<String>,
    /// Whether the number of all rows is all that is wanted.
    pub only_total: bool,
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
        self.id.as_deref()
    }

    fn time(&self) -> Option<Timestamp> {
        None
    }
}

impl Listing for RecordQuery {
    type Row = Arc<ScreenRecord>;

    async fn read(
        &self,
        upstream: &Upstream,
        call: &Call,
        project: &ProjectId,
        range: Range,
    ) -> Result<Page<Self::Row>, Failure> {
        upstream.list_screen_records(call, project, self, range).await.map(shared)
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

    fn dependency(key: PageKey<Self>, page: WeakPage<Self>) -> Dependency {
        Dependency::RecordPage(key, page)
    }
}

impl Listing for OperationListing {
    type Row = Arc<DesktopOperation>;

    async fn read(
        &self,
        upstream: &Upstream,
        call: &Call,
        project: &ProjectId,
        range: Range,
    ) -> Result<Page<Self::Row>, Failure> {
        let path = RecordPath { project, id: &self.id };
        upstream.list_desktop_operations(call, path, &self.query, range).await.map(shared)
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

    fn dependency(key: PageKey<Self>, page: WeakPage<Self>) -> Dependency {
        Dependency::OperationPage(key, page)
    }
}

fn shared<T>(page: Page<T>) -> Page<Arc<T>> {
    let rows = page.rows.into_iter().map(|row| row.map(Arc::new)).collect();
    Page { rows, total: page.total }
}

impl Reader {
    /// A part of the list of recordings. Those in it are in the record cache afterwards.
    ///
    /// # Errors
    /// [`Failure::BadInput`] for a part that cannot be asked for; else as
    /// [`Reader::screen_record`].
    pub async fn screen_records(
        &self,
        project: ProjectId,
        query: RecordQuery,
        wanted: Wanted,
    ) -> Result<Slice<Arc<ScreenRecord>>, Failure> {
        let query = query.checked()?;
        let list = ListPrint::of(&["records", project.as_str(), &record_filter(&query)]);
        let ask = ask(list, wanted, Some(query.direction))?;
        let caller = self.admit_project(&project)?;
        let pages = self.records().record_pages();
        slice(&ask, |range| {
            let key = PageKey { caller, project: project.clone(), listing: query.clone(), range };
            self.page(pages, key)
        })
        .await
    }

    /// A part of the list of what happened during a recording.
    ///
    /// # Errors
    /// As [`Self::screen_records`].
    pub async fn desktop_operations(
        &self,
        project: ProjectId,
        id: RecordId,
        query: OperationQuery,
        wanted: Wanted,
    ) -> Result<Slice<Arc<DesktopOperation>>, Failure> {
        let query = query.checked()?;
        let filter = operation_filter(&query);
        let list = ListPrint::of(&["operations", project.as_str(), id.as_str(), &filter]);
        let ask = ask(list, wanted, None)?;
        let caller = self.admit_project(&project)?;
        let pages = self.records().operation_pages();
        let listing = OperationListing { id, query };
        slice(&ask, |range| {
            let (project, listing) = (project.clone(), listing.clone());
            self.page(pages, PageKey { caller, project, listing, range })
        })
        .await
    }

    /// One page: from the cache, or of a load that runs or starts now.
    async fn page<L: Listing>(
        &self,
        pages: &Arc<Pages<L>>,
        key: PageKey<L>,
    ) -> Result<Arc<Page<L::Row>>, Failure> {
        let asking = self.asking();
        let found = pages.cache.get(&key).filter(|_| !asking.no_cache);
        if let Some(hit) = found.as_ref().filter(|found| asking.accepts(found)) {
            CacheOutcome::Hit.record(&Content::Page.span());
            self.note_page(&key, Read::of(CacheOutcome::Hit, hit.age, hit.ttl, None), Some(hit));
            return Ok(Arc::clone(&hit.entry.value.0));
        }
        self.load_page(pages, key, found).instrument(Content::Page.span()).await
    }

    /// Joins the load of a page, or starts it, within the span of the read.
    async fn load_page<L: Listing>(
        &self,
        pages: &Arc<Pages<L>>,
        key: PageKey<L>,
        found: Option<Found<CachedPage<L>>>,
    ) -> Result<Arc<Page<L::Row>>, Failure> {
        let asking = self.asking();
        let _loading = self.loading().await;
        let landed = || Some(pages.cache.get(&key).filter(|found| asking.accepts(found))?.entry);
        let load = |generation| {
            let (records, pages, key) = (self.records().clone(), Arc::clone(pages), key.clone());
            records.load_page(pages, key, asking.call(), generation).boxed()
        };
        let generations = self.records().generations();
        let begin = || generations.begin(key.caller, &key.project, LoadKind::List);
        let request = JoinRequest { key: &key, begin: &begin };
        let boarding = pages.flights.board(request, landed, load);
        let span = Span::current();
        span.add_link(boarding.span);
        let outcome = asking.outcome(!boarding.joined, found.is_some());
        match (boarding.flight.await, found) {
            (Ok(entry), _) => {
                outcome.record(&span);
                let loaded = pages.cache.assess(entry);
                let read = Read::of(outcome, loaded.age, loaded.ttl, Some(200));
                self.note_page(&key, read, Some(&loaded));
                Ok(Arc::clone(&loaded.entry.value.0))
            }
            // A page that was dropped meanwhile must not be served.
            (Err(failure), Some(found))
                if failure.permits_stale() && pages.cache.holds(&key, &found.entry) =>
            {
                tracing::warn!(
                    code = failure.code().as_str(),
                    "served a stale page in place of an error"
                );
                CacheOutcome::StaleOnError.record(&span);
                let stale = pages.cache.assess(found.entry);
                let status = failure.upstream_status();
                let read = Read::of(CacheOutcome::StaleOnError, stale.age, stale.ttl, status);
                self.note_page(&key, read, Some(&stale));
                Ok(Arc::clone(&stale.entry.value.0))
            }
            (Err(failure), _) => {
                outcome.record(&span);
                spans::fail(&span, failure.code().as_str());
                self.note_page(&key, Read::failed(outcome, failure.upstream_status()), None);
                Err(failure)
            }
        }
    }

    fn note_page<L: Listing>(
        &self,
        key: &PageKey<L>,
        read: Read,
        found: Option<&Found<CachedPage<L>>>,
    ) {
        match found {
            Some(found) if read.outcome.is_fresh() => {
                self.depend_on(|| L::dependency(key.clone(), Arc::downgrade(&found.entry)));
            }
            Some(_) | None => self.mark_uncacheable(),
        }
        self.note_for_field(Content::Page, &read, found.is_some());
        self.note_read(read);
    }
}

impl Records {
    async fn load_page<L: Listing>(
        self,
        pages: Arc<Pages<L>>,
        key: PageKey<L>,
        call: Call,
        generation: Generation,
    ) -> Result<Arc<PageEntry<L>>, Failure> {
        let asked = self.now();
        let read = key.listing.read(self.upstream(), &call, &key.project, key.range).await;
        let page = read.inspect_err(|failure| {
            if let Some(refused) = Invalidation::by_list(failure, key.caller, &key.project) {
                self.revoke(refused);
            }
        })?;
        let entry = pages.cache.entry(CachedPage(Arc::new(page)));
        if pages.cache.assess(Arc::clone(&entry)).is_fresh() {
            pages.cache.insert(&key, &entry, &generation);
        }
        for (id, record) in entry.value.0.rows.iter().flatten().filter_map(L::record) {
            let PageKey { caller, project, .. } = key.clone();
            let key = RecordKey { caller, project, id };
            self.cache_listed_record(&key, record, asked, &generation);
        }
        Ok(entry)
    }

    fn cache_listed_record(
        &self,
        key: &RecordKey,
        record: &Arc<ScreenRecord>,
        asked: Instant,
        generation: &Generation,
    ) {
        let ttl = ttl_of(record, &self.limits());
        let value = Value::Record(Arc::clone(record));
        let entry = self.cache().entry(CachedRecord::new(value, 200, ttl));
        self.cache().insert_if_newer(key, &entry, asked, generation);
    }
}

fn ask(
    list: ListPrint,
    wanted: Wanted,
    sorted: Option<crate::domain::Direction>,
) -> Result<Ask, Failure> {
    let first = u32::try_from(wanted.first).ok().filter(|first| *first <= MOST_ROWS);
    let first = first.ok_or_else(|| Failure::BadInput {
        argument: "first",
        problem: format!("is {}: 0 to {MOST_ROWS} are allowed", wanted.first),
    })?;
    let after = wanted.after.map(|after| Cursor::parse(&after, list)).transpose()?;
    let first = if wanted.only_total { 0 } else { first };
    Ok(Ask { list, first, after, sorted })
}
