//! Reads a whole list, as far as a budget of rows reaches.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::super::scan_budget::ScanBudget;
use super::page_reader::{FetchPage, PageReader, Row};
use super::paginate::MAX_PAGES;
use crate::domain::{Failure, Unreadable};
use crate::upstream::Range;

/// Rows to read at once where the list does not say how many it has.
const ROWS_AT_ONCE: u32 = 4 * Range::LARGEST;
/// Rows of the smallest pages that a long list is read in.
const SMALLEST_PAGE: usize = 8;

/// The rows of a list.
pub(crate) struct WholeList<T> {
    /// Each row once.
    pub(crate) rows: Vec<Result<T, Arc<Unreadable>>>,
    /// Whether these are all rows. Not if the budget ended first, or if rows shifted between two pages.
    pub(crate) is_complete: bool,
}

/// Reads the rows of a list. The first page says how many there are; the others are read side by side.
///
/// # Errors
/// What `fetch` fails with; [`Failure::Malformed`] for pages that contradict their total.
pub(crate) async fn read_whole<T: Row>(
    budget: &ScanBudget,
    fetch: FetchPage<'_, T>,
) -> Result<WholeList<T>, Failure> {
    let mut pages = PageReader::new(fetch, MAX_PAGES.max(budget.left() / SMALLEST_PAGE));
    let mut rows = Vec::new();
    let (mut end, mut wanted) = (0_u32, Range::LARGEST);
    while !pages.has_end(end) {
        let reserved = budget.reserve(wanted);
        if reserved == 0 {
            break;
        }
        let read = pages.read(end, end.saturating_add(reserved)).await?;
        budget.spend(reserved, read.len());
        rows.extend(read.into_iter().map(|numbered| numbered.row));
        end = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let total = pages.known_total().and_then(|total| u32::try_from(total).ok());
        wanted = total.filter(|total| *total > end).map_or(ROWS_AT_ONCE, |total| total - end);
    }
    let is_complete = pages.has_end(end) && !pages.has_shifted;
    Ok(without_repeats(WholeList { rows, is_complete }))
}

/// A row that has shifted back is read twice, and others before it are not read at all.
fn without_repeats<T: Row>(mut list: WholeList<T>) -> WholeList<T> {
    let mut met = HashSet::with_capacity_and_hasher(list.rows.len(), RandomState::default());
    let ids = list.rows.iter().map(|row| row.as_ref().ok().and_then(Row::id));
    let is_new: Vec<bool> = ids.map(|id| id.is_none_or(|id| met.insert(id))).collect();
    if is_new.contains(&false) {
        list.is_complete = false;
        let mut is_new = is_new.into_iter();
        list.rows.retain(|_| is_new.next().unwrap_or(true));
    }
    list
}
