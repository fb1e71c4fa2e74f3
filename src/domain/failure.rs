//! Everything that can go wrong with a read, and what each failure means.

use std::sync::Arc;
use std::time::Duration;

use super::{Permission, Unreadable};

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
        permission: Permission,
    },
    /// There is no such recording, or it is invisible to this caller. Restricted callers get no other answer
    /// in either case.
    #[error("there is no such recording")]
    NotVisible,
    /// The upstream answered with an error.
    #[error("{}", .0.kind)]
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
    pub kind: RefusalKind,
    /// Whether the same read may succeed later.
    pub retryable: bool,
    /// How long the upstream asks to wait.
    pub retry_after: Option<Duration>,
    /// What it said, redacted.
    pub answer: UpstreamAnswer,
}

/// The meanings of an upstream's error answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RefusalKind {
    /// The request is invalid.
    #[error("the upstream refused the request as invalid")]
    Invalid,
    /// The caller's token is not accepted.
    #[error("the upstream did not accept the token")]
    CallerUnauthenticated,
    /// The gateway's own credentials are not accepted.
    #[error("the upstream did not accept the gateway's own credentials")]
    GatewayUnauthenticated,
    /// The credentials may not do this.
    #[error("the upstream denied access")]
    Forbidden,
    /// There is no such record.
    #[error("the upstream has no such recording")]
    NotFound,
    /// The state does not allow it now.
    #[error("the upstream reported a conflict")]
    Conflict,
    /// Too many requests.
    #[error("the upstream limited the rate of requests")]
    Throttled,
    /// The upstream or its set-up is at fault.
    #[error("the upstream answered with an error")]
    Broken,
    /// The upstream says it is out of service.
    #[error("the upstream is out of service")]
    OutOfService,
    /// The upstream says that something behind it took too long.
    #[error("the upstream reported a timeout")]
    TimedOut,
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
        let Self {
            status: _,
            error_code,
            error_message,
            request_id,
            encoded_authorization_message,
        } = self;
        let texts = [error_code, error_message, request_id, encoded_authorization_message];
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

macro_rules! failure_codes {
    ($($(#[$doc:meta])* $code:ident => $text:literal,)*) => {
        /// The stable code that clients branch on, `extensions.code`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FailureCode {
            $($(#[$doc])* $code,)*
        }

        impl FailureCode {
            /// Every code.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$code),*];

            /// The text in `extensions.code`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $text,)*
                }
            }
        }
    };
}

failure_codes! {
    /// The request itself is wrong.
    BadUserInput => "BAD_USER_INPUT",
    /// The caller has to authenticate.
    Unauthenticated => "UNAUTHENTICATED",
    /// The gateway's own credentials are refused.
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
    /// The upstream is out of reach.
    UpstreamUnavailable => "UPSTREAM_UNAVAILABLE",
    /// The upstream took too long.
    UpstreamTimeout => "UPSTREAM_TIMEOUT",
    /// The upstream's answer is not what it documents.
    UpstreamInvalidResponse => "UPSTREAM_INVALID_RESPONSE",
    /// The answer is over the limit of its size.
    ResponseTooLarge => "RESPONSE_TOO_LARGE",
    /// The gateway has too much to do.
    Overloaded => "OVERLOADED",
}

/// What follows from a failure.
struct Meaning {
    code: FailureCode,
    /// Whether the same read may succeed later.
    is_retryable: bool,
    /// Whether older data may be served in its place.
    permits_stale: bool,
}

/// Neither a later read nor older data helps.
const fn lasting(code: FailureCode) -> Meaning {
    Meaning { code, is_retryable: false, permits_stale: false }
}

/// A later read may succeed; older data must not be served.
const fn passing(code: FailureCode) -> Meaning {
    Meaning { is_retryable: true, ..lasting(code) }
}

/// The upstream is out of reach, too slow, throttling or broken, but has not said that the data or the right to it
/// is gone.
const fn outage(code: FailureCode) -> Meaning {
    Meaning { permits_stale: true, ..passing(code) }
}

impl Failure {
    fn meaning(&self) -> Meaning {
        match self {
            Self::BadInput { .. } => lasting(FailureCode::BadUserInput),
            Self::TokenMissing => lasting(FailureCode::Unauthenticated),
            Self::ProjectNotAllowed | Self::TokenOfOneProject | Self::NotPermitted { .. } => {
                lasting(FailureCode::Forbidden)
            }
            Self::NotVisible => lasting(FailureCode::NotFound),
            Self::Refused(refusal) => refusal.meaning(),
            Self::Unreachable(_) => outage(FailureCode::UpstreamUnavailable),
            Self::TimedOut(_) => outage(FailureCode::UpstreamTimeout),
            Self::Malformed { .. } | Self::Unreadable(_) => {
                lasting(FailureCode::UpstreamInvalidResponse)
            }
            Self::TooManyWatched { .. } => passing(FailureCode::RateLimited),
            Self::ResponseTooLarge => passing(FailureCode::ResponseTooLarge),
            Self::Overloaded => passing(FailureCode::Overloaded),
        }
    }

    /// The stable code that clients branch on.
    pub fn code(&self) -> FailureCode {
        self.meaning().code
    }

    /// Whether the same read may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.meaning().is_retryable
    }

    /// Whether older data may be served in this failure's place.
    pub fn permits_stale(&self) -> bool {
        self.meaning().permits_stale
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
        match (refusal.kind, refusal.answer.status) {
            (RefusalKind::CallerUnauthenticated | RefusalKind::GatewayUnauthenticated, _)
            | (_, 401) => Some(Revoked::Credentials),
            (RefusalKind::NotFound | RefusalKind::Forbidden, _) | (_, 403 | 404) => {
                Some(Revoked::Resource)
            }
            _ => None,
        }
    }
}

impl Refusal {
    fn meaning(&self) -> Meaning {
        let meaning = match self.kind {
            RefusalKind::Invalid => lasting(FailureCode::BadUserInput),
            RefusalKind::CallerUnauthenticated => lasting(FailureCode::Unauthenticated),
            RefusalKind::GatewayUnauthenticated => lasting(FailureCode::UpstreamUnauthenticated),
            RefusalKind::Forbidden => lasting(FailureCode::Forbidden),
            RefusalKind::NotFound => lasting(FailureCode::NotFound),
            RefusalKind::Conflict => lasting(FailureCode::Conflict),
            RefusalKind::Throttled => outage(FailureCode::RateLimited),
            RefusalKind::Broken if self.answer.status < 500 => lasting(FailureCode::UpstreamError),
            RefusalKind::Broken => outage(FailureCode::UpstreamError),
            RefusalKind::OutOfService => outage(FailureCode::UpstreamUnavailable),
            RefusalKind::TimedOut => outage(FailureCode::UpstreamTimeout),
        };
        // The tables of the upstream's codes say it more precisely than the kind.
        Meaning { is_retryable: self.retryable, ..meaning }
    }
}
