//! Which way a list is sorted.

use async_graphql::Enum;

/// Direction of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::domain::Direction")]
pub(crate) enum OrderDirection {
    /// Ascending: oldest first.
    #[graphql(name = "ASC")]
    Ascending,
    /// Descending: newest first.
    #[default]
    #[graphql(name = "DESC")]
    Descending,
}
