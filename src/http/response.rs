//! Writes GraphQL answers as HTTP responses.

use std::sync::Arc;

use async_graphql::ServerError;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use super::audit_log::AnswerEvents;
use super::cache_headers::{age, cache_control, cache_status};
use super::metrics::OperationOutcome;
use super::negotiation::MediaType;
use super::unsent::keep_room;
use crate::fair_semaphore::Permit;
use crate::graphql::{Answer, ResponseSize};
use crate::records::{Dependency, ReadSummary};

static CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The response to one operation.
pub(crate) struct OperationResponse {
    pub(crate) result: Answer,
    /// What was read for it.
    pub(crate) read: ReadSummary,
    /// What it shows, for the audit log.
    pub(crate) events: AnswerEvents,
    /// `None` where it must not be reused.
    pub(crate) dependencies: Option<Vec<Dependency>>,
}

/// The responses to the operations of one HTTP request.
pub(crate) struct BatchResponse {
    pub(crate) responses: Vec<OperationResponse>,
    /// Whether they are answered as a list.
    pub(crate) is_batch: bool,
}

/// A response whose whole body is in memory.
pub(crate) struct CompleteResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The body holds signed links, which compression would give away.
    pub(crate) has_links: bool,
}

impl BatchResponse {
    /// Writes the body. An error replaces all responses where they are too large together.
    pub(crate) fn write(&mut self, size: &ResponseSize) -> Bytes {
        if !self.is_batch {
            return self.responses.first_mut().map_or_else(Bytes::new, |only| only.write(size));
        }
        let all: Vec<Vec<u8>> = self.responses.iter_mut().map(OperationResponse::json).collect();
        let body = [b"[", &*all.join(&b','), b"]"].concat();
        match size.check(body.len()) {
            Ok(()) => body.into(),
            Err(error) => {
                self.is_batch = false;
                self.responses.truncate(1);
                self.responses.first_mut().map_or_else(Bytes::new, |first| first.replace(error))
            }
        }
    }

    /// Whether every operation was executed without an error.
    pub(crate) fn is_good(&self) -> bool {
        self.responses.iter().all(|response| response.outcome() == OperationOutcome::Ok)
    }

    /// Whether this answers a single operation that was not executed.
    pub(crate) fn is_refused(&self) -> bool {
        !self.is_batch
            && matches!(&*self.responses, [one] if one.outcome() == OperationOutcome::Refused)
    }
}

impl CompleteResponse {
    /// The response to operations that were executed without an error.
    pub(crate) fn new(media_type: MediaType, read: &ReadSummary, body: Bytes) -> Self {
        // With room for what every answer carries.
        let mut headers = HeaderMap::with_capacity(16);
        let content_type = HeaderValue::from_static(media_type.content_type());
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::CACHE_CONTROL, cache_control(read));
        if let Some(age) = age(read) {
            headers.insert(header::AGE, age);
        }
        if let Some(status) = cache_status(read).filter(|_| !read.has_denials) {
            headers.insert(&CACHE_STATUS, status);
        }
        Self { status: StatusCode::OK, headers, body, has_links: read.has_links }
    }

    /// Forbids every cache to keep the response.
    pub(crate) fn forbid_caching(&mut self) {
        self.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.headers.remove(header::AGE);
    }

    /// The response as it is sent. The room is free again once the client has read it.
    pub(crate) fn with_room(self, room: Option<Permit>) -> Response {
        let mut response = Response::new(Body::from(keep_room(self.body, room)));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

impl OperationResponse {
    /// The result of an operation with a name, and what was read for it.
    pub(crate) fn new(name: Option<&Arc<str>>, mut result: Answer, mut read: ReadSummary) -> Self {
        if result.body.is_some() && read.is_stale_on_error() {
            result.extensions.insert("stale".to_owned(), true.into());
        }
        let events = AnswerEvents::take(name, &mut read);
        Self { result, read, events, dependencies: None }
    }

    /// Puts an error in place of the result.
    pub(crate) fn fail(&mut self, error: ServerError) {
        self.events = std::mem::take(&mut self.events).of_replaced_answer();
        self.result = Answer::failed(error);
    }

    /// How the operation is counted.
    pub(crate) fn outcome(&self) -> OperationOutcome {
        match &self.result {
            Answer { body: None, .. } => OperationOutcome::Refused,
            Answer { errors, .. } if errors.is_empty() => OperationOutcome::Ok,
            Answer { .. } => OperationOutcome::Failed,
        }
    }

    /// Writes the answer as JSON. An error replaces an answer that is too large.
    pub(crate) fn write(&mut self, size: &ResponseSize) -> Bytes {
        let json = self.json();
        match size.check(json.len()) {
            Ok(()) => json.into(),
            Err(error) => self.replace(error),
        }
    }

    /// Replaces the answer by an error, which is written.
    fn replace(&mut self, error: ServerError) -> Bytes {
        self.fail(error);
        self.json().into()
    }

    /// The answer as JSON, without `data` where nothing was executed. The data is taken out of the answer;
    /// its errors stay.
    fn json(&mut self) -> Vec<u8> {
        let Answer { body, errors, extensions } = &mut self.result;
        let mut json = body.as_mut().map_or_else(|| b"{".to_vec(), std::mem::take);
        if !errors.is_empty() {
            let name: &[u8] = if body.is_some() { b",\"errors\":" } else { b"\"errors\":" };
            json.extend_from_slice(name);
            write_json(&mut json, errors);
        }
        if !extensions.is_empty() {
            json.extend_from_slice(b",\"extensions\":");
            write_json(&mut json, extensions);
        }
        json.push(b'}');
        json
    }
}

fn write_json(json: &mut Vec<u8>, value: &impl Serialize) {
    // Errors and extensions can always be written, and a vector takes everything.
    let _ = serde_json::to_writer(json, value);
}
