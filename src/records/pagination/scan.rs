//! Scans a list for the rows that meet a condition the upstream cannot look for.
//!
//! A scan reads the upstream's pages in order, within a budget of rows that all lists of an operation
//! share. Where the budget ends, the part that it found ends, and its cursor says where the scan stood.

use super::super::scan_budget::ScanBudget;
use super::page_reader::{FetchPage, Row};
use super::paginate::{ListPage, ListQuery, paginate};
use crate::domain::Failure;
use crate::upstream::Range;

/// What a scan looks for.
pub(crate) struct ScanRequest<'a, T> {
    /// The part of the list, in matching rows.
    pub(crate) query: &'a ListQuery,
    /// Whether the number of all matching rows is needed: then the scan does not stop at the part's end.
    pub(crate) with_total: bool,
    pub(crate) budget: &'a ScanBudget,
    pub(crate) is_match: &'a (dyn Fn(&T) -> bool + Send + Sync),
}

/// Reads a part of the matching rows of a list.
///
/// # Errors
/// As [`paginate`].
pub(crate) async fn scan<T: Row>(
    request: ScanRequest<'_, T>,
    fetch: FetchPage<'_, T>,
) -> Result<ListPage<T>, Failure> {
    let ScanRequest { query, with_total, budget, is_match } = request;
    let first = query.first as usize;
    let mut position = query.after.clone();
    let (mut edges, mut matching, mut scanned, mut has_end) = (Vec::new(), 0, 0, false);
    // A total is known only if the scan sees the whole list.
    let mut counts = with_total && query.after.is_none();
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt as _;
    use parking_lot::Mutex;
    use prometheus_client::metrics::counter::Counter;

    use super::super::cursor::{Cursor, ListPrint};
    use super::*;
    use crate::domain::{Page, Timestamp};

    /// A row, by its number; each tenth one matches.
    #[derive(Clone, Debug)]
    struct Tenth(usize, String);

    impl Row for Tenth {
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
        part: ListPage<Tenth>,
        ranges: Vec<(u32, u32)>,
    }

    fn query(first: u32, after: Option<Cursor>) -> ListQuery {
        ListQuery { list: ListPrint::of(&["list"]), first, after, sorted: None, seal: None }
    }

    async fn scan_list(rows: usize, query: ListQuery, with_total: bool, budget: u32) -> Scanned {
        let ranges = Mutex::<Vec<(u32, u32)>>::default();
        let budget = ScanBudget::new(budget, Counter::default());
        let is_match = |row: &Tenth| row.0 % 10 == 9;
        let request =
            ScanRequest { query: &query, with_total, budget: &budget, is_match: &is_match };
        let part = scan(request, &|range: Range| {
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
}
