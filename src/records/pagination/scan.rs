//! Scans a list for the rows that meet a condition the upstream cannot look for.
//!
//! A scan reads the upstream's pages in order, within a budget of rows that all lists of an operation
//! share. Where the budget ends, the part that it found ends, and its cursor says where the scan stood.

use std::sync::Arc;

use super::super::scan_budget::ScanBudget;
use super::cursor::Cursor;
use super::slice::{Ask, Placed, Row, Slice, slice};
use crate::domain::{Failure, Page};
use crate::upstream::Range;

/// What a scan looks for.
pub(crate) struct ScanRequest<'a, T> {
    /// The part of the list, in matching rows.
    pub(crate) ask: &'a Ask,
    /// Whether the number of all matching rows is wanted: then the scan does not stop at the part's end.
    pub(crate) with_total: bool,
    pub(crate) budget: &'a ScanBudget,
    pub(crate) is_match: &'a (dyn Fn(&T) -> bool + Send + Sync),
}

/// How far a scan has come.
struct Scan<T> {
    /// The matching rows of the part.
    rows: Vec<Placed<T>>,
    /// Matching rows that were found, those behind the part included.
    matching: usize,
    /// Rows that were looked at.
    scanned: usize,
    /// Where the last of them is.
    position: Option<Cursor>,
    has_end: bool,
}

/// Reads a part of the matching rows of a list; `fetch` reads one of the upstream's pages.
///
/// # Errors
/// What `fetch` fails with; [`Failure::Malformed`] for pages that contradict their total.
pub(crate) async fn scan<T: Row, F, R>(
    request: ScanRequest<'_, T>,
    fetch: F,
) -> Result<Slice<T>, Failure>
where
    F: Fn(Range) -> R,
    R: Future<Output = Result<Arc<Page<T>>, Failure>>,
{
    let ScanRequest { ask, with_total, budget, is_match } = request;
    let mut scan = Scan::at(ask.after.clone());
    // A total is known only if the scan sees the whole list.
    let mut counts = with_total && ask.after.is_none();
    while !scan.has_end && (scan.matching <= ask.first as usize || counts) {
        let reserved = budget.reserve(scan.next_rows());
        if reserved == 0 {
            break;
        }
        let first = u32::try_from(reserved).unwrap_or(Range::LARGEST);
        let next = Ask { first, after: scan.position.clone(), ..ask.clone() };
        let part = slice(&next, &fetch).await?;
        budget.spend(reserved, part.rows.len());
        let total = part.total.as_ref().and_then(|total| total.as_ref().ok().copied());
        let is_stuck = part.rows.is_empty();
        scan.add(part, ask.first as usize, is_match);
        // No use in counting on where the budget does not reach the end.
        counts &= scan.can_reach(total, budget.left());
        if is_stuck {
            break;
        }
    }
    Ok(scan.into_slice(ask))
}

impl<T: Row> Scan<T> {
    fn at(position: Option<Cursor>) -> Self {
        Self { rows: Vec::new(), matching: 0, scanned: 0, position, has_end: false }
    }

    /// How many rows to read next. Where a client goes on at a cursor, the cursor's row is read again with
    /// them: it shows whether the list has shifted.
    fn next_rows(&self) -> usize {
        let is_resumed = self.scanned == 0 && self.position.is_some();
        Range::LARGEST as usize - usize::from(is_resumed)
    }

    fn add(&mut self, part: Slice<T>, first: usize, is_match: &dyn Fn(&T) -> bool) {
        self.has_end = !part.has_next;
        self.scanned += part.rows.len();
        for placed in part.rows {
            self.position = Some(placed.cursor.clone());
            if !placed.row.as_ref().is_ok_and(is_match) {
                continue;
            }
            self.matching += 1;
            if self.rows.len() < first {
                self.rows.push(placed);
            }
        }
    }

    /// Whether the end of a list of `total` rows is within `left` more rows.
    fn can_reach(&self, total: Option<i64>, left: usize) -> bool {
        let total = total.and_then(|total| usize::try_from(total).ok());
        total.is_none_or(|total| total <= self.scanned.saturating_add(left))
    }

