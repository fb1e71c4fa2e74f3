//! A part of a list as a client asks for it, made of the upstream's pages.
//!
//! The upstream numbers rows, and rows shift while a client pages: new ones push the others back,
//! vanished ones pull them forward. What a cursor remembers tells which rows have been shown.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::cursor::{Cursor, IdPrint, ListPrint, millis};
use crate::domain::{Direction, Failure, Field, Page, Timestamp, Unreadable, UpstreamAnswer};
use crate::upstream::Range;

/// Pages that are asked for at once, before the first ones have said how many rows there are.
const FIRST_AT_ONCE: usize = 4;
/// Pages that are asked for at once afterwards.
const AT_ONCE: usize = 8;
/// How often more rows are asked for, to find what has shifted.
const MOST_STEPS: usize = 5;
/// The most pages that one part is made of. An upstream that gives ten rows a page is read up to the
/// largest part.
pub(crate) const MOST_PAGES: usize = 128;

/// A row that can be known again.
pub(crate) trait Row: Clone {
    fn id(&self) -> Option<&str>;
    /// What the list is sorted by, where it is sorted by time.
    fn time(&self) -> Option<Timestamp>;
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) list: ListPrint,
    pub(crate) first: u32,
    pub(crate) after: Option<Cursor>,
    /// Which way the list is sorted by time; `None` where its order is not known.
    pub(crate) sorted: Option<Direction>,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Slice<T> {
    /// Its rows, each with its place.
    pub rows: Vec<Placed<T>>,
    /// The cursor to go on from; `None` for the beginning of the list.
    pub end: Option<Cursor>,
    /// How many rows the whole list has.
    pub total: Field<i64>,
    /// Whether rows follow.
    pub has_next: bool,
    /// Whether rows come before.
    pub has_previous: bool,
}

impl<T> Slice<T> {
    /// A list without rows.
    pub(crate) fn empty(ask: &Ask) -> Self {
        let has_previous = ask.after.is_some();
        Self { rows: Vec::new(), end: None, total: Some(Ok(0)), has_next: false, has_previous }
    }
}

/// A row and its place.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    /// The row, or why it could not be read.
    pub row: Result<T, Arc<Unreadable>>,
    /// Its place.
    pub cursor: Cursor,
}

/// A row with its number in the upstream's list.
pub(super) struct Numbered<T> {
    number: u32,
    pub(super) row: Result<T, Arc<Unreadable>>,
}

/// Rows without a gap between them.
struct Collected<T> {
    rows: Vec<Numbered<T>>,
    /// Number of the first row.
    begin: u32,
    /// Number of the row that follows the last one.
    end: u32,
}

/// Reads a part of a list; `fetch` reads one of the upstream's pages.
///
/// # Errors
/// What `fetch` fails with; [`Failure::Malformed`] for pages that contradict their total.
pub(crate) async fn slice<T: Row, F, R>(ask: &Ask, fetch: F) -> Result<Slice<T>, Failure>
where
    F: Fn(Range) -> R,
    R: Future<Output = Result<Arc<Page<T>>, Failure>>,
{
    if ask.first == 0 {
        let page = fetch(Range { offset: 0, limit: 1 }).await?;
        let has_next = page
            .total
            .as_ref()
            .map_or(!page.rows.is_empty(), |total| total.as_ref().is_ok_and(|total| *total > 0));
        let has_previous = ask.after.is_some();
        let (rows, total) = (Vec::new(), page.total.clone());
        return Ok(Slice { rows, end: None, total, has_next, has_previous });
    }
    let mut pages = PageReader::new(fetch, MOST_PAGES);
    let (from, count) = asked_range(ask);
    let mut collected = Collected { rows: Vec::new(), begin: from, end: from };
    collected.read_on(count, &mut pages).await?;
    collected.step_back(ask, &mut pages).await?;
    for _ in 0..MOST_STEPS {
        let unseen = collected.count_unseen(ask);
        if unseen >= ask.first || pages.has_end(collected.end) {
            break;
        }
        // Where nothing is new, the list has shifted by more rows than were asked for.
        let count = if unseen == 0 { Range::LARGEST } else { ask.first - unseen };
        collected.read_on(count, &mut pages).await?;
    }
    let has_end = pages.has_end(collected.end);
    Ok(collected.into_slice(ask, pages.total, has_end))
}

