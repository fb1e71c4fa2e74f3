//! Everything that can go wrong with a read, and what each failure means.

use std::sync::Arc;
use std::time::Duration;

use super::Unreadable;

/// Why there is no answer, or no value for one field.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// An argument was refused before anything was sent.
    #[error("argument {argument} {problem}")]
    BadInput {
        /// Name of the argument.
        argument: &'static str,
        /// What is wrong and what is allowed, as a clause.
        problem: String,
    },
    /// The upstream needs the caller's token and none came.
    #[error(
        "no token for the upstream was sent: give X-Auth-Token, or Authorization: Bearer where the \
         gateway itself asks for none"
    )]
    TokenMissing,
    /// The gateway's settings do not allow the project, or not to this caller.
    #[error("this gateway does not serve the project, or not to this caller")]
    ProjectNotAllowed,
    /// The caller's token is for one project, so that it cannot read several.
    #[error(
        "a token of the upstream is for one project: send it with a query for that project, by its id"
    )]
    TokenOfOneProject,
    /// The caller has no permission for a field of a recording.
    #[error("this caller has no permission for this field: it needs {permission}")]
    NotPermitted {
        /// What the field needs.
        permission: &'static str,
    },
    /// There is no such recording, or it is invisible to this caller. Restricted callers get no other answer
    /// in either case.
    #[error("there is no such recording")]
    NotVisible,
    /// The upstream answered with an error.
    #[error("the upstream {}", .0.clause())]
    Refused(Arc<Refusal>),
    /// The upstream gave no answer.
    #[error("the upstream {0}")]
    Unreachable(Unreachable),
    /// A time limit ended the call.
    #[error("{0}")]
    TimedOut(TimeLimit),
    /// The upstream answered with success, but not with what its documents promise.
    #[error("the upstream's answer {problem}")]
    Malformed {
        /// What is wrong, as a clause.
        problem: String,
        /// What else is known of the answer.
        answer: Arc<UpstreamAnswer>,
    },
    /// One field of an otherwise good answer could not be read.
    #[error("the upstream's value {}", .0.problem)]
    Unreadable(Arc<Unreadable>),
    /// The caller watches as much as one caller may.
    #[error(
        "this caller may watch {limit} recordings at a time, of which a list counts as 50, and watches as \
         many already"
    )]
    TooManyWatched {
        /// How many recordings one caller may watch.
        limit: usize,
    },
    /// The answer has become larger than `limits.max_response_bytes`, so this part of it is not made.
    #[error("the answer is larger than limits.max_response_bytes allows")]
    ResponseTooLarge,
    /// The gateway has more to do than it is allowed to take on.
    #[error("the gateway is overloaded")]
    Overloaded,
}

/// An error answer of the upstream and what it means.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What it means.
    pub code: ErrorCode,
    /// Whether the same read may succeed later.
    pub retryable: bool,
    /// How long the upstream asks to wait.
    pub retry_after: Option<Duration>,
    /// What it said, redacted.
    pub answer: UpstreamAnswer,
}

/// What the upstream said along with an answer. Absent parts are left out of errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamAnswer {
    /// HTTP status.
    pub status: u16,
    /// The error code of the body.
    pub error_code: Option<String>,
    /// The error message of the body, redacted and cut at 1,000 characters.
    pub error_message: Option<String>,
    /// The upstream's id of the request.
    pub request_id: Option<String>,
    /// Encrypted reason of a denial, for its owner to decode; only for the caller's own token.
    pub encoded_authorization_message: Option<String>,
}

impl UpstreamAnswer {
    /// How many bytes its texts have.
    pub fn text_bytes(&self) -> usize {
        let texts = [
            &self.error_code,
            &self.error_message,
            &self.request_id,
            &self.encoded_authorization_message,
        ];
        texts.into_iter().flatten().map(String::len).sum()
    }
}

