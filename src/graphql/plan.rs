//! Plans: our own executor for the selections that nearly every client sends, which are recordings by id
//! with their scalar fields, under aliases and in fragments.
//!
//! An operation with anything else has no plan, and async-graphql executes it.

use std::borrow::Cow;
use std::sync::Arc;

use apollo_compiler::Node;
use apollo_compiler::ast;
use apollo_compiler::executable::{DirectiveList, Field, SelectionSet};
use async_graphql::{Error, Name, PathSegment, Pos, ServerError, Value, Variables};
use futures_util::future::join_all;
use serde::Serialize;

use super::context::OperationContext;
use super::document::Document;
use super::fields::{FieldGroups, collect_fields};
use super::operation::Answer;
use super::response_size::ResponseSize;
use crate::domain::{
    Failure, ProjectId, RecordId, RecordText, RecordTime, ScreenRecord, Unreadable,
};
use crate::records::Siblings;

/// A value that an enumeration does not know.
const UNKNOWN: &str = "UNKNOWN";
/// The length of the answer for one recording, in bytes.
const COMMON_BYTES: usize = 512;

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

/// A recording, and what it was asked for by.
struct FoundRecord {
    record: Arc<ScreenRecord>,
    project: ProjectId,
    id: RecordId,
}

/// The value of a field.
#[derive(Serialize)]
#[serde(untagged)]
enum Scalar<'r> {
    Text(Cow<'r, str>),
    Number(i64),
}

impl Plan {
    /// The plan of an operation; `None` where plans do not support one of its selections.
    pub(crate) fn compile(document: &Document) -> Option<Self> {
        if !document.operation.is_query() {
            return None;
        }
        let roots = fields(document, [&document.operation.selection_set])?;
        let records = roots.into_iter().map(|(key, same)| {
            let root = same.first().filter(|root| root.name == "screenRecord")?;
            let selected = fields(document, same.iter().map(|field| &field.selection_set))?;
            let selected = selected.into_iter().map(|(key, same)| {
                let selected = same.first()?;
                let field = RecordField::named(&selected.name)?;
                let at = document.position(selected.location());
                Some(PlannedField { key: Name::new(key), at, field })
            });
            Some(PlannedRecord {
                key: Name::new(key),
                at: document.position(root.location()),
                project: id_argument(document, root, "projectId")?,
                id: id_argument(document, root, "id")?,
                fields: selected.collect::<Option<_>>()?,
            })
        });
        Some(Self { records: records.collect::<Option<_>>()? })
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        let fields = self.records.iter().map(|record| record.fields.len());
        self.records.len() * size_of::<PlannedRecord>()
            + fields.sum::<usize>() * 2 * size_of::<PlannedField>()
    }

    /// Reads the recordings together. The fields are written as they are taken from them.
    pub(crate) async fn execute(
        &self,
        variables: &Variables,
        context: &OperationContext,
    ) -> Answer {
        let reads = self.records.iter().map(|record| self.read(record, variables, context));
        let reads = join_all(reads).await;
        let mut body = Vec::with_capacity(COMMON_BYTES * reads.len());
        let mut errors = Vec::new();
        body.extend_from_slice(b"{\"data\":{");
        for (number, (planned, read)) in self.records.iter().zip(reads).enumerate() {
            write_key(&mut body, number, &planned.key);
            match read {
                Ok(found) => planned.write(&found, context.size(), &mut body, &mut errors),
                Err(failure) => {
                    errors.push(planned.error(None, failure));
                    write(&mut body, &None);
                }
            }
        }
        body.push(b'}');
        Answer { body: Some(body), errors, ..Answer::default() }
    }

    async fn read(
        &self,
        planned: &PlannedRecord,
        variables: &Variables,
        context: &OperationContext,
    ) -> Result<FoundRecord, Failure> {
        let project = ProjectId::parse(id_text(&planned.project, variables))?;
        let id = RecordId::parse(id_text(&planned.id, variables))?;
        let siblings = if self.records.len() == 1 { Siblings::None } else { Siblings::Perhaps };
        let record = context.screen_record(project.clone(), id.clone(), siblings).await?;
        Ok(FoundRecord { record, project, id })
    }
}

/// The fields of an object. `None` where a directive may leave one out.
fn fields<'d>(
    document: &'d Document,
    sets: impl IntoIterator<Item = &'d SelectionSet>,
) -> Option<FieldGroups<'d>> {
    let is_included = |directives: &DirectiveList| directives.is_empty().then_some(true).ok_or(());
    collect_fields(&document.executable, sets, &is_included).ok()
}

