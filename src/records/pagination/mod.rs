//! Parts of lists, by cursors, from the upstream's numbered pages.

mod cursor;
mod lists;
mod slice;
#[cfg(test)]
mod tests;

pub use cursor::Cursor;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use cursor::{IdPrint, ListPrint};
pub use lists::PageRequest;
pub(crate) use slice::Row;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use slice::{Ask, MOST_PAGES, slice};
pub use slice::{Placed, Slice};
