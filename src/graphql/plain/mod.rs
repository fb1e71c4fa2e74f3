//! Our own executor, for the plain selections that nearly every client sends: recordings by id, their
//! scalar fields, their desktop's stub, under aliases, in fragments, with `@skip` and `@include`.
//!
//! It writes JSON straight from the record. What it does not know for sure it leaves alone:
//! [`Plan::of`] and [`Plan::bind`] answer `None` then, and the GraphQL library parses, validates and
//! executes as it always has. So nothing here ever refuses a document, and the library is the oracle that
//! the tests hold every answer against, byte for byte.

mod syntax;
mod compile;
mod execute;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_graphql::{Pos, ServerError};

use super::values::Values;
use crate::domain::{Failure, ProjectId, RecordId, RecordText, RecordTime};
use syntax::Syntax;

/// An operation of plain selections, checked against the schema.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Option<Box<str>>,
    variables: Vec<Variable>,
    roots: Vec<Selected<Root>>,
    bytes: usize,
}

/// A plan with the values of its variables.
#[derive(Debug)]
pub(crate) struct Bound {
    plan: Arc<Plan>,
    values: Vec<Value>,
    /// For each field of the root the recording it asks for, where it does.
    wanted: Vec<Option<Result<RecordRef, Failure>>>,
}

/// What a recording is asked for by.
#[derive(Clone, Debug)]
struct RecordRef {
    project: ProjectId,
    id: RecordId,
}

/// An answer, as it is written.
#[derive(Debug, Default)]
pub struct Written {
    /// `{"data":{…}`, without the end.
    pub body: Vec<u8>,
    /// Fields that failed, in the document's order.
    pub errors: Vec<ServerError>,
}

/// A variable; it needs a value.
#[derive(Debug)]
struct Variable {
    name: Box<str>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Id,
    Boolean,
}

/// The value of a variable.
#[derive(Debug)]
enum Value {
    Id(Box<str>),
    Boolean(bool),
}

/// A field of the answer.
#[derive(Debug)]
struct Selected<T> {
    /// `,"name":`, as it is written behind another member. Names need no escapes.
    key: Box<str>,
    at: Pos,
    conditions: Vec<Condition>,
    what: T,
}

/// When a field is in the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    /// What the value has to be.
    wanted: bool,
    value: Switch,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Switch {
    Literal(bool),
    Variable(usize),
}

/// What an id is given as.
#[derive(Debug)]
enum Id {
    Literal(Box<str>),
    Variable(usize),
}

/// A field of the root.
#[derive(Debug)]
enum Root {
    Typename,
    Record { project: Id, id: Id, fields: Vec<Selected<RecordField>> },
}

/// A field of a recording.
#[derive(Debug)]
enum RecordField {
    Plain(Plain),
    Desktop(Vec<Selected<DesktopField>>),
}

/// A field of a desktop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DesktopField {
    Typename,
    Id,
}

/// A field of a recording that has no fields of its own.
#[derive(Clone, Copy, Debug)]
enum Plain {
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
    /// The plan of a document that the guard has let through; nothing where it holds anything that is
    /// not known here.
    pub(crate) fn of(document: &str) -> Option<Self> {
        // The library does not count lines that end in a return alone, which the specification does: it
        // is to say itself where in such a document errors are.
        if document.split('\r').skip(1).any(|rest| !rest.starts_with('\n')) {
            return None;
        }
        compile::plan(document, &Syntax::read(document)?)
    }

    /// Whether a request that names this operation, or none, asks for it.
    pub(crate) fn is_named(&self, name: Option<&str>) -> bool {
        name.is_none() || name == self.name.as_deref()
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The plan with its variables' values; nothing where one is missing or of another kind.
    pub(crate) fn bind(self: &Arc<Self>, values: &Values) -> Option<Bound> {
        let bound: Option<Vec<Value>> = self
            .variables
            .iter()
            .map(|variable| match variable.kind {
                Kind::Id => values.text(&variable.name).map(|text| Value::Id(text.into())),
                Kind::Boolean => values.boolean(&variable.name).map(Value::Boolean),
            })
            .collect();
        let values = bound?;
        let wanted = self.roots.iter().map(|root| match &root.what {
            Root::Record { project, id, .. } => {
                Some(RecordRef::parse(project.text(&values), id.text(&values)))
            }
            Root::Typename => None,
        });
        Some(Bound { wanted: wanted.collect(), plan: Arc::clone(self), values })
    }
}

impl Id {
    fn text<'v>(&'v self, values: &'v [Value]) -> &'v str {
        match self {
            Self::Literal(text) => text,
            Self::Variable(index) => match values.get(*index) {
                Some(Value::Id(text)) => text,
                // The plan's variables are of the kinds that it uses them as.
                Some(Value::Boolean(_)) | None => "",
            },
        }
    }
}

impl RecordRef {
    fn parse(project: &str, id: &str) -> Result<Self, Failure> {
        Ok(Self { project: ProjectId::parse(project)?, id: RecordId::parse(id)? })
    }
}

impl Bound {
    /// About how many bytes it takes, without its plan.
    pub(crate) fn bytes(&self) -> usize {
        // A text's own bytes, once in the value and once in the id that was made of it.
        let texts = self.values.iter().map(|value| match value {
            Value::Id(text) => 2 * text.len(),
            Value::Boolean(_) => 0,
        });
        let places = self.values.len() + self.wanted.len();
        size_of::<Self>() + places * 128 + texts.sum::<usize>()
    }

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
            let value = match condition.value {
                Switch::Literal(value) => value,
                Switch::Variable(index) => {
                    matches!(self.values.get(index), Some(Value::Boolean(true)))
                }
            };
            value == condition.wanted
        })
    }
}
