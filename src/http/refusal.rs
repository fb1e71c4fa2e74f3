//! Refusals of HTTP requests: every one a JSON body that a GraphQL client can read.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::graphql::ErrorCode;

/// Why an HTTP request is not executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: ErrorCode,
    message: String,
    headers: Vec<(HeaderName, &'static str)>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new() }
    }

    /// 400: the request is not what GraphQL over HTTP asks for.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, message)
    }

    /// 405, with the methods that are allowed.
    pub(crate) fn method(allowed: &'static str, message: impl Into<String>) -> Self {
        let refusal = Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::BadRequest, message);
        refusal.with(header::ALLOW, allowed)
    }

    /// 503: come back in a second.
    pub(crate) fn overloaded() -> Self {
        let message = "the gateway has too many requests under way";
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Overloaded, message);
        refusal.with(header::RETRY_AFTER, "1")
    }

    pub(crate) fn code(&self) -> ErrorCode {
        self.code
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut extensions = json!({ "code": self.code.as_str() });
        if self.code.is_retryable() {
            extensions = json!({ "code": self.code.as_str(), "retryable": true });
        }
        let body = json!({ "errors": [{ "message": self.message, "extensions": extensions }] });
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            headers.insert(name, HeaderValue::from_static(value));
        }
        (self.status, headers, Body::from(body.to_string())).into_response()
    }
}
