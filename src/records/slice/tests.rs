use std::cell::RefCell;

use super::*;

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
    asked: RefCell<Vec<(u32, u32)>>,
}

impl List {
    fn of(rows: impl IntoIterator<Item = i8>) -> Self {
        let rows = rows.into_iter().map(Second).collect();
        Self { rows, with_total: true, asked: RefCell::default() }
    }

    async fn slice(&self, first: u32, after: Option<Cursor>) -> Slice<Second> {
        let list = ListPrint::of(&["list"]);
        let ask = Ask { list, first, after, sorted: Some(Direction::Descending) };
        slice(&ask, |range| {
            self.asked.borrow_mut().push((range.offset, range.limit));
            let rows = self.rows.iter().skip(range.offset as usize).take(range.limit as usize);
            let total = self.with_total.then(|| Ok(i64::try_from(self.rows.len()).unwrap()));
            let page = Page { rows: rows.cloned().map(Ok).collect(), total };
            std::future::ready(Ok(Arc::new(page)))
        })
        .await
        .unwrap()
    }
}

fn seconds(slice: &Slice<Second>) -> Vec<i8> {
    slice.rows.iter().map(|placed| placed.row.as_ref().unwrap().0).collect()
}

fn end(slice: &Slice<Second>) -> Option<Cursor> {
    slice.rows.last().map(|placed| placed.cursor.clone())
}

#[tokio::test]
async fn a_list_is_walked_through_by_its_cursors() {
    let list = List::of((0..5).rev());

    let first = list.slice(2, None).await;
    let second = list.slice(2, end(&first)).await;
    let third = list.slice(2, end(&second)).await;

    assert_eq!([&first, &second, &third].map(seconds), [vec![4, 3], vec![2, 1], vec![0]]);
    assert_eq!([&first, &second, &third].map(|part| part.has_next), [true, true, false]);
    assert_eq!([&first, &second, &third].map(|part| part.has_previous), [false, true, true]);
    assert_eq!(*list.asked.borrow(), [(0, 2), (1, 3), (3, 3)]);
}

#[tokio::test]
async fn rows_that_new_ones_push_back_are_not_shown_twice() {
    let first = List::of((0..5).rev()).slice(2, None).await;
    let pushed = List::of((0..8).rev());

    let second = pushed.slice(2, end(&first)).await;

    assert_eq!((seconds(&first), seconds(&second)), (vec![4, 3], vec![2, 1]));
    assert!(second.has_next);
}

#[tokio::test]
async fn rows_that_move_up_where_others_vanish_are_not_passed_over() {
    let first = List::of((0..8).rev()).slice(3, None).await;
    let vanished = List::of((0..5).rev());

    let second = vanished.slice(2, end(&first)).await;

    assert_eq!((seconds(&first), seconds(&second)), (vec![7, 6, 5], vec![4, 3]));
}

#[tokio::test]
async fn without_a_total_a_short_page_is_the_last() {
    let list = List { with_total: false, ..List::of((0..3).rev()) };

    let first = list.slice(2, None).await;
    let second = list.slice(2, end(&first)).await;

    assert_eq!((first.has_next, second.has_next), (true, false));
    assert_eq!(seconds(&second), [0]);
}

#[tokio::test]
async fn a_total_that_promises_more_than_there_is_ends_with_the_rows() {
    let list = ListPrint::of(&["list"]);
    let ask = Ask { list, first: 2, after: None, sorted: None };

    let part = slice(&ask, |_| {
        let page = Page { rows: vec![Ok(Second(1))], total: Some(Ok(5_000_000_000)) };
        std::future::ready(Ok(Arc::new(page)))
    })
    .await
    .unwrap();

    assert_eq!((part.rows.len(), part.has_next), (1, false));
}

#[tokio::test]
async fn a_list_that_is_not_sorted_loses_no_row() {
    let list = List::of([1, 4, 2, 5, 3]);

    let first = list.slice(2, None).await;
    let second = list.slice(3, end(&first)).await;

    assert_eq!((seconds(&first), seconds(&second)), (vec![1, 4], vec![2, 5, 3]));
}

#[tokio::test]
async fn a_large_part_is_read_in_pages_that_exist() {
    let list = List::of([0]);

    let part = list.slice(1000, None).await;

    // Four together; their answer says that there are no others.
    assert_eq!(*list.asked.borrow(), [(0, 100), (100, 100), (200, 100), (300, 100)]);
    assert!(!part.has_next);
}

#[tokio::test]
async fn nothing_asks_for_the_smallest_page() {
    let list = List::of((0..3).rev());

    let part = list.slice(0, None).await;

    assert_eq!((part.rows.len(), part.total, part.has_next), (0, Some(Ok(3)), true));
    assert_eq!(*list.asked.borrow(), [(0, 1)]);
}
