//! Lists for one GraphQL request: recordings, and what happened during one.

use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::cursor::{Cursor, ListPrint};
use super::dependency::{Dependency, WeakPage};
use super::flight::JoinRequest;
use super::generation::{Generation, LoadKind};
use super::invalidation::Invalidation;
use super::key::{CallerKey, RecordKey};
use super::loader::{Reader, Records};
use super::pages::{KeptPage, Listing, PageKey, Pages};
use super::read::{CacheOutcome, Content, Read};
use super::slice::{Ask, Row, Slice, slice};
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

/// A page to read, and what the cache holds of it.
struct PageRead<L: Listing> {
    key: PageKey<L>,
    found: Option<Arc<KeptPage<L::Row>>>,
    /// Receives what was read.
    fill: fn(&Records, &PageKey<L>, &Asked<L>),
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
            self.page(pages, key, fill)
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
            self.page(pages, PageKey { caller, project, listing, range }, |_, _, _| {})
        })
        .await
    }

    /// One page: kept, under way already, or read. `fill` is shown what has just been read.
    async fn page<L: Listing>(
        &self,
        pages: &Arc<Pages<L>>,
        key: PageKey<L>,
        fill: fn(&Records, &PageKey<L>, &Asked<L>),
    ) -> Result<Arc<Page<L::Row>>, Failure> {
        let asking = self.asking();
        let found = pages.get(&key).filter(|_| !asking.no_cache);
        let good = |kept: &Arc<KeptPage<L::Row>>| {
            pages.is_fresh(kept) && asking.accepts_age(pages.age_of(kept))
        };
        if let Some(kept) = found.as_ref().filter(|kept| good(kept)) {
            CacheOutcome::Hit.record(&Content::Page.span());
            self.note_page(pages, (&key, CacheOutcome::Hit), Some(kept), None);
            return Ok(Arc::clone(&kept.page));
        }
        let load = PageRead { key, found, fill };
        self.read_page(pages, load).instrument(Content::Page.span()).await
    }

    /// Joins the load of a page, or begins it, within the span of the read.
    async fn read_page<L: Listing>(
        &self,
        pages: &Arc<Pages<L>>,
        read: PageRead<L>,
    ) -> Result<Arc<Page<L::Row>>, Failure> {
        let PageRead { key, found, fill } = read;
        let asking = self.asking();
        let good = |kept: &Arc<KeptPage<L::Row>>| {
            pages.is_fresh(kept) && asking.accepts_age(pages.age_of(kept))
        };
        let _loading = self.loading().await;
        let landed = || pages.get(&key).filter(|kept| good(kept));
        let load = |generation| {
            let records = self.records().clone();
            let load = PageLoad { pages: Arc::clone(pages), key: key.clone(), generation, fill };
            records.load_page(load, asking.call()).boxed()
        };
        let generations = self.records().generations();
        let begin = || generations.begin(key.caller, &key.project, LoadKind::List);
        let request = JoinRequest { key: &key, begin: &begin };
        let boarding = pages.flights.board(request, landed, load);
        let span = Span::current();
        span.add_link(boarding.span);
        let outcome = asking.outcome(!boarding.joined, found.is_some());
        match (boarding.flight.await, found) {
            (Ok(kept), _) => {
                outcome.record(&span);
                self.note_page(pages, (&key, outcome), Some(&kept), Some(200));
                Ok(Arc::clone(&kept.page))
            }
            // A page that was dropped meanwhile must not be served.
            (Err(failure), Some(spare)) if failure.permits_stale() && pages.holds(&key, &spare) => {
                tracing::warn!(
                    code = failure.code().as_str(),
                    "served a stale page in place of an error"
                );
                let status = failure.upstream_status();
                CacheOutcome::StaleOnError.record(&span);
                self.note_page(pages, (&key, CacheOutcome::StaleOnError), Some(&spare), status);
                Ok(Arc::clone(&spare.page))
            }
            (Err(failure), _) => {
                outcome.record(&span);
                spans::fail(&span, failure.code().as_str());
                self.note_page(pages, (&key, outcome), None, failure.upstream_status());
                Err(failure)
            }
        }
    }

    fn note_page<L: Listing>(
        &self,
        pages: &Pages<L>,
        (key, outcome): (&PageKey<L>, CacheOutcome),
        kept: Option<&Arc<KeptPage<L::Row>>>,
        upstream_status: Option<u16>,
    ) {
        match kept {
            Some(kept) if outcome.is_fresh() => {
                self.depend_on(|| L::dependency(key.clone(), Arc::downgrade(kept)));
            }
            Some(_) | None => self.mark_uncacheable(),
        }
        let read = Read {
            outcome,
            age: kept.map(|kept| pages.age_of(kept)).unwrap_or_default(),
            remaining: kept.map(|kept| pages.remaining(kept)).unwrap_or_default(),
            overdue: kept.map(|kept| pages.overdue(kept)).unwrap_or_default(),
            upstream_status,
        };
        self.note_for_field(Content::Page, &read, kept.is_some());
        self.note_read(read);
    }
}

/// A page to be read.
struct PageLoad<L: Listing> {
    pages: Arc<Pages<L>>,
    key: PageKey<L>,
    generation: Generation,
    /// Is shown what was read.
    fill: fn(&Records, &PageKey<L>, &Asked<L>),
}

/// A page that has just been read, and when it was asked for.
pub(crate) struct Asked<L: Listing> {
    page: Arc<Page<L::Row>>,
    at: Instant,
    generation: Generation,
}

impl Records {
    async fn load_page<L: Listing>(
        self,
        PageLoad { pages, key, generation, fill }: PageLoad<L>,
        call: Call,
    ) -> Result<Arc<KeptPage<L::Row>>, Failure> {
        let at = self.now();
        let read = key.listing.read(self.upstream(), &call, &key.project, key.range).await;
        match read {
            Ok(page) => {
                let kept = pages.keep(&key, page, &generation);
                fill(&self, &key, &Asked { page: Arc::clone(&kept.page), at, generation });
                Ok(kept)
            }
            Err(failure) => {
                if let Some(refused) = Invalidation::by_list(&failure, key.caller, &key.project) {
                    self.revoke(refused);
                }
                Err(failure)
            }
        }
    }
}

/// Puts the recordings of a page into the record cache, so that opening one costs no call.
fn fill(records: &Records, key: &PageKey<RecordQuery>, asked: &Asked<RecordQuery>) {
    for record in asked.page.rows.iter().flatten() {
        let id = record.id().map(RecordId::parse);
        if let Some(Ok(id)) = id {
            let (caller, project): (CallerKey, _) = (key.caller, key.project.clone());
            let key = RecordKey { caller, project, id };
            records.cache().keep_listed(&key, record, asked.at, &asked.generation);
        }
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
