//! Writes GraphQL answers as HTTP responses.

use async_graphql::{Response as GraphqlResponse, ServerError};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use sha2::{Digest as _, Sha256};

use super::cache_headers::{Quality, age, cache_control, cache_status};
use super::negotiation::Form;
use super::refusal::Refusal;
use crate::graphql::{Answer, ErrorCode};
use crate::records::ReadSummary;

/// An operation's answer and what was read for it.
pub(crate) struct Served {
    pub(crate) answer: Answer,
    pub(crate) summary: ReadSummary,
}

/// The answers of one HTTP request.
pub(crate) struct Answers {
    pub(crate) served: Vec<Served>,
    pub(crate) is_batch: bool,
    pub(crate) form: Form,
}

/// An answer's JSON: without `data` where nothing was executed.
struct Shown<'a> {
    response: &'a GraphqlResponse,
    executed: bool,
    stale: bool,
}

#[derive(Serialize)]
struct Stale {
    stale: bool,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.executed {
            map.serialize_entry("data", &self.response.data)?;
        }
        if !self.response.errors.is_empty() {
            map.serialize_entry("errors", &self.response.errors)?;
        }
        if self.stale {
            map.serialize_entry("extensions", &Stale { stale: true })?;
        }
        map.end()
    }
}

impl Answers {
    /// Every error of every answer.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &ServerError> {
        self.served.iter().flat_map(Served::errors)
    }

    /// Everything that was read.
    pub(crate) fn summary(&self) -> ReadSummary {
        let reads = self.served.iter().flat_map(|served| &served.summary.reads);
        let projects = self.served.iter().flat_map(|served| &served.summary.projects);
        ReadSummary { reads: reads.copied().collect(), projects: projects.cloned().collect() }
    }

    /// The response, with validators and cache headers.
    pub(crate) fn into_response(self) -> Response {
        if self.served.iter().any(|served| matches!(served.answer, Answer::NotAQuery)) {
            let message = "only queries may be asked for by GET: use POST";
            return Refusal::method("POST", message).into_response();
        }
        let Ok(body) = self.body() else {
            let message = "the answer could not be written";
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return Refusal::new(status, ErrorCode::Internal, message).into_response();
        };
        (self.status(), self.headers(), Body::from(body)).into_response()
    }

    fn body(&self) -> Result<Vec<u8>, serde_json::Error> {
        let shown: Vec<Shown<'_>> = self.served.iter().filter_map(Served::shown).collect();
        match shown.as_slice() {
            [only] if !self.is_batch => serde_json::to_vec(only),
            all => serde_json::to_vec(all),
        }
    }

    /// 400 for a single operation that was not executed, where the form of answer allows it.
    fn status(&self) -> StatusCode {
        match (self.form, self.is_batch, self.served.as_slice()) {
            (Form::GraphqlResponse, false, [Served { answer: Answer::Refused(_), .. }]) => {
                StatusCode::BAD_REQUEST
            }
            _ => StatusCode::OK,
        }
    }

    fn headers(&self) -> HeaderMap {
        let summary = self.summary();
        let quality =
            if self.errors().next().is_none() { Quality::Complete } else { Quality::WithErrors };
        let mut headers = HeaderMap::new();
        let mut set = |name, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        };
        set(header::CONTENT_TYPE, self.form.content_type().to_owned());
        set(header::CACHE_CONTROL, cache_control(&summary, quality));
        if let (Some(age), Quality::Complete) = (age(&summary), quality) {
            set(header::AGE, age.to_string());
        }
        if let Some(status) = cache_status(&summary) {
            set(header::HeaderName::from_static("cache-status"), status);
        }
        headers
    }
}

impl Served {
    /// The answer to a whole request that was not executed.
    pub(crate) fn refused(error: ServerError) -> Self {
        let answer = Answer::Refused(GraphqlResponse::from_errors(vec![error]));
        Self { answer, summary: ReadSummary::default() }
    }

    /// Every error of the answer.
    pub(crate) fn errors(&self) -> &[ServerError] {
        match &self.answer {
            Answer::Executed(response) | Answer::Refused(response) => &response.errors,
            Answer::NotAQuery => &[],
        }
    }

    /// The answer as JSON.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn json(&self) -> Result<Vec<u8>, serde_json::Error> {
        match self.shown() {
            Some(shown) => serde_json::to_vec(&shown),
            None => Ok(Vec::new()),
        }
    }

    fn shown(&self) -> Option<Shown<'_>> {
        let (response, executed) = match &self.answer {
            Answer::Executed(response) => (response, true),
            Answer::Refused(response) => (response, false),
            Answer::NotAQuery => return None,
        };
        Some(Shown { response, executed, stale: self.summary.is_stale_on_error() })
    }
}

/// Adds a strong validator to a good answer, and leaves the body out where the client has it.
pub(crate) async fn validated(request: &HeaderMap, response: Response) -> Response {
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // The body is in memory already; this takes it out again.
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let digest = hex::encode(Sha256::digest(&body));
    let etag = format!("\"{}\"", digest.get(..32).unwrap_or(&digest));
    let known = request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == etag || tag == "*");
    if let Ok(value) = HeaderValue::from_str(&etag) {
        parts.headers.insert(header::ETAG, value);
    }
    if known {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(body))
}
