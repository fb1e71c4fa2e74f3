//! A part of a list as a client asks for it, made of the upstream's pages.
//!
//! The upstream numbers rows, and rows shift while a client pages: new ones push the others back,
//! vanished ones pull them forward. What a cursor remembers tells which rows have been shown.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::{BoxFuture, try_join_all};

use super::cursor::{Cursor, CursorSeal, IdPrint, ListPrint, REMEMBERED, millis};
use crate::domain::{Direction, Failure, Field, Page, Timestamp, Unreadable};
use crate::upstream::{Range, malformed};

/// How often more rows are requested, to find what has shifted.
const MAX_STEPS: usize = 5;
/// The most pages that one part is made of. An upstream that gives ten rows a page is read up to the
/// largest part.
pub(crate) const MAX_PAGES: usize = 128;

/// Pages that are requested at once, before the first ones have said how many rows there are.
const FIRST_AT_ONCE: usize = 4;
/// Pages that are requested at once afterwards.
const AT_ONCE: usize = 8;

/// Which part of a list to read.
#[derive(Clone, Debug)]
pub(crate) struct ListQuery {
    pub(crate) list: ListPrint,
    pub(crate) first: u32,
    pub(crate) after: Option<Cursor>,
    /// Whether a scan counts all matching rows: then it does not stop at the part's end.
    pub(crate) with_total: bool,
    /// Which way the list is sorted by time; `None` where its order is not known.
    pub(crate) sorted: Option<Direction>,
    /// Seals the cursors.
    pub(crate) seal: Option<CursorSeal>,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub(crate) struct ListPage<T> {
    /// Its rows.
    pub(crate) edges: Vec<Edge<T>>,
    /// The cursor to go on from; `None` for the beginning of the list.
    pub(crate) end: Option<Cursor>,
    /// How many rows the whole list has.
    pub(crate) total: Field<i64>,
    /// Whether rows follow.
    pub(crate) has_next: bool,
    /// Whether rows come before.
    pub(crate) has_previous: bool,
}

/// A row of a list and its place.
#[derive(Clone, Debug)]
pub(crate) struct Edge<T> {
    /// The row, or why it could not be read.
    pub(crate) node: Result<T, Arc<Unreadable>>,
    /// Its place.
    pub(crate) cursor: Cursor,
}

impl<T> ListPage<T> {
    /// A list without rows.
    pub(crate) fn empty(query: &ListQuery) -> Self {
        let has_previous = query.after.is_some();
        Self { edges: Vec::new(), end: None, total: Some(Ok(0)), has_next: false, has_previous }
    }

