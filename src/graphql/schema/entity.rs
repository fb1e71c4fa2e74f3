//! What a federation router asks of a subgraph: its schema, and entities by their keys.
//!
//! The library's own `_entities` fails the whole list when one entity does. Here each one stands for
//! itself: a missing or failing one is null with an error at its place, and the others are there.

use std::sync::Arc;

use async_graphql::{Any, Context, ID, InputType, SimpleObject, Value};
use futures_util::future::join_all;

use super::screen_record::ScreenRecord;
use crate::domain::Failure;
use crate::graphql::context::{OperationContext, path_of};

/// This subgraph, as a router asks for it.
#[derive(SimpleObject)]
#[graphql(name = "_Service", visible = false)]
pub(super) struct Service {
    /// The schema with its federation directives.
    pub(super) sdl: Arc<str>,
}

/// Reads entities side by side.
pub(super) async fn read_entities(
    field: &Context<'_>,
    representations: &[Any],
) -> Vec<Result<ScreenRecord, Failure>> {
    let numbered = representations.iter().enumerate();
    join_all(numbered.map(|(row, Any(representation))| entity(field, row, representation))).await
}

/// Reads an entity by its representation: `__typename` and the fields of its key.
async fn entity(
    field: &Context<'_>,
    row: usize,
    representation: &Value,
) -> Result<ScreenRecord, Failure> {
    let typename: String = member(representation, "__typename")?;
    if typename != "ScreenRecord" {
        let problem = format!("names the type {typename:?}: this graph resolves ScreenRecord");
        return Err(bad_representation(problem));
    }
    let project: ID = member(representation, "projectId")?;
    let id: ID = member(representation, "id")?;
    let path = || {
        let mut path = path_of(field);
        path.push(row.into());
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