    fn into_slice(self, ask: &Ask) -> Slice<T> {
        let Self { rows, matching, position, has_end, .. } = self;
        let total = i64::try_from(matching).ok().filter(|_| has_end && ask.after.is_none());
        let has_more_matches = matching > rows.len();
        let last = rows.last().map(|placed| placed.cursor.clone());
        Slice {
            has_next: has_more_matches || !has_end,
            end: if has_more_matches || has_end { last } else { position },
            total: total.map(Ok),
            has_previous: ask.after.is_some(),
            rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use prometheus_client::metrics::counter::Counter;

    use super::super::cursor::ListPrint;
    use super::*;
    use crate::domain::Timestamp;

    /// A row, by its number; each tenth one matches.
    #[derive(Clone, Debug)]
    struct Numbered(usize, String);

    impl Row for Numbered {
        fn id(&self) -> Option<&str> {
            Some(&self.1)
        }

        fn time(&self) -> Option<Timestamp> {
            None
        }
    }

    /// What a scan found, and what it read.
    struct Scanned {
        rows: Vec<usize>,
        slice: Slice<Numbered>,
        ranges: Vec<(u32, u32)>,
    }

    fn ask(first: u32, after: Option<Cursor>) -> Ask {
        Ask { list: ListPrint::of(&["list"]), first, after, sorted: None }
    }

    async fn scan_list(rows: usize, ask: Ask, with_total: bool, budget: usize) -> Scanned {
        let ranges = RefCell::<Vec<(u32, u32)>>::default();
        let budget = ScanBudget::new(budget, Counter::default());
        let is_match = |row: &Numbered| row.0 % 10 == 9;
        let request = ScanRequest { ask: &ask, with_total, budget: &budget, is_match: &is_match };
        let slice = scan(request, |range: Range| {
            ranges.borrow_mut().push((range.offset, range.limit));
            let numbers = (0..rows).skip(range.offset as usize).take(range.limit as usize);
            let page = numbers.map(|number| Ok(Numbered(number, number.to_string())));
            let total = Some(Ok(i64::try_from(rows).unwrap()));
            std::future::ready(Ok(Arc::new(Page { rows: page.collect(), total })))
        })
        .await
        .unwrap();
        let rows = slice.rows.iter().map(|placed| placed.row.as_ref().unwrap().0).collect();
        Scanned { rows, slice, ranges: ranges.into_inner() }
    }

    #[tokio::test]
    async fn a_part_ends_with_its_rows_and_goes_on_behind_them() {
        let first = scan_list(1000, ask(2, None), false, 2000).await;
        let second = scan_list(1000, ask(3, first.slice.end.clone()), false, 2000).await;

        assert_eq!((first.rows, second.rows), (vec![9, 19], vec![29, 39, 49]));
        assert_eq!((first.slice.has_next, first.slice.total), (true, None));
        assert_eq!((first.ranges, second.ranges), (vec![(0, 100)], vec![(19, 100)]));
    }

    #[tokio::test]
    async fn the_end_of_the_list_is_the_end_of_the_last_part() {
        let Scanned { rows, slice, .. } = scan_list(95, ask(9, None), false, 2000).await;

        assert_eq!((rows.len(), slice.has_next, slice.total), (9, false, Some(Ok(9))));
    }

    #[tokio::test]
    async fn a_part_ends_with_the_budget_and_its_cursor_says_where() {
        let first = scan_list(1000, ask(50, None), false, 150).await;
        let second = scan_list(1000, ask(50, first.slice.end.clone()), false, 5).await;
        let third = scan_list(1000, ask(50, second.slice.end.clone()), false, 7).await;

        assert_eq!((first.rows.len(), second.rows, third.rows), (15, vec![], vec![159]));
        assert!(first.slice.has_next && second.slice.has_next);
        let nothing = scan_list(1000, ask(50, None), false, 0).await;
        assert_eq!((nothing.slice.has_next, nothing.slice.end), (true, None));
        assert_eq!(nothing.ranges, []);
    }

    #[tokio::test]
    async fn matching_rows_are_counted_only_if_the_budget_holds_the_whole_list() {
        let counted = scan_list(250, ask(1, None), true, 300).await;
        let too_long = scan_list(251, ask(1, None), true, 250).await;
        let resumed = scan_list(250, ask(1, counted.slice.end.clone()), true, 250).await;

        assert_eq!((counted.rows, counted.slice.total), (vec![9], Some(Ok(25))));
        assert_eq!(counted.ranges, [(0, 100), (100, 100), (200, 100)]);
        assert_eq!((too_long.slice.total, too_long.ranges.len()), (None, 1));
        assert_eq!((resumed.slice.total, resumed.slice.has_previous), (None, true));
    }
}
