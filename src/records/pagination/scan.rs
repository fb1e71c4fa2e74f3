//! Reads lists row by row, within a budget of rows that all lists of an operation share: for the rows that
//! meet a condition the upstream cannot look for, or for all rows.
//!
//! Where the budget ends, the part that a scan found ends, and its cursor says where the scan stood.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use foldhash::quality::RandomState;
use prometheus_client::metrics::counter::Counter;

use super::super::metrics::RecordMetrics;
use super::paginate::{FetchPage, ListPage, ListQuery, MAX_PAGES, PageReader, Row, paginate};
use crate::domain::{Failure, Unreadable};
use crate::upstream::Range;

/// Rows to read at once where the list does not say how many it has.
const ROWS_AT_ONCE: u32 = 4 * Range::LARGEST;
/// Rows of the smallest pages that a long list is read in.
const SMALLEST_PAGE: usize = 8;

/// The rows that are left of `limits.max_scanned_rows`. All lists of an operation share it.
pub(crate) struct ScanBudget {
    left: AtomicU32,
    /// Counts rows that were looked at.
    scanned: Counter,
}

impl ScanBudget {
    pub(crate) fn new(rows: usize, metrics: &RecordMetrics) -> Self {
        let left = AtomicU32::new(u32::try_from(rows).unwrap_or(u32::MAX));
        Self { left, scanned: metrics.scanned_rows.clone() }
    }

    /// Reserves up to `rows` rows: fewer, or none, at the end of the budget.
    pub(crate) fn reserve(&self, rows: u32) -> u32 {
        let rest = |left: u32| Some(left.saturating_sub(rows));
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
        left.unwrap_or_default().min(rows)
    }

    /// Notes how many of the reserved rows there were.
    pub(crate) fn spend(&self, reserved: u32, rows: usize) {
        let spent = u32::try_from(rows).unwrap_or(u32::MAX);
        self.left.fetch_add(reserved.saturating_sub(spent), Ordering::Relaxed);
        self.scanned.inc_by(rows as u64);
    }

    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed) as usize
    }
}

