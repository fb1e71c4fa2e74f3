//! The desktop, as far as this graph knows it.

use async_graphql::{ID, SimpleObject};

use super::field::Counted;

/// A cloud desktop. This subgraph knows only its id; a router adds the fields of other subgraphs.
#[derive(SimpleObject)]
pub(crate) struct Desktop {
    /// Id of the desktop.
    pub(crate) id: Counted<ID>,
}