    /// Makes a node of every row.
    pub(crate) fn map<N>(self, node: impl Fn(T) -> Result<N, Arc<Unreadable>>) -> ListPage<N> {
        let Self { edges, end, total, has_next, has_previous } = self;
        let edge = |Edge { node: row, cursor }| Edge { node: row.and_then(&node), cursor };
        let edges = edges.into_iter().map(edge).collect();
        ListPage { edges, end, total, has_next, has_previous }
    }
}

/// Reads a part of a list.
///
/// # Errors
/// What `fetch` fails with; [`Failure::Malformed`] for pages that contradict their total.
pub(crate) async fn paginate<T: Row>(
    query: &ListQuery,
    fetch: FetchPage<'_, T>,
) -> Result<ListPage<T>, Failure> {
    if query.first == 0 {
        let page = fetch(Range { offset: 0, limit: 1 }).await?;
        let has_next = match &page.total {
            Some(total) => total.as_ref().is_ok_and(|total| *total > 0),
            None => !page.rows.is_empty(),
        };
        return Ok(ListPage { has_next, total: page.total.clone(), ..ListPage::empty(query) });
    }
    let mut pages = PageReader::new(fetch, MAX_PAGES);
    let (begin, count) = requested_range(query);
    let mut rows = pages.read(begin, begin.saturating_add(count)).await?;
    let mut end = begin.saturating_add(length(&rows));
    step_back(&mut rows, begin, query, &mut pages).await?;
    for _ in 0..MAX_STEPS {
        let unseen = u32::try_from(unseen(&rows, query).count()).unwrap_or(u32::MAX);
        if unseen >= query.first || pages.has_end(end) {
            break;
        }
        // Where nothing is new, the list has shifted by more rows than requested.
        let count = if unseen == 0 { Range::LARGEST } else { query.first - unseen };
        let more = pages.read(end, end.saturating_add(count)).await?;
        end = end.saturating_add(length(&more));
        rows.extend(more);
    }
    let unseen: Vec<_> = unseen(&rows, query).collect();
    let has_next = unseen.len() > query.first as usize || !pages.has_end(end);
    let edges = edges(&unseen, query);
    let cursor = edges.last().map(|edge| edge.cursor.clone());
    Ok(ListPage { edges, end: cursor, has_next, total: pages.total, ..ListPage::empty(query) })
}

/// The first row to request and how many. Where that makes no page more, the row of the cursor is among
/// them, so that it shows whether it is still in its place.
fn requested_range(query: &ListQuery) -> (u32, u32) {
    let Some(after) = &query.after else { return (0, query.first) };
    let pages = |count: u32| count.div_ceil(Range::LARGEST);
    if pages(query.first + 1) == pages(query.first) {
        (after.offset, query.first + 1)
    } else {
        (after.offset.saturating_add(1), query.first)
    }
}

/// Reads the pages before, as long as the first row follows what was shown already, with others perhaps
/// between: rows have vanished and the list has moved forward.
async fn step_back<T: Row>(
    rows: &mut Vec<NumberedRow<T>>,
    mut begin: u32,
    query: &ListQuery,
    pages: &mut PageReader<'_, T>,
) -> Result<(), Failure> {
    let Some(after) = query.after.as_ref().filter(|after| after.offset == begin) else {
        return Ok(());
    };
    for _ in 0..MAX_STEPS {
        let has_moved = query.sorted.is_some()
            && is_sorted(rows, query.sorted)
            && rows.first().is_none_or(|first| is_new(&first.row, after, query.sorted));
        if !has_moved || begin == 0 {
            break;
        }
        let end = begin;
        begin = begin.saturating_sub(Range::LARGEST);
        rows.splice(0..0, pages.read(begin, end).await?);
    }
    Ok(())
}

/// The rows that have not been shown yet, each id once.
fn unseen<'r, T: Row>(
    rows: &'r [NumberedRow<T>],
    query: &'r ListQuery,
) -> impl Iterator<Item = &'r NumberedRow<T>> {
    // Where the upstream does not sort, times say nothing of what was shown.
    let sorted = query.sorted.filter(|_| is_sorted(rows, query.sorted));
    let mut met = HashSet::new();
    rows.iter().filter(move |NumberedRow { row, .. }| {
        query.after.as_ref().is_none_or(|after| is_new(row, after, sorted))
            && print_of(row).is_none_or(|print| met.insert(print))
    })
}

fn edges<T: Row>(unseen: &[&NumberedRow<T>], query: &ListQuery) -> Vec<Edge<T>> {
    let mut shown = query.after.as_ref().map(|after| after.shown).unwrap_or_default();
    let edge = |NumberedRow { number, row }: &&NumberedRow<T>| {
        if let Some(print) = print_of(row) {
            shown.rotate_left(1);
            shown[REMEMBERED - 1] = print;
        }
        let (list, time, seal) = (query.list, time_of(row), query.seal.clone());
        let cursor = Cursor { list, offset: *number, time, shown, seal };
        Edge { node: row.clone(), cursor }
    };
    unseen.iter().take(query.first as usize).map(edge).collect()
}

fn length<T>(rows: &[NumberedRow<T>]) -> u32 {
    u32::try_from(rows.len()).unwrap_or(u32::MAX)
}

fn print_of<T: Row>(row: &Result<T, Arc<Unreadable>>) -> Option<IdPrint> {
    row.as_ref().ok().and_then(Row::id).map(IdPrint::of)
}

fn time_of<T: Row>(row: &Result<T, Arc<Unreadable>>) -> Option<i64> {
    row.as_ref().ok().and_then(Row::time).map(millis)
}

/// Whether a row has not been shown up to `after`.
fn is_new<T: Row>(
    row: &Result<T, Arc<Unreadable>>,
    after: &Cursor,
    sorted: Option<Direction>,
) -> bool {
    if print_of(row).is_some_and(|print| after.shown.contains(&print)) {
        return false;
    }
    match (sorted, time_of(row), after.time) {
        (Some(Direction::Descending), Some(time), Some(shown)) => time <= shown,
        (Some(Direction::Ascending), Some(time), Some(shown)) => time >= shown,
        _ => true,
    }
}

fn is_sorted<T: Row>(rows: &[NumberedRow<T>], direction: Option<Direction>) -> bool {
    let times = rows.iter().filter_map(|numbered| time_of(&numbered.row));
    match direction {
        Some(Direction::Ascending) => times.is_sorted(),
        Some(Direction::Descending) => times.is_sorted_by(|one, next| one >= next),
        None => true,
    }
}

/// A row that can be recognised.
pub(crate) trait Row: Clone + Send + Sync {
    fn id(&self) -> Option<&str>;
    /// What the list is sorted by, where it is sorted by time.
    fn time(&self) -> Option<Timestamp> {
        None
    }
}

