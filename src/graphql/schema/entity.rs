//! What a federation router asks of a subgraph: its schema, and entities by their keys.
//!
//! The library's own `_entities` fails the whole list when one entity does. Here each one stands for
//! itself: a missing or failing one is null with an error at its place, and the others are there.

use std::borrow::Cow;
use std::sync::Arc;

use async_graphql::{
    Context, InputValueError, InputValueResult, Object, Scalar, ScalarType, SimpleObject, Union,
    Value,
};
use futures_util::future::join_all;

use super::screen_record::ScreenRecord;
use crate::domain::Failure;
use crate::graphql::context::FieldRow;

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
    /// everything else.
    #[graphql(name = "_entities", visible = false)]
    async fn entities(
        &self,
        context: &Context<'_>,
        representations: Vec<Representation>,
    ) -> Vec<Option<Result<Entity, Failure>>> {
        let numbered = representations.iter().enumerate();
        let reading = numbered.map(|(row, representation)| {
            entity(FieldRow { field: context, row: Some(row) }, representation)
        });
        join_all(reading).await.into_iter().map(Some).collect()
    }
}

/// An entity of this graph.
#[derive(Union)]
#[graphql(name = "_Entity", visible = false)]
pub(crate) enum Entity {
    /// A recording.
    ScreenRecord(ScreenRecord),
}

/// This subgraph, as a router asks for it.
#[derive(SimpleObject)]
#[graphql(name = "_Service", visible = false)]
pub(crate) struct Service {
    /// The schema with its federation directives.
    sdl: Arc<str>,
}

/// The key of an entity: `__typename` and the key's fields.
#[derive(Clone)]
pub(crate) struct Representation(Value);

/// The key of an entity, as a router sends it.
#[Scalar(name = "_Any", visible = false)]
impl ScalarType for Representation {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::Object(_) => Ok(Self(value)),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        self.0.clone()
    }
}

async fn entity(place: FieldRow<'_>, representation: &Representation) -> Result<Entity, Failure> {
    let typename = representation.text("__typename")?;
    if typename != "ScreenRecord" {
        return Err(bad_representation(format!(
            "names the type {typename:?}: this graph resolves ScreenRecord"
        )));
    }
    let (project, id) = (representation.id("projectId")?, representation.id("id")?);
    ScreenRecord::read(place, &project, &id).await.map(Entity::ScreenRecord)
}

impl Representation {
    fn text(&self, name: &str) -> Result<&str, Failure> {
        match self.member(name) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(bad_representation(format!("has no text {name}"))),
        }
    }

    /// An `ID`, which is a text or an integer, as in an argument.
    fn id(&self, name: &str) -> Result<Cow<'_, str>, Failure> {
        match self.member(name) {
            Some(Value::String(text)) => Ok(Cow::Borrowed(text)),
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => {
                Ok(Cow::Owned(number.to_string()))
            }
            _ => Err(bad_representation(format!("has no ID {name}"))),
        }
    }

    fn member(&self, name: &str) -> Option<&Value> {
        match &self.0 {
            Value::Object(members) => members.get(name),
            _ => None,
        }
    }
}

fn bad_representation(problem: String) -> Failure {
    Failure::BadInput { argument: "representations", problem }
}
