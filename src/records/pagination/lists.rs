//! Lists for one GraphQL request: recordings, and what happened during one.

use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::task::yield_now;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::super::dependency::PageDependency;
use super::super::key::CallerKey;
use super::super::pages::{CachedPage, OperationListing, PageKey};
use super::super::read::{CacheOutcome, Content, Read};
use super::super::reader::Reader;
use super::super::statistics::{Grouping, Statistics, fold};
use super::super::ttl_cache::Found;
use super::cursor::{Cursor, ListPrint};
use super::paginate::{Connection, ListQuery, paginate};
use super::scan::{ScanRequest, scan};
use super::whole::{WholeList, read_whole};
use crate::domain::{
    DesktopOperation, Direction, Failure, OperationQuery, Page, Permission, ProjectId, RecordId,
    RecordQuery, RecordSelection, ScreenRecord,
};
use crate::spans;
use crate::upstream::{Range, operation_filter, record_filter};

/// The most rows that are shown at once.
pub(crate) const MOST_ROWS: u32 = 1000;

/// Which part of a list to return.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// The most rows, 0 to 1000.
    pub first: i32,
    /// The cursor of the row they follow.
    pub after: Option<String>,
    /// Whether the number of all rows is needed.
    pub total: bool,
    /// Whether that is all that is needed.
    pub only_total: bool,
}

/// A list of recordings that the upstream has.
#[derive(Clone, Copy)]
pub(crate) struct RecordList<'l> {
    pub(crate) caller: CallerKey,
    pub(crate) project: &'l ProjectId,
    pub(crate) listing: &'l RecordQuery,
}

impl Reader {
    /// A part of the list of recordings. Those in it are in the record cache afterwards.
    ///
    /// # Errors
    /// [`Failure::BadInput`] for a part that cannot be asked for; else as
    /// [`Reader::screen_record`].
    pub(crate) async fn screen_records(
        &self,
        project: ProjectId,
        selection: RecordSelection,
        request: PageRequest,
    ) -> Result<Connection<Arc<ScreenRecord>>, Failure> {
        let selection = selection.checked()?;
        let RecordSelection { query, rows } = &selection;
        let with_total = request.total;
        let list = print_of(&project, &selection);
        let part = self.list_query(list, request, Some(query.direction))?;
        let caller = self.admit_project(&project)?;
        let list = RecordList { caller, project: &project, listing: query };
        if self.restriction().is_none() && rows.is_empty() {
            return paginate(&part, &|range| self.record_page(list, range).boxed()).await;
        }
        let Some(listing) = self.scanned_list(&selection) else {
            return Ok(Connection::empty(&part));
        };
        let list = RecordList { listing: &listing, ..list };
        let is_match = |record: &Arc<ScreenRecord>| self.is_visible(record) && rows.matches(record);
        let budget = self.scan_budget();
        let request = ScanRequest { query: &part, with_total, budget, is_match: &is_match };
        let scanned = scan(request, &|range| self.record_page(list, range).boxed()).await;
        scanned.map_err(|failure| self.scan_failure(failure))
    }

    /// Sums over the recordings of a selection, by group. They are in the record cache afterwards.
    ///
    /// # Errors
    /// As [`Self::screen_records`].
    pub async fn statistics(
        &self,
        project: ProjectId,
        selection: RecordSelection,
        grouping: &Grouping,
    ) -> Result<Statistics, Failure> {
        let selection = selection.checked()?;
        let caller = self.admit_project(&project)?;
        let Some(listing) = self.scanned_list(&selection) else {
            let groups = fold(grouping, std::iter::empty());
            return Ok(Statistics { groups, scanned: 0, is_complete: true });
        };
        let list = RecordList { caller, project: &project, listing: &listing };
        let read = self.whole_list(list).await;
        let mut list = read.map_err(|failure| self.scan_failure(failure))?;
        let rows = list.rows.len();
        list.rows.retain(|row| row.as_ref().is_ok_and(|record| self.is_visible(record)));
        // To a restricted caller a row that cannot be read is invisible.
        let is_readable = self.restriction().is_some() || list.rows.len() == rows;
        let records = list.rows.iter().flatten().map(|record| &**record);
        let groups = fold(grouping, records.filter(|record| selection.rows.matches(record)));
        let is_complete = list.is_complete && is_readable;
        Ok(Statistics { groups, scanned: list.rows.len(), is_complete })
    }

    /// All recordings of an upstream list, as far as the scan budget reaches.
    pub(crate) async fn whole_list(
        &self,
        list: RecordList<'_>,
    ) -> Result<WholeList<Arc<ScreenRecord>>, Failure> {
        read_whole(self.scan_budget(), &|range| self.record_page(list, range).boxed()).await
    }