/// An id that a field is given. `None` for a variable that may be null: async-graphql answers with the error.
fn id_argument(document: &Document, field: &Field, name: &str) -> Option<Node<ast::Value>> {
    let value = field.specified_argument_by_name(name)?;
    let is_never_null = value.as_variable().is_none_or(|variable| {
        let mut variables = document.operation.variables.iter();
        variables.any(|own| own.name == *variable && own.ty.is_non_null())
    });
    is_never_null.then(|| value.clone())
}

/// The text of an id. Variables are coerced, and those for ids are never null.
fn id_text<'v>(id: &'v ast::Value, variables: &'v Variables) -> &'v str {
    match id {
        ast::Value::String(text) => text,
        ast::Value::Int(digits) => digits.as_str(),
        ast::Value::Variable(name) => match variables.get(name.as_str()) {
            Some(Value::String(text)) => text,
            _ => "",
        },
        _ => "",
    }
}

impl PlannedRecord {
    /// Writes the fields of a recording, up to the limit of the response.
    fn write(
        &self,
        found: &FoundRecord,
        size: &ResponseSize,
        body: &mut Vec<u8>,
        errors: &mut Vec<ServerError>,
    ) {
        body.push(b'{');
        for (number, field) in self.fields.iter().enumerate() {
            if size.is_exceeded() {
                break;
            }
            let value = field.field.of(found).unwrap_or_else(|unreadable| {
                errors.push(self.error(Some(field), Failure::Unreadable(unreadable)));
                None
            });
            let before = body.len();
            write_key(body, number, &field.key);
            write(body, &value);
            size.add(body.len() - before);
        }
        body.push(b'}');
    }

    /// The error of the recording, or of one of its fields.
    fn error(&self, field: Option<&PlannedField>, failure: Failure) -> ServerError {
        let at = field.map_or(self.at, |field| field.at);
        let keys = [Some(&self.key), field.map(|field| &field.key)].into_iter().flatten();
        let path = keys.map(|key| PathSegment::Field(key.to_string())).collect();
        ServerError { path, ..Error::from(failure).into_server_error(at) }
    }
}

impl RecordField {
    /// The field of a name.
    fn named(name: &str) -> Option<Self> {
        let text = || RecordText::ALL.into_iter().find(|of| of.schema_name() == name);
        let time = || RecordTime::ALL.into_iter().find(|of| of.schema_name() == name);
        match name {
            "__typename" => Some(Self::Typename),
            "id" => Some(Self::Id),
            "projectId" => Some(Self::ProjectId),
            "size" => Some(Self::Size),
            "duration" => Some(Self::Duration),
            "type" => Some(Self::Type),
            "status" => Some(Self::Status),
            _ => text().map(Self::Text).or_else(|| time().map(Self::Time)),
        }
    }

    /// The value of the field; `None` where the upstream sent none.
    fn of(self, found: &FoundRecord) -> Result<Option<Scalar<'_>>, Arc<Unreadable>> {
        let FoundRecord { record, project, id } = found;
        Ok(match self {
            Self::Typename => Some(text("ScreenRecord")),
            Self::Id => Some(text(record.id().unwrap_or(id.as_str()))),
            Self::ProjectId => Some(text(project.as_str())),
            Self::Size => record.size().transpose()?.map(Scalar::Number),
            Self::Duration => {
                record.duration().transpose()?.map(|seconds| Scalar::Number(seconds.into()))
            }
            Self::Type => {
                let kind = record.kind().transpose()?;
                kind.map(|kind| text(kind.to_upstream().unwrap_or(UNKNOWN)))
            }
            Self::Status => {
                let status = record.status().transpose()?;
                status.map(|status| text(status.to_upstream().unwrap_or(UNKNOWN)))
            }
            Self::Text(of) => record.text(of).transpose()?.map(text),
            Self::Time(of) => {
                let time = record.time(of).transpose()?;
                time.map(|time| Scalar::Text(Cow::Owned(time.text())))
            }
        })
    }
}

fn text(text: &str) -> Scalar<'_> {
    Scalar::Text(Cow::Borrowed(text))
}

/// Writes the key of a member of an object. Names need no escapes.
fn write_key(json: &mut Vec<u8>, number: usize, key: &Name) {
    if number > 0 {
        json.push(b',');
    }
    json.push(b'"');
    json.extend_from_slice(key.as_bytes());
    json.extend_from_slice(b"\":");
}

fn write(json: &mut Vec<u8>, value: &Option<Scalar<'_>>) {
    // A text or a number can always be written, and a vector takes everything.
    let _ = serde_json::to_writer(json, value);
}
