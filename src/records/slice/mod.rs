//! A part of a list as a client asks for it, made of the upstream's pages.
//!
//! The upstream numbers rows, and rows shift while a client pages: new ones push the others back,
//! vanished ones pull them forward. What a cursor remembers tells which rows have been shown.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::cursor::{Cursor, IdPrint, ListPrint, millis};
use crate::domain::{Direction, Failure, Field, Page, Timestamp, Unreadable};
use crate::upstream::Range;

/// Pages that are asked for at once; those beyond wait for the first ones to say how many there are.
const AT_ONCE: usize = 4;
/// How often pages are asked for once more, to find what has shifted. Each costs an upstream call.
const MOST_STEPS: usize = 5;

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
    /// How many rows the whole list has.
    pub total: Field<i64>,
    /// Whether rows follow.
    pub has_next: bool,
    /// Whether rows come before.
    pub has_previous: bool,
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
struct Numbered<T> {
    number: u32,
    row: Result<T, Arc<Unreadable>>,
}

/// Rows collected so far.
struct Collected<T> {
    rows: Vec<Numbered<T>>,
    total: Field<i64>,
    /// Number of the first row that has not been asked for.
    end: u32,
    /// Whether the last page was not full.
    short: bool,
}

/// Reads a part of a list; `fetch` reads one of the upstream's pages.
///
/// # Errors
/// What `fetch` fails with.
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
        return Ok(Slice { rows: Vec::new(), total: page.total.clone(), has_next, has_previous });
    }
    let (from, count) = asked_range(ask);
    let mut collected = Collected { rows: Vec::new(), total: None, end: from, short: false };
    collected.extend(count, &fetch).await?;
    collected.step_back(ask, from, &fetch).await?;
    for _ in 0..MOST_STEPS {
        let missing = ask.first.saturating_sub(collected.news(ask));
        if missing == 0 || collected.is_complete() {
            break;
        }
        collected.extend(missing, &fetch).await?;
    }
    Ok(collected.into_slice(ask))
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

impl<T: Row> Collected<T> {
    /// Reads the next `count` rows.
    async fn extend<F, R>(&mut self, count: u32, fetch: &F) -> Result<(), Failure>
    where
        F: Fn(Range) -> R,
        R: Future<Output = Result<Arc<Page<T>>, Failure>>,
    {
        let ranges = ranges(self.end, count);
        let (now, later) = ranges.split_at(ranges.len().min(AT_ONCE));
        self.add(now, fetch).await?;
        let exists = |range: &&Range| match &self.total {
            Some(Ok(total)) => i64::from(range.offset) < *total,
            Some(Err(_)) | None => true,
        };
        let later: Vec<Range> = later.iter().filter(exists).copied().collect();
        if !(self.short && self.total.is_none()) {
            self.add(&later, fetch).await?;
        }
        self.end = self.end.saturating_add(count);
        Ok(())
    }

    /// Reads some pages together.
    async fn add<F, R>(&mut self, ranges: &[Range], fetch: &F) -> Result<(), Failure>
    where
        F: Fn(Range) -> R,
        R: Future<Output = Result<Arc<Page<T>>, Failure>>,
    {
        let pages = try_join_all(ranges.iter().map(|range| fetch(*range))).await?;
        for (range, page) in ranges.iter().zip(pages) {
            self.short = page.rows.len() < range.limit as usize;
            self.total = page.total.clone().or(self.total.take());
            self.rows.extend(numbered(*range, &page));
        }
        Ok(())
    }

    /// Reads the pages before, as long as the first row follows what was shown already, with others
    /// perhaps between: rows have vanished and the list has moved forward.
    async fn step_back<F, R>(&mut self, ask: &Ask, from: u32, fetch: &F) -> Result<(), Failure>
    where
        F: Fn(Range) -> R,
        R: Future<Output = Result<Arc<Page<T>>, Failure>>,
    {
        let Some(after) = ask.after.as_ref().filter(|after| after.offset == from) else {
            return Ok(());
        };
        let mut begin = from;
        for _ in 0..MOST_STEPS {
            let moved = ask.sorted.is_some()
                && is_sorted(&self.rows, ask.sorted)
                && self.rows.first().is_none_or(|first| is_new(&first.row, after, ask.sorted));
            if !moved || begin == 0 {
                return Ok(());
            }
            let limit = begin.min(Range::LARGEST);
            begin -= limit;
            let range = Range { offset: begin, limit };
            let page = fetch(range).await?;
            self.rows.splice(0..0, numbered(range, &page));
        }
        Ok(())
    }

    /// How many of the rows have not been shown yet.
    fn news(&self, ask: &Ask) -> u32 {
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

    /// Whether there is nothing behind what was read: a page was short, or all rows are there. The
    /// total alone is not believed, since it may count what is not shown.
    fn is_complete(&self) -> bool {
        let all = |total: &i64| i64::from(self.end) >= *total;
        self.short || self.total.as_ref().is_some_and(|total| total.as_ref().is_ok_and(all))
    }

    fn into_slice(self, ask: &Ask) -> Slice<T> {
        let first = ask.first as usize;
        let has_next = self.unseen(ask).nth(first).is_some() || !self.is_complete();
        let mut shown: Vec<IdPrint> =
            ask.after.as_ref().map(|after| after.shown.clone()).unwrap_or_default();
        let mut rows = Vec::new();
        for Numbered { number, row } in self.unseen(ask).take(first) {
            shown.extend(print_of(row));
            let time = row.as_ref().ok().and_then(Row::time).map(millis);
            let cursor = Cursor::new(ask.list, *number, time, shown.iter().copied());
            rows.push(Placed { row: row.clone(), cursor });
        }
        Slice { rows, total: self.total, has_next, has_previous: ask.after.is_some() }
    }
}

fn ranges(from: u32, count: u32) -> Vec<Range> {
    let mut ranges = Vec::new();
    let mut left = count;
    while left > 0 {
        let limit = left.min(Range::LARGEST);
        ranges.push(Range { offset: from.saturating_add(count - left), limit });
        left -= limit;
    }
    ranges
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

#[cfg(test)]
mod tests;
