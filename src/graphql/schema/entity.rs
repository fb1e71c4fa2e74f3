//! What a federation router asks of a subgraph: its schema, and entities by their keys.
//!
//! The library's own `_entities` fails the whole list when one entity does. Here each one stands for
//! itself: a missing or failing one is null with an error at its place, and the others are there.

use std::sync::Arc;

use async_graphql::{Any, Context, ID, InputType, Object, SimpleObject, Value};
use futures_util::future::join_all;

use super::screen_record::ScreenRecord;
use crate::domain::Failure;
use crate::graphql::context::{OperationContext, path_of};
use crate::records::Step;

/// What routers ask for.
pub(crate) struct FederationQuery {
    /// The schema with its federation directives.
    pub(crate) sdl: Arc<str>,
}

#[Object]
impl FederationQuery {
    /// This subgraph, for federation routers.
    #[graphql(name = "_service", visible = false)]
    async fn service(&self) -> Service {
        Service { sdl: Arc::clone(&self.sdl) }
    }

    /// Entities by their keys, for federation routers: read side by side, through the same loader as
    /// everything else. A recording is the only entity that this graph resolves.
    #[graphql(name = "_entities", visible = false)]
    async fn entities(
        &self,
        context: &Context<'_>,
        representations: Vec<Any>,
    ) -> Vec<Option<Result<ScreenRecord, Failure>>> {
        let numbered = representations.iter().enumerate();
        let reading =
            numbered.map(|(row, Any(representation))| entity(context, row, representation));
        join_all(reading).await.into_iter().map(Some).collect()
    }
}

/// This subgraph, as a router asks for it.
#[derive(SimpleObject)]
#[graphql(name = "_Service", visible = false)]
pub(crate) struct Service {
    /// The schema with its federation directives.
    sdl: Arc<str>,
}

/// Reads an entity by its representation: `__typename` and the fields of its key.
async fn entity(
    field: &Context<'_>,
    row: usize,
    representation: &Value,
) -> Result<ScreenRecord, Failure> {
    let typename: String = member(representation, "__typename")?;
    if typename != "ScreenRecord" {
        return Err(bad_representation(format!(
            "names the type {typename:?}: this graph resolves ScreenRecord"
        )));
    }
    let project: ID = member(representation, "projectId")?;
    let id: ID = member(representation, "id")?;
    let path = || {
        let mut path = path_of(field);
        path.push(Step::Index(row));
        path
    };
    ScreenRecord::read(OperationContext::of(field), path, &project, &id).await
}

/// A member of a representation, read as an argument would be.
fn member<T: InputType>(representation: &Value, name: &str) -> Result<T, Failure> {
    let value = match representation {
        Value::Object(members) => members.get(name).cloned(),
        _ => None,
    };
    T::parse(value).map_err(|_| bad_representation(format!("has no {} {name}", T::type_name())))
}

fn bad_representation(problem: String) -> Failure {
    Failure::BadInput { argument: "representations", problem }
}
