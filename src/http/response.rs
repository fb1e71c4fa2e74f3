//! Writes GraphQL answers as HTTP responses.

use std::sync::Arc;

use async_graphql::ServerError;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use super::audit_log::AnswerEvents;
use super::cache_headers::{Quality, age, cache_control, cache_status};
use super::metrics::OperationOutcome;
use super::negotiation::MediaType;
use super::unsent::keep_room;
use crate::fair_semaphore::Permit;
use crate::graphql::{Answer, Executed, ResponseSize};
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
    /// What was read for all of them.
    pub(crate) read: ReadSummary,
    is_batch: bool,
    media_type: MediaType,
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
    pub(crate) fn new(
        media_type: MediaType,
        is_batch: bool,
        mut responses: Vec<OperationResponse>,
    ) -> Self {
        let mut read = ReadSummary::default();
        for response in &mut responses {
            read.add(std::mem::take(&mut response.read));
        }
        Self { responses, read, is_batch, media_type }
    }

    /// One response to a request whose operations are not executed.
    pub(crate) fn refused(media_type: MediaType, error: ServerError) -> Self {
        let refused = Answer::Refused(vec![error]);
        let refused = OperationResponse::new(None, refused, ReadSummary::default());
        Self::new(media_type, false, vec![refused])
    }

    /// Writes the body. An error replaces all responses where they are too large together.
    pub(crate) fn write(&mut self, size: &ResponseSize) -> Bytes {
        let body = self.body();
        match size.check(body.len()) {
            Ok(()) => body.into(),
            Err(error) => {
                self.is_batch = false;
                self.responses.truncate(1);
                let first = self.responses.first_mut();
                first.map_or_else(Bytes::new, |response| response.replace(error))
            }
        }
    }

    /// The response with that body.
    pub(crate) fn complete(&self, body: Bytes) -> CompleteResponse {
        let quality = if self.is_good() { Quality::Complete } else { Quality::WithErrors };
        let status = match (self.media_type, self.is_batch, self.responses.as_slice()) {
            // A single operation that was not executed, where the media type allows the status.
            (
                MediaType::GraphqlResponse,
                false,
                [OperationResponse { result: Answer::Refused(_), .. }],
            ) => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        CompleteResponse {
            status,
            ..CompleteResponse::new(self.media_type, &self.read, quality, body)
        }
    }

    /// Whether every operation was executed without an error.
    pub(crate) fn is_good(&self) -> bool {
        self.responses.iter().all(|response| response.outcome() == OperationOutcome::Ok)
    }

    fn body(&mut self) -> Vec<u8> {
        if !self.is_batch {
            let only = self.responses.first_mut();
            return only.map(OperationResponse::json).unwrap_or_default();
        }
        let all: Vec<Vec<u8>> = self.responses.iter_mut().map(OperationResponse::json).collect();
        [b"[", &*all.join(&b','), b"]"].concat()
    }
}

fn headers(media_type: MediaType, read: &ReadSummary, quality: Quality) -> HeaderMap {
    // With room for what every answer carries.
    let mut headers = HeaderMap::with_capacity(16);
    let content_type = HeaderValue::from_static(media_type.content_type());
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, cache_control(read, quality));
    if let Some(age) = age(read).filter(|_| quality == Quality::Complete) {
        headers.insert(header::AGE, age);
    }
    if let Some(status) = cache_status(read).filter(|_| !read.has_denials) {
        headers.insert(&CACHE_STATUS, status);
    }
    headers
}

impl CompleteResponse {
    pub(crate) fn new(
        media_type: MediaType,
        read: &ReadSummary,
        quality: Quality,
        body: Bytes,
    ) -> Self {
        let headers = headers(media_type, read, quality);
        Self { status: StatusCode::OK, headers, body, has_links: read.has_links }
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
        if let (Answer::Executed(executed), true) = (&mut result, read.is_stale_on_error()) {
            executed.extensions.insert("stale".to_owned(), true.into());
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
            Answer::Refused(_) => OperationOutcome::Refused,
            Answer::Executed(executed) if executed.errors.is_empty() => OperationOutcome::Ok,
            Answer::Executed(_) => OperationOutcome::Failed,
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
        let mut json = match &mut self.result {
            Answer::Refused(errors) => {
                let mut json = b"{\"errors\":".to_vec();
                write_json(&mut json, errors);
                json
            }
            Answer::Executed(Executed { body, errors, extensions }) => {
                let mut json = std::mem::take(body);
                if !errors.is_empty() {
                    json.extend_from_slice(b",\"errors\":");
                    write_json(&mut json, errors);
                }
                if !extensions.is_empty() {
                    json.extend_from_slice(b",\"extensions\":");
                    write_json(&mut json, extensions);
                }
                json
            }
        };
        json.push(b'}');
        json
    }
}

fn write_json(json: &mut Vec<u8>, value: &impl Serialize) {
    // Errors and extensions can always be written, and a vector takes everything.
    let _ = serde_json::to_writer(json, value);
}
