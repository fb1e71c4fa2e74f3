//! Plans: our own executor for the selections that nearly every client sends, which are recordings by id
//! with their scalar fields, under aliases and in fragments.
//!
//! An operation with anything else has no plan, and async-graphql executes it.

mod compile;
mod execute;

use std::sync::Arc;

use apollo_compiler::Node;
use apollo_compiler::ast;
use async_graphql::{Name, Pos, Value, Variables};

use crate::domain::{Failure, ProjectId, RecordId, RecordText, RecordTime};
pub(crate) use compile::compile;

/// A query of a valid document that is executed without async-graphql.
#[derive(Debug)]
pub(crate) struct Plan {
    records: Vec<PlannedRecord>,
}

/// A field of the root that is a recording.
#[derive(Debug)]
struct PlannedRecord {
    key: Name,
    at: Pos,
    project: Node<ast::Value>,
    id: Node<ast::Value>,
    fields: Vec<PlannedField>,
}

/// A field of a recording.
#[derive(Debug)]
struct PlannedField {
    key: Name,
    at: Pos,
    field: RecordField,
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

/// A plan with the values of its variables.
#[derive(Debug)]
pub(crate) struct BoundPlan {
    plan: Arc<Plan>,
    /// The recording of each field of the root.
    records: Vec<Result<RecordRef, Failure>>,
}

/// Project and id of a recording.
#[derive(Clone, Debug)]
struct RecordRef {
    project: ProjectId,
    id: RecordId,
}

impl Plan {
    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        let fields = self.records.iter().map(|record| record.fields.len());
        self.records.len() * size_of::<PlannedRecord>()
            + fields.sum::<usize>() * 2 * size_of::<PlannedField>()
    }

    /// Binds coerced variables. `None` where an id is null: async-graphql answers with the error.
    pub(crate) fn bind(self: &Arc<Self>, variables: &Variables) -> Option<BoundPlan> {
        let records = self.records.iter().map(|record| {
            let (project, id) = (text(&record.project, variables)?, text(&record.id, variables)?);
            Some(RecordRef::parse(project, id))
        });
        Some(BoundPlan { records: records.collect::<Option<_>>()?, plan: Arc::clone(self) })
    }
}

/// The text of an id.
fn text<'v>(id: &'v ast::Value, variables: &'v Variables) -> Option<&'v str> {
    match id {
        ast::Value::String(text) => Some(text),
        ast::Value::Int(digits) => Some(digits.as_str()),
        ast::Value::Variable(name) => match variables.get(name.as_str()) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

impl RecordRef {
    fn parse(project: &str, id: &str) -> Result<Self, Failure> {
        Ok(Self { project: ProjectId::parse(project)?, id: RecordId::parse(id)? })
    }
}
