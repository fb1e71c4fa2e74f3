//! Reads the upstream's numbered pages.

use std::sync::Arc;

use futures_util::future::{BoxFuture, try_join_all};

use crate::domain::{Failure, Field, Page, Timestamp, Unreadable, UpstreamAnswer};
use crate::upstream::Range;

/// Pages that are requested at once, before the first ones have said how many rows there are.
const FIRST_AT_ONCE: usize = 4;
/// Pages that are requested at once afterwards.
const AT_ONCE: usize = 8;

/// A row that can be recognised.
pub(crate) trait Row: Clone + Send + Sync {
    fn id(&self) -> Option<&str>;
    /// What the list is sorted by, where it is sorted by time.
    fn time(&self) -> Option<Timestamp>;
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

    pub(super) fn known_total(&self) -> Option<i64> {
        self.total.as_ref()?.as_ref().ok().copied()
    }
}

fn malformed(problem: String) -> Failure {
    let answer = UpstreamAnswer { status: 200, ..UpstreamAnswer::default() };
    Failure::Malformed { problem, answer: Arc::new(answer) }
}
