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

use async_graphql::{Pos, ServerError, Value, Variables};

use crate::domain::{Failure, ProjectId, RecordId, RecordText, RecordTime, ScreenRecord};
pub(crate) use compile::compile;

/// An operation of a valid document that is executed without async-graphql.
#[derive(Debug)]
pub(crate) struct Plan {
    roots: Vec<Selected<Root>>,
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
    /// For each field of the root the recording it asks for, where it does.
    wanted: Vec<Option<Result<RecordRef, Failure>>>,
}

/// What a recording is asked for by.
#[derive(Clone, Debug)]
struct RecordRef {
    project: ProjectId,
    id: RecordId,
}

/// A recording that was read for a field of the root, and what it was asked for by.
struct Asked<'b> {
    record: Arc<ScreenRecord>,
    by: &'b RecordRef,
}

/// An answer, as it is written.
#[derive(Debug, Default)]
pub struct Written {
    /// `{"data":{…}`, without the end.
    pub body: Vec<u8>,
    /// Fields that failed, in the document's order.
    pub errors: Vec<ServerError>,
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
enum Root {
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

    /// The plan with its variables, which are coerced. Nothing where one is null and must not be, which
    /// is an error.
    pub(crate) fn bind(self: &Arc<Self>, variables: Variables) -> Option<BoundPlan> {
        let is_boolean = |name: &str| matches!(variables.get(name), Some(Value::Boolean(_)));
        if !self.condition_variables.iter().all(|name| is_boolean(name)) {
            return None;
        }
        let wanted = self.roots.iter().map(|root| match &root.what {
            Root::Record { project, id, .. } => {
                let (project, id) = (project.text(&variables)?, id.text(&variables)?);
                Some(Some(RecordRef::parse(project, id)))
            }
            Root::Typename => Some(None),
        });
        let wanted = wanted.collect::<Option<_>>()?;
        Some(BoundPlan { wanted, plan: Arc::clone(self), variables })
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
    /// The fields of the root, each with the recording it asks for.
    fn roots(
        &self,
    ) -> impl Iterator<Item = (&Selected<Root>, Option<&Result<RecordRef, Failure>>)> {
        let shown = |(root, wanted)| (root, Option::as_ref(wanted).filter(|_| self.shows(root)));
        self.plan.roots.iter().zip(&self.wanted).map(shown)
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