/// What a refusal says is gone. No copy of it may be served any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// The credentials of the call, and with them everything they could see.
    Credentials,
    /// What was asked for, or the right to see it.
    Resource,
}

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unreachable {
    /// Name resolution, connection or TLS set-up.
    #[error("cannot be reached")]
    Connect,
    /// The connection broke under the request.
    #[error("closed the connection")]
    Cut,
    /// The circuit breaker is open.
    #[error("is not called for now, after too many failures")]
    CircuitOpen {
        /// When it will be tried again.
        retry_after: Duration,
    },
}

/// Which time limit ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TimeLimit {
    /// `upstream.connect_timeout`
    #[error("the upstream could not be connected to in time")]
    Connect,
    /// `upstream.attempt_timeout`
    #[error("the upstream did not answer in time")]
    Attempt,
    /// `upstream.deadline`
    #[error("the upstream did not answer before the deadline")]
    Deadline,
    /// `limits.request_timeout`
    #[error("the operation took longer than is allowed")]
    Operation,
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $code:ident => $text:literal,)*) => {
        /// The stable code that clients branch on, `extensions.code`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $code,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// The text in `extensions.code`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $text,)*
                }
            }
        }
    };
}

error_codes! {
    /// The HTTP request is not a GraphQL request.
    BadRequest => "BAD_REQUEST",
    /// The document is not GraphQL.
    ParseFailed => "GRAPHQL_PARSE_FAILED",
    /// The document does not fit the schema.
    ValidationFailed => "GRAPHQL_VALIDATION_FAILED",
    /// The document has no such operation, or several and none is named.
    OperationResolutionFailure => "OPERATION_RESOLUTION_FAILURE",
    /// The gateway does not know the document of a hash: the client sends it along.
    PersistedQueryNotFound => "PERSISTED_QUERY_NOT_FOUND",
    /// Only trusted documents are executed, and this is not one.
    NotInSafelist => "QUERY_NOT_IN_SAFELIST",
    /// The request exceeds a limit.
    QueryTooComplex => "QUERY_TOO_COMPLEX",
    /// An argument or a variable is wrong.
    BadUserInput => "BAD_USER_INPUT",
    /// The caller must authenticate.
    Unauthenticated => "UNAUTHENTICATED",
    /// The upstream refuses the gateway's own credentials.
    UpstreamUnauthenticated => "UPSTREAM_UNAUTHENTICATED",
    /// The caller may not see this.
    Forbidden => "FORBIDDEN",
    /// There is no such record.
    NotFound => "NOT_FOUND",
    /// The state does not allow it now.
    Conflict => "CONFLICT",
    /// Too many requests.
    RateLimited => "RATE_LIMITED",
    /// The upstream failed.
    UpstreamError => "UPSTREAM_ERROR",
    /// The upstream cannot be reached, or is out of service.
    UpstreamUnavailable => "UPSTREAM_UNAVAILABLE",
    /// The upstream took too long.
    UpstreamTimeout => "UPSTREAM_TIMEOUT",
    /// The upstream's answer is not what it documents.
    UpstreamInvalidResponse => "UPSTREAM_INVALID_RESPONSE",
    /// The response exceeds the limit of its size.
    ResponseTooLarge => "RESPONSE_TOO_LARGE",
    /// The gateway has too much to do.
    Overloaded => "OVERLOADED",
    /// The audit events of the response cannot be written, so it is not sent.
    AuditUnavailable => "AUDIT_UNAVAILABLE",
    /// The gateway has a bug.
    Internal => "INTERNAL_SERVER_ERROR",
}

