//! Plans: our own executor for the selections that nearly every client sends, which are recordings by id
//! with their scalar fields, under aliases and in fragments.
//!
//! A plan writes JSON straight from the record. An operation with anything else has no plan, and
//! async-graphql executes it.

mod compile;
mod execute;
mod write;

use std::sync::Arc;

use async_graphql::{Pos, Value, Variables};

use crate::domain::{Failure, ProjectId, RecordId, RecordText, RecordTime, ScreenRecord};
pub(crate) use compile::compile;

/// An operation of a valid document that is executed without async-graphql.
#[derive(Debug)]
pub(crate) struct Plan {
    roots: Vec<Selected<RootField>>,
    /// About how many bytes it takes.
    bytes: usize,
}

/// A plan with the values of its variables.
#[derive(Debug)]
pub(crate) struct BoundPlan {
    plan: Arc<Plan>,
    /// The recording of each root field, if it has one.
    records: Vec<Option<Result<RecordRef, Failure>>>,
}

/// Project and id of a recording.
#[derive(Clone, Debug)]
struct RecordRef {
    project: ProjectId,
    id: RecordId,
}

/// A recording that was read for a root field.
struct LoadedRecord<'b> {
    record: Arc<ScreenRecord>,
    by: &'b RecordRef,
}

/// A field of the answer.
#[derive(Debug)]
struct Selected<T> {
    /// `,"name":`, as it is written behind another member. Names need no escapes.
    key: Box<str>,
    at: Pos,
    what: T,
}

/// What an id is given as.
#[derive(Debug)]
enum IdArgument {
    Literal(Box<str>),
    Variable(Box<str>),
}

/// A field of the root.
#[derive(Debug)]
enum RootField {
    Typename,
    Record { project: IdArgument, id: IdArgument, fields: Vec<Selected<RecordField>> },
}

/// A field of a recording that has no fields of its own.
#[derive(Clone, Copy, Debug)]
enum RecordField {
    Typename,
    Id,
    ProjectId,
    Size,
    Duration,
    Type,
    Status,
    Text(RecordText),
    Time(RecordTime),
}

impl Plan {
    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Binds coerced variables. `None` where an id is null: async-graphql answers with the error.
    pub(crate) fn bind(self: &Arc<Self>, variables: &Variables) -> Option<BoundPlan> {
        let records = self.roots.iter().map(|root| match &root.what {
            RootField::Record { project, id, .. } => {
                let (project, id) = (project.text(variables)?, id.text(variables)?);
                Some(Some(RecordRef::parse(project, id)))
            }
            RootField::Typename => Some(None),
        });
        let records = records.collect::<Option<_>>()?;
        Some(BoundPlan { records, plan: Arc::clone(self) })
    }
}

impl IdArgument {
    fn text<'v>(&'v self, variables: &'v Variables) -> Option<&'v str> {
        match self {
            Self::Literal(text) => Some(text),
            Self::Variable(name) => match variables.get(&**name) {
                Some(Value::String(text)) => Some(text),
                _ => None,
            },
        }
    }
}

impl RecordRef {
    fn parse(project: &str, id: &str) -> Result<Self, Failure> {
        Ok(Self { project: ProjectId::parse(project)?, id: RecordId::parse(id)? })
    }
}
