use std::sync::Arc;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::cursor::{Cursor, IdPrint, ListPrint, millis};
use super::paginate::{ListPage, ListQuery, Row, paginate};
use crate::domain::{Direction, Page, Timestamp, Unreadable};
use crate::upstream::Range;

/// A row named by the second it belongs to.
#[derive(Clone, Debug, PartialEq)]
struct Second(i8);

impl Row for Second {
    fn id(&self) -> Option<&str> {
        const NAMES: [&str; 10] = ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9"];
        NAMES.get(usize::try_from(self.0).unwrap()).copied()
    }

    fn time(&self) -> Option<Timestamp> {
        Timestamp::from_utc(jiff::civil::datetime(2026, 1, 1, 0, 0, self.0, 0))
    }
}

/// A list that is sorted from new to old, and what was asked of it.
struct List {
    rows: Vec<Second>,
    with_total: bool,
    asked: Mutex<Vec<(u32, u32)>>,
}

impl List {
    fn of(rows: impl IntoIterator<Item = i8>) -> Self {
        let rows = rows.into_iter().map(Second).collect();
        Self { rows, with_total: true, asked: Mutex::default() }
    }

    async fn read(&self, first: u32, after: Option<Cursor>) -> ListPage<Second> {
        let list = ListPrint::of(&["list"]);
        let query = ListQuery {
            list,
            first,
            after,
            sorted: Some(Direction::Descending),
            with_total: false,
            seal: None,
        };
        paginate(&query, &|range| {
            self.asked.lock().push((range.offset, range.limit));
            let rows = self.rows.iter().skip(range.offset as usize).take(range.limit as usize);
            let total = self.with_total.then(|| Ok(i64::try_from(self.rows.len()).unwrap()));
            let page = Page { rows: rows.cloned().map(Ok).collect(), total };
            std::future::ready(Ok(Arc::new(page))).boxed()
        })
        .await
        .unwrap()
    }
}

fn seconds(part: &ListPage<Second>) -> Vec<i8> {
    part.edges.iter().map(|edge| edge.node.as_ref().unwrap().0).collect()
}

fn end(part: &ListPage<Second>) -> Option<Cursor> {
    part.edges.last().map(|edge| edge.cursor.clone())
}

#[tokio::test]
async fn rows_that_move_up_where_others_vanish_are_not_passed_over() {
    let first = List::of((0..8).rev()).read(3, None).await;
    let vanished = List::of((0..5).rev());

    let second = vanished.read(2, end(&first)).await;

    assert_eq!((seconds(&first), seconds(&second)), (vec![7, 6, 5], vec![4, 3]));
}

#[tokio::test]
async fn without_a_total_an_empty_page_is_the_end() {
    let list = List { with_total: false, ..List::of((0..3).rev()) };

    let first = list.read(2, None).await;
    let second = list.read(2, end(&first)).await;

    assert_eq!((first.has_next, second.has_next), (true, false));
    assert_eq!(seconds(&second), [0]);
    assert_eq!(*list.asked.lock(), [(0, 2), (1, 3), (3, 1)]);
}

/// Rows of an upstream that gives at most `cap` rows at once.
fn capped(rows: u32, cap: u32, range: Range) -> Arc<Page<TextRow>> {
    let end = range.offset.saturating_add(range.limit.min(cap)).min(rows);
    let page = (range.offset..end).map(|number| Ok(TextRow(number.to_string())));
    Arc::new(Page { rows: page.collect(), total: Some(Ok(i64::from(rows))) })
}

#[derive(Clone, Debug)]
struct TextRow(String);

impl Row for TextRow {
    fn id(&self) -> Option<&str> {
        Some(&self.0)
    }

    fn time(&self) -> Option<Timestamp> {
        None
    }
}

