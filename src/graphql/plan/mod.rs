//! Plans: our own executor for the selections that nearly every client sends, which are recordings by id
//! with their scalar fields and their desktop's stub, under aliases, in fragments, with `@skip` and
//! `@include`.
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
    /// The variables that `@skip` and `@include` look at.
    condition_variables: Vec<Box<str>>,
    /// About how many bytes it takes.
    bytes: usize,
}

/// A plan with the values of its variables.
#[derive(Debug)]
pub(crate) struct BoundPlan {
    plan: Arc<Plan>,
    variables: Variables,
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
    /// The field is in the answer if all of them hold.
    conditions: Vec<Condition>,
    what: T,
}

/// One `@skip` or `@include`.
#[derive(Clone, Debug)]
struct Condition {
    /// What the value has to be.
    wanted: bool,
    value: ConditionValue,
}

#[derive(Clone, Debug)]
enum ConditionValue {
    Literal(bool),
    Variable(Box<str>),
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

/// A field of a recording.
#[derive(Debug)]
enum RecordField {
    Scalar(ScalarField),
    Desktop(Vec<Selected<DesktopField>>),
}

/// A field of a desktop.
#[derive(Clone, Copy, Debug)]
enum DesktopField {
    Typename,
    Id,
}

/// A field of a recording that has no fields of its own.
#[derive(Clone, Copy, Debug)]
enum ScalarField {
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

    /// Binds coerced variables. `None` where one is null that must not be: async-graphql answers with the
    /// error.
    pub(crate) fn bind(self: &Arc<Self>, variables: Variables) -> Option<BoundPlan> {
        let is_boolean = |name: &str| matches!(variables.get(name), Some(Value::Boolean(_)));
        if !self.condition_variables.iter().all(|name| is_boolean(name)) {
            return None;
        }
        let records = self.roots.iter().map(|root| match &root.what {
            RootField::Record { project, id, .. } => {
                let (project, id) = (project.text(&variables)?, id.text(&variables)?);
                Some(Some(RecordRef::parse(project, id)))
            }
            RootField::Typename => Some(None),
        });
        let records = records.collect::<Option<_>>()?;
        Some(BoundPlan { records, plan: Arc::clone(self), variables })
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

impl BoundPlan {
    /// The root fields, each with its recording if it is in the answer.
    fn roots(
        &self,
    ) -> impl Iterator<Item = (&Selected<RootField>, Option<&Result<RecordRef, Failure>>)> {
        let shown = |(root, record)| (root, Option::as_ref(record).filter(|_| self.shows(root)));
        self.plan.roots.iter().zip(&self.records).map(shown)
    }

    /// Whether a field is in the answer.
    fn shows<T>(&self, selected: &Selected<T>) -> bool {
        selected.conditions.iter().all(|condition| {
            let value = match &condition.value {
                ConditionValue::Literal(value) => *value,
                ConditionValue::Variable(name) => {
                    matches!(self.variables.get(&**name), Some(Value::Boolean(true)))
                }
            };
            value == condition.wanted
        })
    }
}