/// Reads a part of the matching rows of a list.
///
/// # Errors
/// As [`paginate`].
pub(crate) async fn scan<T: Row>(
    query: &ListQuery,
    budget: &ScanBudget,
    is_match: &(dyn Fn(&T) -> bool + Send + Sync),
    fetch: FetchPage<'_, T>,
) -> Result<ListPage<T>, Failure> {
    let first = query.first as usize;
    let mut position = query.after.clone();
    let (mut edges, mut matching, mut scanned, mut has_end) = (Vec::new(), 0, 0, false);
    // A total is known only if the scan sees the whole list.
    let mut counts = query.with_total && query.after.is_none();
    while !has_end && (matching <= first || counts) {
        // Where a client goes on at a cursor, the cursor's row is read again with the others: it shows
        // whether the list has shifted.
        let is_resumed = scanned == 0 && position.is_some();
        let reserved = budget.reserve(Range::LARGEST - u32::from(is_resumed));
        let next = ListQuery { first: reserved, after: position.clone(), ..query.clone() };
        if reserved == 0 {
            break;
        }
        let part = paginate(&next, fetch).await?;
        budget.spend(reserved, part.edges.len());
        let is_stuck = part.edges.is_empty();
        has_end = !part.has_next;
        scanned += part.edges.len();
        position = part.end.or(position);
        for edge in part.edges.into_iter().filter(|edge| edge.node.as_ref().is_ok_and(is_match)) {
            matching += 1;
            if edges.len() < first {
                edges.push(edge);
            }
        }
        // Counting is of no use where the budget does not reach the end.
        let total = part.total.and_then(Result::ok).and_then(|total| usize::try_from(total).ok());
        counts &= total.is_none_or(|total| total <= scanned + budget.left());
        if is_stuck {
            break;
        }
    }
    let total = i64::try_from(matching).ok().filter(|_| has_end && query.after.is_none());
    let has_more_matches = matching > edges.len();
    let last = edges.last().map(|edge| edge.cursor.clone());
    Ok(ListPage {
        has_next: has_more_matches || !has_end,
        end: if has_more_matches || has_end { last } else { position },
        total: total.map(Ok),
        has_previous: query.after.is_some(),
        edges,
    })
}

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
    // A row that has shifted back is read twice, and others before it are not read at all.
    let mut met = HashSet::with_capacity_and_hasher(rows.len(), RandomState::default());
    let ids = rows.iter().map(|row| row.as_ref().ok().and_then(Row::id));
    let is_new: Vec<bool> = ids.map(|id| id.is_none_or(|id| met.insert(id))).collect();
    let has_repeats = is_new.contains(&false);
    if has_repeats {
        let mut is_new = is_new.into_iter();
        rows.retain(|_| is_new.next().unwrap_or(true));
    }
    let is_complete = pages.has_end(end) && !pages.has_shifted && !has_repeats;
    Ok(WholeList { rows, is_complete })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use parking_lot::Mutex;

    use super::super::cursor::{Cursor, ListPrint};
    use super::*;
    use crate::domain::Page;

    /// A row, by its number; each tenth one matches.
    #[derive(Clone, Debug)]
    struct Tenth(usize, String);

    impl Row for Tenth {
        fn id(&self) -> Option<&str> {
            Some(&self.1)
        }
    }

    /// What a scan found, and what it read.
    struct Scanned {
        rows: Vec<usize>,
        part: ListPage<Tenth>,
        ranges: Vec<(u32, u32)>,
    }

    fn query(first: u32, after: Option<Cursor>) -> ListQuery {
        let list = ListPrint::of(&["list"]);
        ListQuery { list, first, after, with_total: false, sorted: None, seal: None }
    }

    async fn scan_list(rows: usize, query: ListQuery, with_total: bool, budget: usize) -> Scanned {
        let ranges = Mutex::<Vec<(u32, u32)>>::default();
        let budget = ScanBudget::new(budget, &RecordMetrics::default());
        let is_match = |row: &Tenth| row.0 % 10 == 9;
        let query = ListQuery { with_total, ..query };
        let part = scan(&query, &budget, &is_match, &|range: Range| {
            ranges.lock().push((range.offset, range.limit));
            let numbers = (0..rows).skip(range.offset as usize).take(range.limit as usize);
            let page = numbers.map(|number| Ok(Tenth(number, number.to_string())));
            let total = Some(Ok(i64::try_from(rows).unwrap()));
            std::future::ready(Ok(Arc::new(Page { rows: page.collect(), total }))).boxed()
        })
        .await
        .unwrap();
        let rows = part.edges.iter().map(|edge| edge.node.as_ref().unwrap().0).collect();
        Scanned { rows, part, ranges: ranges.into_inner() }
    }

    #[tokio::test]
    async fn a_part_ends_with_its_rows_and_goes_on_behind_them() {
        let first = scan_list(1000, query(2, None), false, 2000).await;
        let second = scan_list(1000, query(3, first.part.end.clone()), false, 2000).await;

        assert_eq!((first.rows, second.rows), (vec![9, 19], vec![29, 39, 49]));
        assert_eq!((first.part.has_next, first.part.total), (true, None));
        assert_eq!((first.ranges, second.ranges), (vec![(0, 100)], vec![(19, 100)]));
    }

    #[tokio::test]
    async fn the_end_of_the_list_is_the_end_of_the_last_part() {
        let Scanned { rows, part, .. } = scan_list(95, query(9, None), false, 2000).await;

        assert_eq!((rows.len(), part.has_next, part.total), (9, false, Some(Ok(9))));
    }

    #[tokio::test]
    async fn a_part_ends_with_the_budget_and_its_cursor_says_where() {
        let first = scan_list(1000, query(50, None), false, 150).await;
        let second = scan_list(1000, query(50, first.part.end.clone()), false, 5).await;
        let third = scan_list(1000, query(50, second.part.end.clone()), false, 7).await;

        assert_eq!((first.rows.len(), second.rows, third.rows), (15, vec![], vec![159]));
        assert!(first.part.has_next && second.part.has_next);
        let nothing = scan_list(1000, query(50, None), false, 0).await;
        assert!(nothing.part.has_next && nothing.part.end.is_none());
        assert_eq!(nothing.ranges, []);
    }

    #[tokio::test]
    async fn matching_rows_are_counted_only_if_the_budget_holds_the_whole_list() {
        let counted = scan_list(250, query(1, None), true, 300).await;
        let too_long = scan_list(251, query(1, None), true, 250).await;
        let resumed = scan_list(250, query(1, counted.part.end.clone()), true, 250).await;

        assert_eq!((counted.rows, counted.part.total), (vec![9], Some(Ok(25))));
        assert_eq!(counted.ranges, [(0, 100), (100, 100), (200, 100)]);
        assert_eq!((too_long.part.total, too_long.ranges.len()), (None, 1));
        assert_eq!((resumed.part.total, resumed.part.has_previous), (None, true));
    }

    #[test]
    fn lists_of_one_operation_share_the_budget() {
        let budget = ScanBudget::new(150, &RecordMetrics::default());

        let reserved = [budget.reserve(100), budget.reserve(100), budget.reserve(100)];
        budget.spend(50, 20);

        assert_eq!((reserved, budget.left()), ([100, 50, 0], 30));
    }
}
