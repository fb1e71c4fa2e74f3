//! Executes a plan: reads its recordings together, and takes the fields from the records.

use std::borrow::Cow;
use std::sync::Arc;

use async_graphql::{Error, Name, PathSegment, ServerError};
use futures_util::future::join_all;
use serde::Serialize;

use super::{BoundPlan, PlannedField, PlannedRecord, RecordField, RecordRef};
use crate::domain::{Failure, ScreenRecord, Unreadable};
use crate::graphql::context::OperationContext;
use crate::graphql::operation::Executed;
use crate::graphql::response_size::ResponseSize;
use crate::records::Siblings;

/// A value that an enumeration does not know.
const UNKNOWN: &str = "UNKNOWN";
/// The length of the answer for one recording, in bytes.
const COMMON_BYTES: usize = 512;

impl BoundPlan {
    /// Executes the plan. The fields are written as they are taken from the records.
    pub(crate) async fn execute(&self, context: &OperationContext) -> Executed {
        let reads = self.records.iter().map(|record| self.read(record.as_ref(), context));
        let reads = join_all(reads).await;
        let mut executed = Executed::default();
        executed.body.reserve(COMMON_BYTES * reads.len());
        executed.body.extend_from_slice(b"{\"data\":{");
        for (number, (planned, read)) in self.plan.records.iter().zip(reads).enumerate() {
            write_key(&mut executed.body, number, &planned.key);
            match read {
                Ok(loaded) => planned.write(&loaded, context.size(), &mut executed),
                Err(failure) => {
                    executed.errors.push(planned.error(None, failure));
                    write(&mut executed.body, &None);
                }
            }
        }
        executed.body.push(b'}');
        executed
    }

    async fn read<'b>(
        &self,
        record: Result<&'b RecordRef, &Failure>,
        context: &OperationContext,
    ) -> Result<Loaded<'b>, Failure> {
        let by = record.map_err(Failure::clone)?;
        let (project, id) = (by.project.clone(), by.id.clone());
        let siblings = if self.records.len() == 1 { Siblings::None } else { Siblings::Perhaps };
        Ok(Loaded { record: context.screen_record(project, id, siblings).await?, by })
    }
}

/// A recording, and what it was read by.
struct Loaded<'b> {
    record: Arc<ScreenRecord>,
    by: &'b RecordRef,
}

/// The value of a field.
#[derive(Serialize)]
#[serde(untagged)]
enum Scalar<'r> {
    Text(Cow<'r, str>),
    Number(i64),
}

impl PlannedRecord {
    /// Writes the fields of a recording, up to the limit of the response.
    fn write(&self, loaded: &Loaded<'_>, size: &ResponseSize, executed: &mut Executed) {
        executed.body.push(b'{');
        for (number, field) in self.fields.iter().enumerate() {
            if size.is_exceeded() {
                break;
            }
            let value = field.field.of(loaded).unwrap_or_else(|unreadable| {
                executed.errors.push(self.error(Some(field), Failure::Unreadable(unreadable)));
                None
            });
            let before = executed.body.len();
            write_key(&mut executed.body, number, &field.key);
            write(&mut executed.body, &value);
            size.add(executed.body.len() - before);
        }
        executed.body.push(b'}');
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
    /// The value of the field; `None` where the upstream sent none.
    fn of<'r>(self, loaded: &'r Loaded<'_>) -> Result<Option<Scalar<'r>>, Arc<Unreadable>> {
        let Loaded { record, by } = loaded;
        let text = |text: &'r str| Scalar::Text(Cow::Borrowed(text));
        Ok(match self {
            Self::Typename => Some(text("ScreenRecord")),
            Self::Id => Some(text(record.id().unwrap_or(by.id.as_str()))),
            Self::ProjectId => Some(text(by.project.as_str())),
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
                time.map(|time| Scalar::Text(Cow::Owned(time.to_string())))
            }
        })
    }
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
