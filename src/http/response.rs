//! Writes GraphQL answers as HTTP responses.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use async_graphql::{Response as GraphqlResponse, ServerError};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::browsers;
use super::cache_headers::{Quality, age, cache_control, cache_status};
use super::metrics::OperationOutcome;
use super::negotiation::Form;
use super::refusal::Refusal;
use super::request_id::X_REQUEST_ID;
use crate::graphql::{Answer, ErrorCode, Written};
use crate::records::ReadSummary;

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
}

/// The answers of one HTTP request and what was read for them.
pub(crate) struct Answers {
    pub(crate) served: Vec<Served>,
    pub(crate) summary: ReadSummary,
    pub(crate) is_batch: bool,
    pub(crate) form: Form,
}

/// The headers that all responses of a media type share, with placeholders for those that differ. Copying
/// them costs a fraction of inserting one after the other.
fn common_headers(form: Form) -> &'static HeaderMap {
    static JSON: LazyLock<HeaderMap> = LazyLock::new(|| build_common_headers(Form::Json));
    static GRAPHQL: LazyLock<HeaderMap> =
        LazyLock::new(|| build_common_headers(Form::GraphqlResponse));
    match form {
        Form::GraphqlResponse => &GRAPHQL,
        // Event streams and HTML pages are not written here.
        Form::Json | Form::Html | Form::EventStream => &JSON,
    }
}

fn build_common_headers(form: Form) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    for name in [&CACHE_CONTROL, &AGE, &CACHE_STATUS, &X_REQUEST_ID] {
        headers.insert(name, HeaderValue::from_static(""));
    }
    headers.insert(header::VARY, VARY);
    browsers::secure(&mut headers);
    headers
}

/// Whether headers were copied from [`common_headers`], so that none is missing.
pub(crate) fn is_made_of_common_headers(headers: &HeaderMap) -> bool {
    headers.contains_key(header::X_CONTENT_TYPE_OPTIONS)
}

impl Answers {
    /// Every error of every answer.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &ServerError> {
        self.served.iter().flat_map(Served::errors)
    }

    /// The response, with validators and cache headers. The answers are spent afterwards.
    pub(crate) fn response(&mut self) -> Response {
        if self.served.iter().any(|served| matches!(served.answer, Answer::NotAQuery)) {
            let message = "only queries may be asked for by GET: use POST";
            return Refusal::method("POST", message).into_response();
        }
        let (status, headers) = (self.status(), self.headers());
        let Ok(body) = self.body() else {
            let message = "the answer could not be written";
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return Refusal::new(status, ErrorCode::Internal, message).into_response();
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    fn body(&mut self) -> Result<Bytes, serde_json::Error> {
        let mut served = std::mem::take(&mut self.served).into_iter();
        if !self.is_batch {
            return served.next().map_or(Ok(Bytes::new()), Served::json);
        }
        let mut body = Vec::from(b"[");
        for (number, served) in served.enumerate() {
            if number > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&served.json()?);
        }
        body.push(b']');
        Ok(body.into())
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
        let summary = &self.summary;
        let quality =
            if self.errors().next().is_none() { Quality::Complete } else { Quality::WithErrors };
        let mut headers = common_headers(self.form).clone();
        for (name, value) in [
            (&CACHE_CONTROL, Some(cache_control(summary, quality))),
            (&AGE, age(summary).filter(|_| quality == Quality::Complete)),
            (&CACHE_STATUS, cache_status(summary)),
        ] {
            match value {
                Some(value) => headers.insert(name, value),
                None => headers.remove(name),
            };
        }
        headers
    }
}

impl Served {
    /// The answer to a whole request that was not executed.
    pub(crate) fn refused(error: ServerError) -> Self {
        let answer = Answer::Refused(GraphqlResponse::from_errors(vec![error]));
        Self { answer, is_stale: false }
    }

    /// How the operation is counted.
    pub(crate) fn outcome(&self) -> OperationOutcome {
        match &self.answer {
            Answer::Refused(_) | Answer::NotAQuery => OperationOutcome::Refused,
            Answer::Executed(_) | Answer::Written(_) | Answer::Whole(_) => {
                if self.errors().is_empty() {
                    OperationOutcome::Ok
                } else {
                    OperationOutcome::Failed
                }
            }
        }
    }

    /// Every error of the answer.
    pub(crate) fn errors(&self) -> &[ServerError] {
        match &self.answer {
            Answer::Executed(response) | Answer::Refused(response) => &response.errors,
            Answer::Written(written) => &written.errors,
            Answer::Whole(_) | Answer::NotAQuery => &[],
        }
    }

    /// The answer as JSON: without `data` where nothing was executed, empty for no query.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn json(self) -> Result<Bytes, serde_json::Error> {
        let mut extensions = BTreeMap::new();
        let (mut body, errors) = match self.answer {
            // Stale data is never in one.
            Answer::Whole(body) => return Ok(body),
            Answer::Written(Written { body, errors }) => (body, errors),
            Answer::Executed(GraphqlResponse { data, errors, extensions: more, .. }) => {
                extensions = more;
                let mut body = Vec::from(b"{\"data\":");
                serde_json::to_writer(&mut body, &data)?;
                (body, errors)
            }
            Answer::Refused(GraphqlResponse { errors, .. }) => (Vec::from(b"{"), errors),
            Answer::NotAQuery => return Ok(Bytes::new()),
        };
        let mut member = |name: &[u8]| {
            if body.len() > 1 {
                body.push(b',');
            }
            body.extend_from_slice(name);
        };
        if !errors.is_empty() {
            member(b"\"errors\":");
            serde_json::to_writer(&mut body, &errors)?;
        }
        if self.is_stale {
            extensions.insert("stale".to_owned(), true.into());
        }
        if !extensions.is_empty() {
            body.extend_from_slice(b",\"extensions\":");
            serde_json::to_writer(&mut body, &extensions)?;
        }
        body.push(b'}');
        Ok(body.into())
    }
}
