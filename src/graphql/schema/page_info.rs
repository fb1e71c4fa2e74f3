//! Where a part of a list stands, as the Relay cursor specification has it.

use async_graphql::SimpleObject;

/// Position of a page in its list.
#[derive(SimpleObject)]
pub(crate) struct PageInfo {
    /// Whether there are rows after this page.
    pub(super) has_next_page: bool,
    /// Whether there are rows before this page.
    pub(super) has_previous_page: bool,
    /// Cursor of the first row. `null` if the page has no rows.
    pub(super) start_cursor: Option<String>,
    /// Cursor of the last row, for `after`. `null` if the page has no rows.
    pub(super) end_cursor: Option<String>,
}
