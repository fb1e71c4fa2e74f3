//! The desktop, as far as this graph knows it.

use async_graphql::{ID, SimpleObject};

use super::counted::Counted;

/// A cloud desktop. This graph knows its id only; a router joins the rest from the graph that owns
/// desktops.
#[derive(SimpleObject)]
pub(crate) struct Desktop {
    /// Id of the desktop.
    pub(crate) id: Counted<ID>,
}
