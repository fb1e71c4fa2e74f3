//! Connections, as the Relay cursor specification has them.

use std::borrow::Cow;
use std::sync::Arc;

use async_graphql::{Context, Object, OutputType, TypeName};

use super::page_info::PageInfo;
use crate::domain::{Failure, Unreadable};
use crate::records::{Cursor, PageRequest};
pub(crate) use crate::records::{Edge, ListPage};

/// Rows of a connection where `first` is left out.
pub(crate) const DEFAULT_FIRST: i32 = 50;

impl<N: OutputType> TypeName for ListPage<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", N::type_name()).into()
    }
}

impl<N: OutputType> TypeName for Edge<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", N::type_name()).into()
    }
}

/// A page of a list, as the Relay cursor specification defines it.
#[Object(name_type)]
impl<N: OutputType> ListPage<N> {
    /// The rows of this page, each with its cursor.
    async fn edges(&self) -> &Vec<Edge<N>> {
        &self.edges
    }

    /// The rows of this page. A row that cannot be read is `null`, with an error at its index.
    async fn nodes(&self) -> Vec<Option<Result<&N, Failure>>> {
        self.edges.iter().map(|edge| Some(edge.shown())).collect()
    }

    /// Position of this page in the list.
    async fn page_info(&self) -> Result<PageInfo, Failure> {
        let start = self.edges.first().map(|edge| edge.cursor.write());
        let end = self.end.as_ref().map(Cursor::write);
        Ok(PageInfo {
            has_next_page: self.has_next,
            has_previous_page: self.has_previous,
            start_cursor: start.transpose()?,
            end_cursor: end.transpose()?,
        })
    }

    /// Number of rows in the whole list. `null` if the upstream does not send it. Selected without rows,
    /// it costs no more than one row.
    async fn total_count(&self) -> Option<Result<i32, Failure>> {
        let total = self.total.clone()?.and_then(|total| {
            i32::try_from(total)
                .map_err(|_| Unreadable::new("does not fit into 32 bits", &total.to_string()))
        });
        Some(total.map_err(Failure::Unreadable))
    }
}

/// A row of a list, with its cursor.
#[Object(name_type)]
impl<N: OutputType> Edge<N> {
    /// Position of this row, for `after`; an opaque text. It stays valid when the gateway restarts. It is
    /// valid only for the same list, with the same filter and order.
    async fn cursor(&self) -> Result<String, Failure> {
        self.cursor.write()
    }

    /// The row. `null` with an error if it cannot be read.
    async fn node(&self) -> Option<Result<&N, Failure>> {
        Some(self.shown())
    }
}

impl<N> Edge<N> {
    fn shown(&self) -> Result<&N, Failure> {
        let shown = self.node.as_ref();
        shown.map_err(|unreadable| Failure::Unreadable(Arc::clone(unreadable)))
    }
}

/// Which part of a list a field asks for.
pub(crate) fn wanted(
    context: &Context<'_>,
    first: Option<i32>,
    after: Option<String>,
) -> PageRequest {
    let selected = context.look_ahead();
    let total = selected.field("totalCount").exists();
    let only_total = total
        && !["edges", "nodes", "pageInfo"].into_iter().any(|name| selected.field(name).exists());
    PageRequest { first: first.unwrap_or(DEFAULT_FIRST), after, total, only_total }
}

/// The filter as the client sent it, with variables replaced by their values; `null` if it sent none.
pub(super) fn sent_filter(context: &Context<'_>) -> serde_json::Value {
    let arguments = context.field().arguments().unwrap_or_default();
    let filter = arguments.into_iter().find(|(argument, _)| argument == "filter");
    filter.and_then(|(_, value)| value.into_json().ok()).unwrap_or_default()
}
