//! Where a part of a list stands, as the Relay cursor specification has it.

use async_graphql::SimpleObject;

/// Where a part of a list stands in it.
#[derive(SimpleObject)]
pub(crate) struct PageInfo {
    /// Whether rows follow.
    pub(super) has_next_page: bool,
    /// Whether rows come before.
    pub(super) has_previous_page: bool,
    /// Cursor of the first row; `null` where there is none.
    pub(super) start_cursor: Option<String>,
    /// Cursor of the last row, for `after`; `null` where there is none.
    pub(super) end_cursor: Option<String>,
}
