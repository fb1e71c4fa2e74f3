//! Which way a list is sorted.

use async_graphql::Enum;

/// Which way a list is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
pub(crate) enum OrderDirection {
    /// The oldest first.
    Asc,
    /// The newest first.
    #[default]
    Desc,
}
