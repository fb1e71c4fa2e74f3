//! Parts of lists, by cursors, from the upstream's numbered pages.

mod cursor;
mod slice;
mod scan;
mod whole;
mod lists;
#[cfg(test)]
mod tests;

pub use cursor::{Cursor, CursorText};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use cursor::{IdPrint, ListPrint};
pub use lists::PageRequest;
pub(crate) use lists::RecordList;
pub(crate) use slice::Row;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use slice::{Ask, MOST_PAGES, slice};
pub use slice::{Placed, Slice};
