//! Parts of lists, by cursors, from the upstream's numbered pages.

mod cursor;
mod page_reader;
mod paginate;
mod scan;
mod whole;
mod lists;
#[cfg(test)]
mod tests;

pub(crate) use cursor::Cursor;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use cursor::{IdPrint, ListPrint};
pub use lists::PageRequest;
pub(crate) use lists::RecordList;
pub(crate) use page_reader::Row;
pub(crate) use paginate::{Edge, ListPage};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use paginate::{ListQuery, MAX_PAGES, paginate};
