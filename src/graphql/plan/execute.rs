//! Executes a plan: reads its recordings together, and takes the fields from the records.

use std::sync::Arc;

use async_graphql::indexmap::IndexMap;
use async_graphql::{Error, PathSegment, Response, ServerError, Value};
use futures_util::future::join_all;

use super::{BoundPlan, PlannedField, PlannedRecord, RecordField, RecordRef};
use crate::domain::{Failure, ScreenRecord, Unreadable};
use crate::graphql::context::OperationContext;
use crate::graphql::response_size::ResponseSize;

/// A value that an enumeration does not know.
const UNKNOWN: &str = "UNKNOWN";

impl BoundPlan {
    /// Executes the plan.
    pub(crate) async fn execute(&self, context: &OperationContext) -> Response {
        let reads = self.records.iter().map(|record| self.read(record.as_ref(), context));
        let reads = join_all(reads).await;
        let mut errors = Vec::new();
        let records = self.plan.records.iter().zip(reads).map(|(planned, read)| {
            let value = match read {
                Ok(loaded) => planned.value(&loaded, context.size(), &mut errors),
                Err(failure) => {
                    errors.push(planned.error(None, failure));
                    Value::Null
                }
            };
            (planned.key.clone(), value)
        });
        let data = Value::Object(records.collect());
        let mut response = Response::new(data);
        response.errors = errors;
        response
    }

    async fn read<'b>(
        &self,
        record: Result<&'b RecordRef, &Failure>,
        context: &OperationContext,
    ) -> Result<Loaded<'b>, Failure> {
        let by = record.map_err(Failure::clone)?;
        let (project, id) = (by.project.clone(), by.id.clone());
        let record = match self.records.as_slice() {
            [_only] => context.only_screen_record(project, id).await,
            _ => context.screen_record(project, id).await,
        };
        Ok(Loaded { record: record?, by })
    }
}

/// A recording, and what it was read by.
struct Loaded<'b> {
    record: Arc<ScreenRecord>,
    by: &'b RecordRef,
}

impl PlannedRecord {
    /// The fields of a recording, up to the limit of the response.
    fn value(
        &self,
        loaded: &Loaded<'_>,
        size: &ResponseSize,
        errors: &mut Vec<ServerError>,
    ) -> Value {
        let mut fields = IndexMap::with_capacity(self.fields.len());
        for field in &self.fields {
            if size.is_exceeded() {
                break;
            }
            let value = field.field.of(loaded).unwrap_or_else(|unreadable| {
                errors.push(self.error(Some(field), Failure::Unreadable(unreadable)));
                Value::Null
            });
            if let Value::String(text) = &value {
                size.add_text(text);
            }
            fields.insert(field.key.clone(), value);
        }
        Value::Object(fields)
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
    /// The value of the field; null where the upstream sent none.
    fn of(self, loaded: &Loaded<'_>) -> Result<Value, Arc<Unreadable>> {
        let Loaded { record, by } = loaded;
        let value = match self {
            Self::Typename => Some(Value::from("ScreenRecord")),
            Self::Id => Some(Value::from(record.id().unwrap_or(by.id.as_str()))),
            Self::ProjectId => Some(Value::from(by.project.as_str())),
            Self::Size => record.size().transpose()?.map(Value::from),
            Self::Duration => record.duration().transpose()?.map(Value::from),
            Self::Type => {
                let kind = record.kind().transpose()?;
                kind.map(|kind| Value::from(kind.to_upstream().unwrap_or(UNKNOWN)))
            }
            Self::Status => {
                let status = record.status().transpose()?;
                status.map(|status| Value::from(status.to_upstream().unwrap_or(UNKNOWN)))
            }
            Self::Text(of) => record.text(of).transpose()?.map(Value::from),
            Self::Time(of) => {
                record.time(of).transpose()?.map(|time| Value::from(time.to_string()))
            }
        };
        Ok(value.unwrap_or_default())
    }
}