proptest! {
    #[test]
    fn every_row_is_shown_once_however_few_the_upstream_gives_at_once(
        rows in 0..400_u32, cap in 10..120_u32, first in 1..250_u32,
    ) {
        let list = ListPrint::of(&["list"]);
        let (mut shown, mut after) = (Vec::new(), None);
        loop {
            let query = ListQuery { list, first, after, sorted: None, with_total: false, seal: None };
            let fetch = |range| std::future::ready(Ok(capped(rows, cap, range))).boxed();
            let part = paginate(&query, &fetch).now_or_never().unwrap().unwrap();
            prop_assert!(!part.has_next || part.edges.len() == first as usize);
            shown.extend(part.edges.iter().map(|edge| edge.node.as_ref().unwrap().0.clone()));
            after = part.edges.last().map(|edge| edge.cursor.clone());
            if !part.has_next {
                break;
            }
        }

        prop_assert_eq!(shown, (0..rows).map(|number| number.to_string()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn the_calls_for_one_part_are_bounded() {
    let query = ListQuery {
        list: ListPrint::of(&["list"]),
        first: 1000,
        after: None,
        sorted: None,
        with_total: false,
        seal: None,
    };
    let calls = Mutex::new(0);

    let refused = paginate(&query, &|range| {
        *calls.lock() += 1;
        std::future::ready(Ok(capped(1000, 1, range))).boxed()
    })
    .await
    .unwrap_err();

    let problem =
        "the upstream's answer holds so few rows that this part takes more than 128 calls";
    assert_eq!(refused.to_string(), problem);
    assert!(*calls.lock() <= 128, "{} calls", calls.lock());
}

#[tokio::test]
async fn an_empty_page_is_the_end_only_where_its_total_agrees() {
    let query = ListQuery {
        list: ListPrint::of(&["list"]),
        first: 2,
        after: None,
        sorted: None,
        with_total: false,
        seal: None,
    };
    for (totals, expected) in [
        ([Some(Ok(5_000_000_000)), Some(Ok(5_000_000_000))], None),
        ([Some(Ok(2)), None], None),
        ([Some(Ok(2)), Some(Ok(1))], Some(1)),
        ([None, None], Some(1)),
        ([Some(Ok(0)), Some(Ok(0))], Some(1)),
        ([Some(Err(Unreadable::new("is not a whole number", "x"))), None], Some(1)),
    ] {
        let part = paginate(&query, &|range| {
            let [first, later] = totals.clone();
            let is_first = range.offset == 0;
            let rows = if is_first { vec![Ok(Second(1))] } else { Vec::new() };
            let total = if is_first { first } else { later };
            std::future::ready(Ok(Arc::new(Page { rows, total }))).boxed()
        })
        .await;

        let found = part.as_ref().ok().map(|part| part.edges.len());
        assert_eq!(found, expected, "of {totals:?}: {part:?}");
        assert!(part.is_err() || !part.unwrap().has_next, "of {totals:?}");
    }
}

#[tokio::test]
async fn rows_that_many_new_ones_push_back_are_found() {
    let list = ListPrint::of(&["list"]);
    let start = Timestamp::from_utc(jiff::civil::datetime(2026, 1, 1, 0, 0, 0, 0)).unwrap();
    let mut shown = [IdPrint::default(); 8];
    shown[7] = IdPrint::of("shown");
    let after = Cursor { list, offset: 0, time: Some(millis(start)), shown, seal: None };
    let query = ListQuery {
        list,
        first: 2,
        after: Some(after),
        sorted: Some(Direction::Descending),
        with_total: false,
        seal: None,
    };

    // 400 rows that are newer than the one shown, then that one and ten that are older.
    let part = paginate(&query, &|range| {
        let rows = range.offset..range.offset.saturating_add(range.limit).min(411);
        let rows = rows.map(|number| Ok(Aged::numbered(number))).collect();
        std::future::ready(Ok(Arc::new(Page { rows, total: Some(Ok(411)) }))).boxed()
    })
    .await
    .unwrap();

    let ids: Vec<_> =
        part.edges.iter().map(|edge| edge.node.as_ref().unwrap().id.clone()).collect();
    assert_eq!(ids, ["r401", "r402"]);
}

/// A row that began as many hours before the next one.
#[derive(Clone, Debug)]
struct Aged {
    id: String,
    hours: i64,
}

impl Aged {
    /// Row 400 is the one that was shown.
    fn numbered(number: u32) -> Self {
        let id = if number == 400 { "shown".to_owned() } else { format!("r{number}") };
        Self { id, hours: 400 - i64::from(number) }
    }
}

impl Row for Aged {
    fn id(&self) -> Option<&str> {
        Some(&self.id)
    }

    fn time(&self) -> Option<Timestamp> {
        let start = jiff::civil::datetime(2026, 1, 1, 0, 0, 0, 0);
        Timestamp::from_utc(start + jiff::SignedDuration::from_hours(self.hours))
    }
}

#[tokio::test]
async fn a_list_that_is_not_sorted_loses_no_row() {
    let list = List::of([1, 4, 2, 5, 3]);

    let first = list.read(2, None).await;
    let second = list.read(3, end(&first)).await;

    assert_eq!((seconds(&first), seconds(&second)), (vec![1, 4], vec![2, 5, 3]));
}
