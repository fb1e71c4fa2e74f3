//! Writes GraphQL answers as HTTP responses.

use std::sync::LazyLock;

use async_graphql::ServerError;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use super::audit_log::AnswerEvents;
use super::cache_headers::{Quality, age, cache_control, cache_status};
use super::metrics::OperationOutcome;
use super::negotiation::MediaType;
use super::request_id::X_REQUEST_ID;
use super::security_headers;
use super::unsent::keep_room;
use crate::fair_semaphore::Permit;
use crate::graphql::{Answer, Executed, ResponseSize};
use crate::records::{Dependency, ReadSummary};

static CACHE_CONTROL: HeaderName = header::CACHE_CONTROL;
static AGE: HeaderName = header::AGE;
static CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// What an answer depends on beside its address.
pub(crate) const VARY: HeaderValue =
    HeaderValue::from_static("Accept, Accept-Encoding, X-Auth-Token, X-API-Key, Authorization");

/// An operation's answer.
pub(crate) struct Served {
    pub(crate) answer: Answer,
    /// Whether stale data stands in an error's place.
    pub(crate) is_stale: bool,
    /// What it shows, for the audit log.
    pub(crate) events: AnswerEvents,
}

/// The answers of one HTTP request and what was read for them.
pub(crate) struct Answers {
    pub(crate) served: Vec<Served>,
    pub(crate) summary: ReadSummary,
    /// Of a single operation; `None` where its response must not be reused.
    pub(crate) dependencies: Option<Vec<Dependency>>,
    is_batch: bool,
    form: MediaType,
}

/// A response whose whole body is in memory.
pub(crate) struct CompleteResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The body holds signed links, which compression would give away.
    pub(crate) has_links: bool,
}

/// The headers that all responses of a media type share, with placeholders for those that differ. Copying
/// them costs a fraction of inserting one after the other.
fn common_headers(form: MediaType) -> &'static HeaderMap {
    static JSON: LazyLock<HeaderMap> = LazyLock::new(|| build_common_headers(MediaType::Json));
    static GRAPHQL: LazyLock<HeaderMap> =
        LazyLock::new(|| build_common_headers(MediaType::GraphqlResponse));
    match form {
        MediaType::GraphqlResponse => &GRAPHQL,
        // Event streams and HTML pages are not written here.
        MediaType::Json | MediaType::Html | MediaType::EventStream => &JSON,
    }
}

fn build_common_headers(form: MediaType) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    for name in [&CACHE_CONTROL, &AGE, &CACHE_STATUS, &X_REQUEST_ID] {
        headers.insert(name, HeaderValue::from_static(""));
    }
    headers.insert(header::VARY, VARY);
    security_headers::secure(&mut headers);
    headers
}

/// Whether headers were copied from [`common_headers`], so that none is missing.
pub(crate) fn is_made_of_common_headers(headers: &HeaderMap) -> bool {
    headers.contains_key(header::X_CONTENT_TYPE_OPTIONS)
}

impl Answers {
    pub(crate) fn new(form: MediaType, is_batch: bool) -> Self {
        let (served, summary) = (Vec::new(), ReadSummary::default());
        Self { served, summary, dependencies: None, is_batch, form }
    }

    /// One answer to a request whose operations are not executed.
    pub(crate) fn refused(form: MediaType, error: ServerError) -> Self {
        Self { served: vec![Served::refused(error)], ..Self::new(form, false) }
    }

    /// Every error of every answer.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &ServerError> {
        self.served.iter().flat_map(|served| served.answer.errors())
    }

    /// Writes the body. An error replaces all answers where they are too large together.
    pub(crate) fn write(&mut self, size: &ResponseSize) -> Bytes {
        let body = self.body();
        match size.check(body.len()) {
            Ok(()) => body.into(),
            Err(error) => {
                self.is_batch = false;
                self.served.truncate(1);
                self.served.first_mut().map_or_else(Bytes::new, |served| served.replace(error))
            }
        }
    }

    /// The response with that body.
    pub(crate) fn complete(&self, body: Bytes) -> CompleteResponse {
        let quality = if self.are_good() { Quality::Complete } else { Quality::WithErrors };
        let headers = headers(self.form, &self.summary, quality);
        let has_links = self.summary.has_links;
        CompleteResponse { status: self.status(), headers, body, has_links }
    }

    /// Whether every operation was executed without an error.
    pub(crate) fn are_good(&self) -> bool {
        self.served.iter().all(|served| served.outcome() == OperationOutcome::Ok)
    }

    fn body(&mut self) -> Vec<u8> {
        if !self.is_batch {
            return self.served.first_mut().map(Served::json).unwrap_or_default();
        }
        let all: Vec<Vec<u8>> = self.served.iter_mut().map(Served::json).collect();
        [b"[", &*all.join(&b','), b"]"].concat()
    }

    /// 400 for a single operation that was not executed, where the form of answer allows it.
    fn status(&self) -> StatusCode {
        match (self.form, self.is_batch, self.served.as_slice()) {
            (MediaType::GraphqlResponse, false, [Served { answer: Answer::Refused(_), .. }]) => {
                StatusCode::BAD_REQUEST
            }
            _ => StatusCode::OK,
        }
    }
}

fn headers(form: MediaType, summary: &ReadSummary, quality: Quality) -> HeaderMap {
    let mut headers = common_headers(form).clone();
    for (name, value) in [
        (&CACHE_CONTROL, Some(cache_control(summary, quality))),
        (&AGE, age(summary).filter(|_| quality == Quality::Complete)),
        (&CACHE_STATUS, cache_status(summary).filter(|_| !summary.has_denials)),
    ] {
        match value {
            Some(value) => headers.insert(name, value),
            None => headers.remove(name),
        };
    }
    headers
}

impl CompleteResponse {
    /// A response without errors.
    pub(crate) fn good(form: MediaType, summary: &ReadSummary, body: Bytes) -> Self {
        let headers = headers(form, summary, Quality::Complete);
        Self { status: StatusCode::OK, headers, body, has_links: summary.has_links }
    }

    /// The response as it is sent. The room is free again once the client has read it.
    pub(crate) fn with_room(self, room: Option<Permit>) -> Response {
        let mut response = Response::new(Body::from(keep_room(self.body, room)));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

impl Served {
    /// The answer to a whole request that was not executed.
    pub(crate) fn refused(error: ServerError) -> Self {
        let answer = Answer::Refused(vec![error]);
        Self { answer, is_stale: false, events: AnswerEvents::default() }
    }

    /// Puts an error in place of the answer.
    pub(crate) fn fail(&mut self, error: ServerError) {
        let events = std::mem::take(&mut self.events).of_replaced_answer();
        *self = Self { answer: Answer::failed(error), is_stale: false, events };
    }

    /// How the operation is counted.
    pub(crate) fn outcome(&self) -> OperationOutcome {
        match &self.answer {
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
        let mut json = match &mut self.answer {
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
                extensions.extend(self.is_stale.then(|| ("stale".to_owned(), true.into())));
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
