//! Refusals of HTTP requests: every one a JSON body that a GraphQL client can read.

use std::time::Duration;

use async_graphql::ServerError;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::domain::ErrorCode;
use crate::graphql::request_error;

/// Bytes of a client's text that a message repeats.
const LONGEST_QUOTE: usize = 64;
/// How callers authenticate.
const REALM: &str = "Bearer realm=\"screen-record-gateway\"";

/// Why an HTTP request is not executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: ErrorCode,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new(), retry_after: None }
    }

    /// 400: the request is not what GraphQL over HTTP asks for.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, message)
    }

    /// 405, with the methods that are allowed.
    pub(crate) fn method(allowed: &'static str, message: impl Into<String>) -> Self {
        let refusal = Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::BadRequest, message);
        refusal.with(header::ALLOW, HeaderValue::from_static(allowed))
    }

    /// 503: come back in a second.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Overloaded, message)
            .with(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// 503: because of this caller's own requests.
    pub(crate) fn too_many_waiting() -> Self {
        Self::unavailable("the caller has too many requests under way: some are left for others")
    }

    /// 429: the caller is over a limit of its own.
    pub(crate) fn rate_limited(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::RateLimited, message)
    }

    /// 503: the answer's audit events cannot be written.
    pub(crate) fn audit_unavailable() -> Self {
        let message = "the audit log cannot be written, so nothing is answered";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::AuditUnavailable, message)
            .with(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// 401: no credential was sent; which one is needed, as a sentence.
    pub(crate) fn missing_credential(message: &'static str) -> Self {
        Self::unauthenticated(message, REALM)
    }

    /// 401: the credential is invalid; why, as a sentence.
    pub(crate) fn invalid_credential(why: &'static str) -> Self {
        let challenge = format!("{REALM}, error=\"invalid_token\", error_description=\"{why}\"");
        Self::unauthenticated(why, &challenge)
    }

    fn unauthenticated(message: &'static str, challenge: &str) -> Self {
        // Texts made here are always valid.
        let challenge = HeaderValue::from_str(challenge).unwrap_or(HeaderValue::from_static(REALM));
        Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthenticated, message)
            .with(header::WWW_AUTHENTICATE, challenge)
    }

    /// 500: the request ended in a panic.
    pub(crate) fn panicked() -> Self {
        tracing::error!("a request ended in a panic");
        let message = "the gateway has a bug: this request could not be answered";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal, message)
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn code(&self) -> ErrorCode {
        self.code
    }

    /// The error of an operation that is answered with others, or over a stream.
    pub(crate) fn into_error(self) -> ServerError {
        let mut error = request_error(self.code, self.message);
        if let (Some(wait), Some(extensions)) = (self.retry_after, &mut error.extensions) {
            let millis = wait.as_nanos().div_ceil(1_000_000);
            extensions.set("retryAfterMs", u64::try_from(millis).unwrap_or(u64::MAX));
        }
        error
    }

    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds the time to wait: in the header in whole seconds, in the body in milliseconds. Both are rounded up,
    /// so that a client that waits this long is not early.
    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.with(header::RETRY_AFTER, HeaderValue::from(seconds))
    }
}

impl IntoResponse for Refusal {
    fn into_response(mut self) -> Response {
        let (status, own) = (self.status, std::mem::take(&mut self.headers));
        let body = json!({ "errors": [self.into_error()] });
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        let headers: HeaderMap = headers.into_iter().chain(own).collect();
        (status, headers, Body::from(body.to_string())).into_response()
    }
}

/// Quotes a client's text for a message.
pub(crate) fn quoted(sent: &[u8]) -> String {
    match sent.get(..LONGEST_QUOTE) {
        Some(beginning) => format!("\"{}…\"", beginning.escape_ascii()),
        None => format!("\"{}\"", sent.escape_ascii()),
    }
}