/// The first row to ask for and how many. Where that makes no page more, the row of the cursor is
/// among them, so that it shows whether it is still in its place.
fn asked_range(ask: &Ask) -> (u32, u32) {
    let Some(after) = &ask.after else { return (0, ask.first) };
    let pages = |count: u32| count.div_ceil(Range::LARGEST);
    if pages(ask.first + 1) == pages(ask.first) {
        (after.offset, ask.first + 1)
    } else {
        (after.offset.saturating_add(1), ask.first)
    }
}

/// The upstream's pages, read one after the other.
pub(super) struct PageReader<F> {
    fetch: F,
    /// The most pages to ask for.
    most: usize,
    /// Pages asked for so far.
    asked: usize,
    /// How many rows the list has, as the last page said.
    total: Field<i64>,
    /// Number of the row from which on a page was empty.
    ends_at: Option<u32>,
    /// Whether two pages gave different totals: rows have come or gone between them.
    has_shifted: bool,
}

impl<F> PageReader<F> {
    pub(super) fn new(fetch: F, most: usize) -> Self {
        Self { fetch, most, asked: 0, total: None, ends_at: None, has_shifted: false }
    }

    /// Reads the rows `from..to`; fewer where the list ends before.
    ///
    /// A page may hold fewer rows than it was asked for, so the next one begins behind the rows
    /// received. Pages are asked for together, as if each were full; those behind a gap are asked for
    /// again, in the size that the upstream gives.
    pub(super) async fn read<T: Row, R>(
        &mut self,
        from: u32,
        to: u32,
    ) -> Result<Vec<Numbered<T>>, Failure>
    where
        F: Fn(Range) -> R,
        R: Future<Output = Result<Arc<Page<T>>, Failure>>,
    {
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
                let received = numbered(range, &page);
                next = next.saturating_add(u32::try_from(received.len()).unwrap_or(u32::MAX));
                if received.is_empty() {
                    self.end_at(next)?;
                    return Ok(rows);
                }
                if next < range.offset + range.limit {
                    size = next - range.offset;
                }
                rows.extend(received);
            }
            at_once = AT_ONCE;
        }
        Ok(rows)
    }

    /// Pages to ask for together: of some size, and none behind the total.
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
        self.asked += ranges.len();
        if self.asked > self.most {
            let most = self.most;
            return Err(malformed(format!(
                "holds so few rows that this part takes more than {most} calls"
            )));
        }
        Ok(ranges)
    }

    /// Notes an empty page: the end of the list, unless its total says that there are more rows.
    fn end_at(&mut self, number: u32) -> Result<(), Failure> {
        if let Some(total) = self.known_total().filter(|total| *total > i64::from(number)) {
            return Err(malformed(format!(
                "has no rows from number {number} on, although it counts {total} in all"
            )));
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

    pub(super) fn has_shifted(&self) -> bool {
        self.has_shifted
    }

    pub(super) fn known_total(&self) -> Option<i64> {
        self.total.as_ref()?.as_ref().ok().copied()
    }
}

fn malformed(problem: String) -> Failure {
    let answer = UpstreamAnswer { status: 200, ..UpstreamAnswer::default() };
    Failure::Malformed { problem, answer: Arc::new(answer) }
}

impl<T: Row> Collected<T> {
    /// Reads the next `count` rows.
    async fn read_on<F, R>(&mut self, count: u32, pages: &mut PageReader<F>) -> Result<(), Failure>
    where
        F: Fn(Range) -> R,
        R: Future<Output = Result<Arc<Page<T>>, Failure>>,
    {
        let rows = pages.read(self.end, self.end.saturating_add(count)).await?;
        self.end = self.end.saturating_add(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        self.rows.extend(rows);
        Ok(())
    }

    /// Reads the pages before, as long as the first row follows what was shown already, with others
    /// perhaps between: rows have vanished and the list has moved forward.
    async fn step_back<F, R>(&mut self, ask: &Ask, pages: &mut PageReader<F>) -> Result<(), Failure>
    where
        F: Fn(Range) -> R,
        R: Future<Output = Result<Arc<Page<T>>, Failure>>,
    {
        let Some(after) = ask.after.as_ref().filter(|after| after.offset == self.begin) else {
            return Ok(());
        };
        for _ in 0..MOST_STEPS {
            let moved = ask.sorted.is_some()
                && is_sorted(&self.rows, ask.sorted)
                && self.rows.first().is_none_or(|first| is_new(&first.row, after, ask.sorted));
            if !moved || self.begin == 0 {
                return Ok(());
            }
            let begin = self.begin.saturating_sub(Range::LARGEST);
            let before = pages.read(begin, self.begin).await?;
            self.rows.splice(0..0, before);
            self.begin = begin;
        }
        Ok(())
    }

    /// How many of the rows have not been shown yet.
    fn count_unseen(&self, ask: &Ask) -> u32 {
        u32::try_from(self.unseen(ask).count()).unwrap_or(u32::MAX)
    }

    /// The rows that have not been shown yet, each id once.
    fn unseen<'r>(&'r self, ask: &'r Ask) -> impl Iterator<Item = &'r Numbered<T>> {
        // Where the upstream does not sort, times say nothing of what was shown.
        let sorted = ask.sorted.filter(|_| is_sorted(&self.rows, ask.sorted));
        let mut met = HashSet::new();
        self.rows.iter().filter(move |numbered| {
            let news = ask.after.as_ref().is_none_or(|after| is_new(&numbered.row, after, sorted));
            news && print_of(&numbered.row).is_none_or(|print| met.insert(print))
        })
    }

    /// The rows that were asked for; `has_end` says that nothing follows those collected.
    fn into_slice(self, ask: &Ask, total: Field<i64>, has_end: bool) -> Slice<T> {
        let first = ask.first as usize;
        let has_next = self.unseen(ask).nth(first).is_some() || !has_end;
        let mut shown: Vec<IdPrint> =
            ask.after.as_ref().map(|after| after.shown.clone()).unwrap_or_default();
        let mut rows = Vec::new();
        for Numbered { number, row } in self.unseen(ask).take(first) {
            shown.extend(print_of(row));
            let time = row.as_ref().ok().and_then(Row::time).map(millis);
            let cursor = Cursor::new(ask.list, *number, time, shown.iter().copied());
            rows.push(Placed { row: row.clone(), cursor });
        }
        let end = rows.last().map(|placed| placed.cursor.clone());
        Slice { rows, end, total, has_next, has_previous: ask.after.is_some() }
    }
}

fn numbered<T: Row>(range: Range, page: &Page<T>) -> Vec<Numbered<T>> {
    let rows = page.rows.iter().take(range.limit as usize);
    (range.offset..).zip(rows).map(|(number, row)| Numbered { number, row: row.clone() }).collect()
}

fn print_of<T: Row>(row: &Result<T, Arc<Unreadable>>) -> Option<IdPrint> {
    row.as_ref().ok().and_then(Row::id).map(IdPrint::of)
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
    let time = row.as_ref().ok().and_then(Row::time).map(millis);
    match (sorted, time, after.time) {
        (Some(Direction::Descending), Some(time), Some(shown)) => time <= shown,
        (Some(Direction::Ascending), Some(time), Some(shown)) => time >= shown,
        _ => true,
    }
}

fn is_sorted<T: Row>(rows: &[Numbered<T>], direction: Option<Direction>) -> bool {
    let times = rows.iter().filter_map(|row| row.row.as_ref().ok().and_then(Row::time));
    match direction {
        Some(Direction::Ascending) => times.is_sorted(),
        Some(Direction::Descending) => times.is_sorted_by(|one, next| one >= next),
        None => true,
    }
}
