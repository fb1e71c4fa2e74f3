//! Which way a list is sorted.

use async_graphql::Enum;

/// Direction of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
pub(crate) enum OrderDirection {
    /// Ascending: oldest first.
    Asc,
    /// Descending: newest first.
    #[default]
    Desc,
}