    /// One page of a list of recordings.
    async fn record_page(
        &self,
        list: RecordList<'_>,
        range: Range,
    ) -> Result<Arc<Page<Arc<ScreenRecord>>>, Failure> {
        let RecordList { caller, project, listing } = list;
        let (project, listing) = (project.clone(), listing.clone());
        let key = PageKey { caller, project, listing, range };
        self.page(key).await
    }

    /// A part of the list of what happened during a recording.
    ///
    /// # Errors
    /// As [`Self::screen_records`].
    pub(crate) async fn desktop_operations(
        &self,
        project: ProjectId,
        id: RecordId,
        query: OperationQuery,
        request: PageRequest,
    ) -> Result<Connection<Arc<DesktopOperation>>, Failure> {
        self.require(Permission::Operations, &project, &id)?;
        let query = query.checked()?;
        let filter = operation_filter(&query);
        let list = ListPrint::of(&["operations", project.folded(), id.as_str(), &filter]);
        let part = self.list_query(list, request, None)?;
        let caller = self.admit_project(&project)?;
        let listing = OperationListing { id, query };
        paginate(&part, &|range| {
            let (project, listing) = (project.clone(), listing.clone());
            self.page(PageKey { caller, project, listing, range }).boxed()
        })
        .await
    }

    /// One page: from the cache, or of a load that runs or starts now.
    async fn page<L: PageDependency>(&self, key: PageKey<L>) -> Result<Arc<Page<L::Row>>, Failure> {
        let context = self.context();
        let found = L::cache(self.records()).get(&key).filter(|_| !context.no_cache);
        if let Some(hit) = found.as_ref().filter(|found| context.accepts(found)) {
            CacheOutcome::Hit.record(&Content::Page.span());
            self.note_page(&key, Read::of(CacheOutcome::Hit, hit.age, hit.ttl, None), Some(hit));
            return Ok(Arc::clone(&hit.entry.value.0));
        }
        self.load_page(key, found).instrument(Content::Page.span()).await
    }

    /// Joins the load of a page, or starts it, within the span of the read.
    async fn load_page<L: PageDependency>(
        &self,
        key: PageKey<L>,
        found: Option<Found<CachedPage<L>>>,
    ) -> Result<Arc<Page<L::Row>>, Failure> {
        let context = self.context();
        let _loading = self.loading();
        yield_now().await;
        let pages = L::cache(self.records());
        let load = |generation| {
            let (records, key) = (self.records().clone(), key.clone());
            records.load_page(key, context.call(), generation)
        };
        let handle = pages.join(&key, |found| context.accepts_age(found.age), load);
        let span = Span::current();
        span.add_link(handle.started_in.clone());
        let outcome = context.outcome(handle.is_leader(), found.is_some());
        match (handle.load.await, found) {
            (Ok(entry), _) => {
                outcome.record(&span);
                let loaded = pages.assess(entry);
                let read = Read::of(outcome, loaded.age, loaded.ttl, Some(200));
                self.note_page(&key, read, Some(&loaded));
                Ok(Arc::clone(&loaded.entry.value.0))
            }
            // A page that was dropped meanwhile must not be served.
            (Err(failure), Some(found))
                if failure.permits_stale() && pages.holds(&key, &found.entry) =>
            {
                tracing::warn!(
                    code = failure.code().as_str(),
                    "served a stale page in place of an error"
                );
                CacheOutcome::StaleOnError.record(&span);
                let stale = pages.assess(found.entry);
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

    fn note_page<L: PageDependency>(
        &self,
        key: &PageKey<L>,
        read: Read,
        found: Option<&Found<CachedPage<L>>>,
    ) {
        match found {
            Some(found) if read.outcome == CacheOutcome::Hit => {
                self.depend_on(|| L::dependency(key.clone(), Arc::downgrade(&found.entry)));
            }
            Some(_) | None => self.mark_uncacheable(),
        }
        self.note_for_field(Content::Page, &read, found.is_some());
        self.note_read(read);
    }
}

impl Reader {
    fn list_query(
        &self,
        list: ListPrint,
        request: PageRequest,
        sorted: Option<Direction>,
    ) -> Result<ListQuery, Failure> {
        let first = u32::try_from(request.first).ok().filter(|first| *first <= MOST_ROWS);
        let first = first.ok_or_else(|| Failure::BadInput {
            argument: "first",
            problem: format!("is {}: 0 to {MOST_ROWS} are allowed", request.first),
        })?;
        let seal = self.cursor_seal();
        let after = request.after.map(|after| Cursor::parse(&after, list, seal.as_ref()));
        let first = if request.only_total { 0 } else { first };
        Ok(ListQuery { list, first, after: after.transpose()?, sorted, seal })
    }
}

/// The list that the cursors of a selection belong to.
fn print_of(project: &ProjectId, RecordSelection { query, rows }: &RecordSelection) -> ListPrint {
    let (query, rows_text) = (record_filter(query), format!("{rows:?}"));
    let parts = ["records", project.folded(), &query, &rows_text];
    ListPrint::of(if rows.is_empty() { &parts[..3] } else { &parts })
}
