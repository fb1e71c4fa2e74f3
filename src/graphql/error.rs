//! GraphQL errors: the one place where a failure becomes one, and those that need no failure.

use async_graphql::indexmap::IndexMap;
use async_graphql::{Error, ErrorExtensionValues, Name, Pos, ServerError, Value, value};

use super::limits::LimitExceeded;
use crate::domain::{ErrorCode, Failure, UpstreamAnswer};

/// An error that concerns the whole request.
pub fn request_error(code: ErrorCode, message: impl Into<String>) -> ServerError {
    let mut error = ServerError::new(message, None);
    set_code(&mut error, code);
    error
}

/// An error of the request that stands at a place of the document.
pub(crate) fn located_error(code: ErrorCode, message: impl Into<String>, at: Pos) -> ServerError {
    let mut error = request_error(code, message);
    error.locations.push(at);
    error
}

pub(crate) fn set_code(error: &mut ServerError, code: ErrorCode) {
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code.as_str());
    match code {
        ErrorCode::RateLimited | ErrorCode::Overloaded | ErrorCode::AuditUnavailable => {
            extensions.set("retryable", true);
        }
        ErrorCode::Unauthenticated | ErrorCode::ResponseTooLarge => {
            extensions.set("retryable", false);
        }
        // The code alone says so.
        _ => {}
    }
    error.extensions = Some(extensions);
}

impl From<LimitExceeded> for ServerError {
    fn from(exceeded: LimitExceeded) -> Self {
        request_error(ErrorCode::QueryTooComplex, exceeded.to_string())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", failure.code().as_str());
        extensions.set("retryable", failure.is_retryable());
        if let Some(wait) = failure.retry_after() {
            let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
            extensions.set("retryAfterMs", wait);
        }
        if let Some(answer) = failure.upstream() {
            extensions.set("upstream", upstream(answer));
        }
        if let Failure::Unreadable(unreadable) = &failure {
            extensions.set("upstream", value!({ "value": unreadable.value.clone() }));
        }
        let mut error = Self::new(failure.to_string());
        error.extensions = Some(extensions);
        error
    }
}

/// What the upstream said, without absent parts.
fn upstream(answer: &UpstreamAnswer) -> Value {
    let status = Value::from(u32::from(answer.status));
    let mut said = IndexMap::from([(Name::new("status"), status)]);
    for (name, part) in [
        ("errorCode", &answer.error_code),
        ("errorMessage", &answer.error_message),
        ("requestId", &answer.request_id),
        ("encodedAuthorizationMessage", &answer.encoded_authorization_message),
    ] {
        said.extend(part.as_deref().map(|part| (Name::new(name), Value::from(part))));
    }
    Value::Object(said)
}
