//! Lists for one GraphQL request: recordings, and what happened during one.

use std::sync::Arc;

use futures_util::FutureExt as _;

use super::super::cached::{CachedPage, Listing, OperationListing, PageId};
use super::super::key::Key;
use super::super::reader::Reader;
use super::super::statistics::{Grouping, Statistics, fold};
use super::cursor::{Cursor, ListPrint};
use super::paginate::{ListPage, ListQuery, paginate};
use super::scan::{WholeList, read_whole, scan};
use crate::domain::{
    DesktopOperation, Direction, Failure, OperationQuery, Page, Permission, ProjectId, RecordId,
    RecordQuery, RecordSelection, ScreenRecord,
};
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
    ) -> Result<ListPage<Arc<ScreenRecord>>, Failure> {
        let selection = selection.checked()?;
        let RecordSelection { query, rows } = &selection;
        let list = print_of(&project, &selection);
        let part = self.list_query(list, request, Some(query.direction))?;
        let caller = self.admit_project(&project)?;
        let list = Key { caller, project, id: query.clone() };
        if self.restriction().is_none() && rows.is_empty() {
            return paginate(&part, &|range| self.record_page(&list, range).boxed()).await;
        }
        let Some(listing) = self.scanned_list(&selection) else {
            return Ok(ListPage::empty(&part));
        };
        let list = Key { id: listing, ..list };
        let is_match =
            |record: &Arc<ScreenRecord>| self.context.grant.shows(record) && rows.matches(record);
        let fetch = |range| self.record_page(&list, range).boxed();
        let scanned = scan(&part, &self.scan_budget, &is_match, &fetch).await;
        scanned.map_err(|failure| self.scan_failure(failure))
    }

    /// Sums over the recordings of a selection, by group. They are in the record cache afterwards.
    ///
    /// # Errors
    /// As [`Reader::screen_record`], and [`Failure::BadInput`] for a selection that cannot be asked for.
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
        let read = self.whole_list(&Key { caller, project, id: listing }).await;
        let mut list = read.map_err(|failure| self.scan_failure(failure))?;
        let rows = list.rows.len();
        list.rows.retain(|row| row.as_ref().is_ok_and(|record| self.context.grant.shows(record)));
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
        list: &Key<RecordQuery>,
    ) -> Result<WholeList<Arc<ScreenRecord>>, Failure> {
        read_whole(&self.scan_budget, &|range| self.record_page(list, range).boxed()).await
    }

    /// One page of a list of recordings.
    async fn record_page(
        &self,
        list: &Key<RecordQuery>,
        range: Range,
    ) -> Result<Arc<Page<Arc<ScreenRecord>>>, Failure> {
        let Key { caller, project, id: listing } = list.clone();
        self.page(Key { caller, project, id: PageId { listing, range } }).await
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
    ) -> Result<ListPage<Arc<DesktopOperation>>, Failure> {
        self.require(Permission::Operations, &project, &id)?;
        let query = query.checked()?;
        let filter = operation_filter(&query);
        let list = ListPrint::of(&["operations", project.folded(), id.as_str(), &filter]);
        let part = self.list_query(list, request, None)?;
        let caller = self.admit_project(&project)?;
        let listing = OperationListing { id, query };
        paginate(&part, &|range| {
            let (project, listing) = (project.clone(), listing.clone());
            self.page(Key { caller, project, id: PageId { listing, range } }).boxed()
        })
        .await
    }

    /// One page: from the cache, or of a load that runs or starts now.
    async fn page<L: Listing>(&self, key: Key<PageId<L>>) -> Result<Arc<Page<L::Row>>, Failure> {
        let entry = self.read::<CachedPage<L>>(&key, self.join_at_once(&key)).await?;
        Ok(Arc::clone(&entry.value.0))
    }

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
        let grant = self.restriction();
        let seal = grant.map(|grant| self.records.cursor_key.for_grant(grant.key()));
        let after = request.after.map(|after| Cursor::parse(&after, list, seal.as_ref()));
        let first = if request.only_total { 0 } else { first };
        let (after, with_total) = (after.transpose()?, request.total);
        Ok(ListQuery { list, first, after, with_total, sorted, seal })
    }
}

/// The list that the cursors of a selection belong to.
fn print_of(project: &ProjectId, RecordSelection { query, rows }: &RecordSelection) -> ListPrint {
    let (query, rows_text) = (record_filter(query), format!("{rows:?}"));
    let parts = ["records", project.folded(), &query, &rows_text];
    ListPrint::of(if rows.is_empty() { &parts[..3] } else { &parts })
}
