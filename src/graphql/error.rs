//! GraphQL errors: the one place where a failure becomes one, and those that need no failure.

use std::time::Duration;

use async_graphql::{Error, ErrorExtensionValues, ServerError, Value, indexmap::IndexMap};

use crate::domain::{ErrorCode, Failure, UpstreamAnswer};

/// An error that concerns the whole request.
pub fn request_error(code: ErrorCode, message: impl Into<String>) -> ServerError {
    let mut error = ServerError::new(message, None);
    set_code(&mut error, code);
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

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", failure.code().as_str());
        extensions.set("retryable", failure.is_retryable());
        if let Some(wait) = failure.retry_after() {
            extensions.set("retryAfterMs", millis(wait));
        }
        if let Some(answer) = failure.upstream() {
            extensions.set("upstream", upstream(answer));
        }
        if let Failure::Unreadable(unreadable) = &failure {
            extensions.set("upstream", object([("value", Some(text(&unreadable.value)))]));
        }
        let mut error = Self::new(failure.to_string());
        error.extensions = Some(extensions);
        error
    }
}

fn upstream(answer: &UpstreamAnswer) -> Value {
    let shown = |part: &Option<String>| part.as_deref().map(text);
    object([
        ("status", Some(Value::from(u32::from(answer.status)))),
        ("errorCode", shown(&answer.error_code)),
        ("errorMessage", shown(&answer.error_message)),
        ("requestId", shown(&answer.request_id)),
        ("encodedAuthorizationMessage", shown(&answer.encoded_authorization_message)),
    ])
}

/// An object of the parts that are there.
fn object<const N: usize>(parts: [(&str, Option<Value>); N]) -> Value {
    let present = parts
        .into_iter()
        .filter_map(|(name, value)| Some((async_graphql::Name::new(name), value?)))
        .collect::<IndexMap<_, _>>();
    Value::Object(present)
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn millis(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}
