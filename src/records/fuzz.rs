//! Fuzz targets: cursors that come back from clients, and what stands in the tier that replicas share.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;

use super::pagination::{
    Cursor, Edge, IdPrint, ListPage, ListPrint, ListQuery, MAX_PAGES, Row, paginate,
};
pub use super::redis::fuzz::{entry, news};
use crate::domain::{Direction, Failure, Page, Timestamp};
use crate::upstream::Range;

/// Calls that one part of a list may cost: each of the eleven rounds asks for the rows that are
/// missing, which are spread over one page more than they would fill.
const MOST_CALLS: usize = 11 * 2 + 2;
/// The most rows that are asked for here.
const MOST_ROWS: u32 = 120;

/// The bytes as a cursor's text, and once more as what follows the print of its list.
pub fn cursor(bytes: &[u8]) {
    let list = ListPrint::of(&["fuzz"]);
    if let Ok(text) = str::from_utf8(bytes) {
        parsed(text, list, bytes);
    }
    let shown = [IdPrint::default(); 8];
    let empty = Cursor { list, offset: 0, time: None, shown, seal: None };
    let mut raw = URL_SAFE_NO_PAD.decode(empty.write().unwrap_or_default()).unwrap_or_default();
    raw.truncate(9);
    raw.extend_from_slice(bytes);
    parsed(&URL_SAFE_NO_PAD.encode(raw), list, bytes);
}

fn parsed(text: &str, list: ListPrint, bytes: &[u8]) {
    match Cursor::parse(text, list, None) {
        Ok(cursor) => {
            assert_eq!(cursor.write().as_deref(), Ok(text));
            page_on(&cursor, list, bytes);
        }
        Err(Failure::BadInput { argument, problem }) => {
            assert!(argument == "after" && problem.len() < 200, "{problem}");
        }
        Err(other) => unreachable!("a cursor fails as {other:?}"),
    }
}

#[derive(Clone, Debug)]
struct Numbered {
    id: Option<Arc<str>>,
    time: Option<Timestamp>,
}

impl Row for Numbered {
    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn time(&self) -> Option<Timestamp> {
        self.time
    }
}

/// A list whose rows the bytes choose, some without an id or a time, paged on from a cursor.
fn page_on(cursor: &Cursor, list: ListPrint, bytes: &[u8]) {
    let choice = |place: usize| bytes.get(place % bytes.len().max(1)).copied().unwrap_or_default();
    let first = 1 + u32::from(choice(0)) % MOST_ROWS;
    let total = u32::from(choice(1)) * 3;
    let sorted = match choice(2) % 3 {
        0 => Some(Direction::Ascending),
        1 => Some(Direction::Descending),
        _ => None,
    };
    let row = |number: u32| {
        let kind = choice(3 + number as usize);
        let day = jiff::civil::date(2024, 1, 1) + jiff::Span::new().days(i64::from(number / 7));
        Numbered {
            id: (kind != 1).then(|| Arc::from(format!("r{}", number.min(u32::from(kind) * 2)))),
            time: (kind != 2).then(|| Timestamp::from_utc(day.at(0, 0, 0, 0))).flatten(),
        }
    };
    let most_at_once = match choice(2) / 3 % 3 {
        0 => Range::LARGEST,
        1 => Range::LARGEST / 2,
        _ => 10,
    };
    let calls = AtomicUsize::new(0);
    let fetch = |range: Range| {
        calls.fetch_add(1, Ordering::Relaxed);
        assert!((1..=Range::LARGEST).contains(&range.limit), "{range:?}");
        let end = range.offset.saturating_add(range.limit.min(most_at_once)).min(total);
        let rows = (range.offset..end).map(|number| Ok(row(number))).collect();
        std::future::ready(Ok(Arc::new(Page { rows, total: Some(Ok(i64::from(total))) }))).boxed()
    };
    let query = ListQuery {
        list,
        first,
        after: Some(cursor.clone()),
        sorted,
        with_total: false,
        seal: None,
    };
    let part = paginate(&query, &fetch).now_or_never();
    if let Some(Ok(part)) = part {
        is_part(&part, cursor, first, list);
    }
    let (calls, is_capped) = (calls.into_inner(), most_at_once < Range::LARGEST);
    let most = if is_capped { MAX_PAGES } else { MOST_CALLS };
    assert!(calls <= most, "{calls} calls for {first} rows, {most_at_once} at once");
}

fn is_part(part: &ListPage<Numbered>, after: &Cursor, first: u32, list: ListPrint) {
    assert!(part.edges.len() <= first as usize && part.has_previous);
    let mut met = HashSet::new();
    for Edge { node, cursor } in &part.edges {
        let text = cursor.write().expect("an unsealed cursor");
        let read = Cursor::parse(&text, list, None).expect("a cursor that was given out");
        assert_eq!(read.write().as_ref(), Ok(&text));
        if let Some(id) = node.as_ref().ok().and_then(Row::id) {
            let print = IdPrint::of(id);
            assert!(!after.shown.contains(&print), "{id} was shown before");
            assert!(met.insert(print), "{id} is shown twice");
        }
    }
}
