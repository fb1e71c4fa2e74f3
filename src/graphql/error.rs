//! GraphQL errors: the one place where a failure becomes one, and those that need no failure.

use std::time::Duration;

use async_graphql::{Error, ErrorExtensionValues, ServerError, Value, indexmap::IndexMap};

use crate::domain::{Failure, UpstreamAnswer};

/// Codes of errors that concern a request and not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The HTTP request is not a GraphQL request.
    BadRequest,
    /// The document is not GraphQL.
    ParseFailed,
    /// The document does not fit the schema.
    ValidationFailed,
    /// Variables do not fit the operation.
    BadUserInput,
    /// The document has no such operation, or several and none was named.
    OperationResolutionFailure,
    /// The document of a hash is not known: send it along.
    PersistedQueryNotFound,
    /// Only trusted documents are executed, and this is none.
    NotInSafelist,
    /// The request is over a limit.
    QueryTooComplex,
    /// The answer is over the limit of its size.
    ResponseTooLarge,
    /// The caller has not shown who they are.
    Unauthenticated,
    /// The caller asks too often.
    RateLimited,
    /// The gateway has too much to do.
    Overloaded,
    /// The answer's audit events cannot be written, so it is not given.
    AuditUnavailable,
    /// The gateway has a bug.
    Internal,
}

impl ErrorCode {
    /// As it stands in `extensions.code`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::ParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::ValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::OperationResolutionFailure => "OPERATION_RESOLUTION_FAILURE",
            Self::PersistedQueryNotFound => "PERSISTED_QUERY_NOT_FOUND",
            Self::NotInSafelist => "QUERY_NOT_IN_SAFELIST",
            Self::QueryTooComplex => "QUERY_TOO_COMPLEX",
            Self::ResponseTooLarge => "RESPONSE_TOO_LARGE",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::RateLimited => "RATE_LIMITED",
            Self::Overloaded => "OVERLOADED",
            Self::AuditUnavailable => "AUDIT_UNAVAILABLE",
            Self::Internal => "INTERNAL_SERVER_ERROR",
        }
    }
}

impl ErrorCode {
    /// Whether the same request may succeed later; `None` where the code alone says so.
    pub fn retryable(self) -> Option<bool> {
        match self {
            Self::RateLimited | Self::Overloaded | Self::AuditUnavailable => Some(true),
            Self::Unauthenticated | Self::ResponseTooLarge => Some(false),
            Self::BadRequest
            | Self::ParseFailed
            | Self::ValidationFailed
            | Self::BadUserInput
            | Self::OperationResolutionFailure
            | Self::PersistedQueryNotFound
            | Self::NotInSafelist
            | Self::QueryTooComplex
            | Self::Internal => None,
        }
    }
}

/// An error that concerns the whole request.
pub fn request_error(code: ErrorCode, message: impl Into<String>) -> ServerError {
    with_code(ServerError::new(message, None), code)
}

/// The same error with a code.
pub(crate) fn with_code(mut error: ServerError, code: ErrorCode) -> ServerError {
    set_code(&mut error, code);
    error
}

pub(crate) fn set_code(error: &mut ServerError, code: ErrorCode) {
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code.as_str());
    if let Some(retryable) = code.retryable() {
        extensions.set("retryable", retryable);
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
