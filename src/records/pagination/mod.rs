//! Parts of lists, by cursors, from the upstream's numbered pages.

mod cursor;
mod paginate;
mod scan;
mod lists;
#[cfg(test)]
mod tests;

pub(crate) use cursor::{Cursor, CursorKey};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use cursor::{IdPrint, ListPrint};
pub use lists::PageRequest;
pub(crate) use paginate::{Edge, ListPage, Row};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use paginate::{ListQuery, MAX_PAGES, paginate};
pub(crate) use scan::ScanBudget;