impl Failure {
    /// The stable code that clients branch on.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::BadInput { .. } => ErrorCode::BadUserInput,
            Self::TokenMissing => ErrorCode::Unauthenticated,
            Self::ProjectNotAllowed | Self::TokenOfOneProject | Self::NotPermitted { .. } => {
                ErrorCode::Forbidden
            }
            Self::NotVisible => ErrorCode::NotFound,
            Self::Refused(refusal) => refusal.code,
            Self::Unreachable(_) => ErrorCode::UpstreamUnavailable,
            Self::TimedOut(_) => ErrorCode::UpstreamTimeout,
            Self::Malformed { .. } | Self::Unreadable(_) => ErrorCode::UpstreamInvalidResponse,
            Self::TooManyWatched { .. } => ErrorCode::RateLimited,
            Self::ResponseTooLarge => ErrorCode::ResponseTooLarge,
            Self::Overloaded => ErrorCode::Overloaded,
        }
    }

    /// Whether the same read may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            // The tables of the upstream's codes say it more precisely than the code.
            Self::Refused(refusal) => refusal.retryable,
            Self::Unreachable(_)
            | Self::TimedOut(_)
            | Self::TooManyWatched { .. }
            | Self::Overloaded => true,
            Self::BadInput { .. }
            | Self::TokenMissing
            | Self::ProjectNotAllowed
            | Self::TokenOfOneProject
            | Self::NotPermitted { .. }
            | Self::NotVisible
            | Self::Malformed { .. }
            | Self::Unreadable(_)
            | Self::ResponseTooLarge => false,
        }
    }

    /// Whether older data may be served in this failure's place: the upstream is out of reach, too slow,
    /// throttling or broken, but has not said that the data or the right to it is gone.
    pub fn permits_stale(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut(_) => true,
            Self::Refused(refusal) => match refusal.code {
                ErrorCode::RateLimited
                | ErrorCode::UpstreamUnavailable
                | ErrorCode::UpstreamTimeout => true,
                ErrorCode::UpstreamError => refusal.answer.status >= 500,
                _ => false,
            },
            _ => false,
        }
    }

    /// How long to wait before asking again, if known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unreachable(Unreachable::CircuitOpen { retry_after }) => Some(*retry_after),
            _ => self.refusal()?.retry_after,
        }
    }

    /// The refusal of the upstream, if it is one.
    fn refusal(&self) -> Option<&Refusal> {
        if let Self::Refused(refusal) = self { Some(refusal) } else { None }
    }

    /// What the upstream said, where it said anything.
    pub fn upstream(&self) -> Option<&UpstreamAnswer> {
        match self {
            Self::Malformed { answer, .. } => Some(answer),
            _ => self.refusal().map(|refusal| &refusal.answer),
        }
    }

    /// The HTTP status of the upstream's answer, where there was one.
    pub fn upstream_status(&self) -> Option<u16> {
        self.upstream().map(|answer| answer.status)
    }

    /// What this says is gone, if anything.
    pub fn revokes(&self) -> Option<Revoked> {
        let refusal = self.refusal()?;
        match (refusal.code, refusal.answer.status) {
            (ErrorCode::Unauthenticated | ErrorCode::UpstreamUnauthenticated, _) | (_, 401) => {
                Some(Revoked::Credentials)
            }
            (ErrorCode::NotFound | ErrorCode::Forbidden, _) | (_, 403 | 404) => {
                Some(Revoked::Resource)
            }
            _ => None,
        }
    }
}

impl Refusal {
    /// What the upstream said, as a clause.
    fn clause(&self) -> &'static str {
        match self.code {
            ErrorCode::BadUserInput => "refused the request as invalid",
            ErrorCode::Unauthenticated => "did not accept the token",
            ErrorCode::UpstreamUnauthenticated => "did not accept the gateway's own credentials",
            ErrorCode::Forbidden => "denied access",
            ErrorCode::NotFound => "has no such recording",
            ErrorCode::Conflict => "reported a conflict",
            ErrorCode::RateLimited => "limited the rate of requests",
            ErrorCode::UpstreamUnavailable => "is out of service",
            ErrorCode::UpstreamTimeout => "reported a timeout",
            _ => "answered with an error",
        }
    }
}