/// Reads one of the upstream's pages.
pub(crate) type FetchPage<'f, T> =
    &'f (dyn Fn(Range) -> BoxFuture<'f, Result<Arc<Page<T>>, Failure>> + Send + Sync);

/// A row with its number in the upstream's list.
pub(super) struct NumberedRow<T> {
    pub(super) number: u32,
    pub(super) row: Result<T, Arc<Unreadable>>,
}

/// Reads pages one after the other.
pub(super) struct PageReader<'f, T> {
    fetch: FetchPage<'f, T>,
    /// The most pages to request.
    max_pages: usize,
    /// Pages requested so far.
    requested: usize,
    /// How many rows the list has, as the last page said.
    pub(super) total: Field<i64>,
    /// Number of the row from which on a page was empty.
    ends_at: Option<u32>,
    /// Whether two pages gave different totals: rows have come or gone between them.
    pub(super) has_shifted: bool,
}

impl<'f, T: Row> PageReader<'f, T> {
    pub(super) fn new(fetch: FetchPage<'f, T>, max_pages: usize) -> Self {
        Self { fetch, max_pages, requested: 0, total: None, ends_at: None, has_shifted: false }
    }

    /// Reads the rows `from..to`; fewer where the list ends before.
    ///
    /// A page may hold fewer rows than requested, so the next one begins behind the rows received. Pages are
    /// requested together, as if each were full; those behind a gap are requested again, in the size that
    /// the upstream gives.
    ///
    /// # Errors
    /// What `fetch` fails with; [`Failure::Malformed`] for pages that contradict their total.
    pub(super) async fn read(
        &mut self,
        from: u32,
        to: u32,
    ) -> Result<Vec<NumberedRow<T>>, Failure> {
        let mut rows = Vec::new();
        let (mut next, mut size, mut at_once) = (from, Range::LARGEST, FIRST_AT_ONCE);
        while next < to && !self.has_end(next) {
            let ranges = self.ranges(next..to, size, at_once)?;
            let pages = try_join_all(ranges.iter().map(|range| (self.fetch)(*range))).await?;
            for (range, page) in ranges.into_iter().zip(pages) {
                let before = self.known_total();
                self.total = page.total.clone().or(self.total.take());
                self.has_shifted |= before.is_some() && before != self.known_total();
                if range.offset != next {
                    continue;
                }
                let received = page.rows.iter().take(range.limit as usize);
                rows.extend(
                    (next..)
                        .zip(received)
                        .map(|(number, row)| NumberedRow { number, row: row.clone() }),
                );
                next = from.saturating_add(u32::try_from(rows.len()).unwrap_or(u32::MAX));
                if next == range.offset {
                    self.end_at(next)?;
                    return Ok(rows);
                }
                if next < range.offset + range.limit {
                    size = next - range.offset;
                }
            }
            at_once = AT_ONCE;
        }
        Ok(rows)
    }

    /// Pages to request together: of some size, and none behind the total.
    fn ranges(
        &mut self,
        rows: std::ops::Range<u32>,
        size: u32,
        at_once: usize,
    ) -> Result<Vec<Range>, Failure> {
        let total = self.known_total().unwrap_or(i64::MAX);
        let offsets = rows.clone().step_by(size as usize).take(at_once);
        let ranges: Vec<Range> = offsets
            .filter(|offset| *offset == rows.start || i64::from(*offset) < total)
            .map(|offset| Range { offset, limit: size.min(rows.end - offset) })
            .collect();
        self.requested += ranges.len();
        if self.requested > self.max_pages {
            let most = self.max_pages;
            let problem = format!("holds so few rows that this part takes more than {most} calls");
            return Err(malformed(problem, 200));
        }
        Ok(ranges)
    }

    /// Notes an empty page: the end of the list, unless its total says that there are more rows.
    fn end_at(&mut self, number: u32) -> Result<(), Failure> {
        if let Some(total) = self.known_total().filter(|total| *total > i64::from(number)) {
            let problem =
                format!("has no rows from number {number} on, although it counts {total} in all");
            return Err(malformed(problem, 200));
        }
        self.ends_at = Some(self.ends_at.map_or(number, |end| end.min(number)));
        Ok(())
    }

    /// Whether the list has no row of a number. A total below that is wrong, so it says nothing.
    pub(super) fn has_end(&self, number: u32) -> bool {
        self.ends_at.is_some_and(|end| end <= number)
            || self.known_total() == Some(i64::from(number))
            || number == u32::MAX
    }

    pub(super) fn known_total(&self) -> Option<i64> {
        self.total.as_ref()?.as_ref().ok().copied()
    }
}
