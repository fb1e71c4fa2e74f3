//! What an issuer answers: credentials with a lifetime, or a refusal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use jiff::Timestamp;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::config::AccessKey;
use crate::domain::{ErrorCode, Failure, Refusal, Secret, UpstreamAnswer};

/// The time from which a key of the settings would be renewed.
const FOREVER: Duration = Duration::from_hours(100 * 365 * 24);

/// Credentials for the upstream.
#[derive(Clone)]
pub(crate) enum Issued {
    /// Sent as `X-Auth-Token`.
    Token(Secret),
    /// Signs requests.
    Key(Arc<AccessKey>),
}

/// Credentials and their lifetime.
#[derive(Clone)]
pub(crate) struct Lease {
    pub(crate) issued: Issued,
    /// When they should be renewed.
    pub(crate) renew_at: Instant,
    /// When they end.
    pub(crate) ends_at: Instant,
}

/// A time in which credentials are not used or not asked for, and the failure that is repeated instead.
#[derive(Default)]
pub(crate) struct Pause(Mutex<Option<(Instant, Failure)>>);

impl Issued {
    /// The parts that no text may show.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::Token(token) => vec![token.clone()],
            Self::Key(key) => {
                let parts = [Some(&key.access), Some(&key.secret), key.security_token.as_ref()];
                parts.into_iter().flatten().cloned().collect()
            }
        }
    }
}

impl Lease {
    /// Credentials that end at `ends` and are to be renewed `ahead` of that, given their lifetime.
    pub(crate) fn until(
        ends: Timestamp,
        issued: Issued,
        clock: &Clock,
        ahead: impl Fn(Duration) -> Duration,
    ) -> Self {
        let now = clock.now();
        let life = Duration::try_from(ends.duration_since(clock.timestamp())).unwrap_or_default();
        Self { issued, renew_at: now + life.saturating_sub(ahead(life)), ends_at: now + life }
    }

    /// A key that does not end.
    pub(crate) fn forever(key: AccessKey, clock: &Clock) -> Self {
        let end = clock.now() + FOREVER;
        Self { issued: Issued::Key(Arc::new(key)), renew_at: end, ends_at: end }
    }
}

impl Pause {
    pub(crate) fn begin(&self, until: Instant, failure: &Failure) {
        *self.0.lock() = Some((until, failure.clone()));
    }

    pub(crate) fn end(&self) {
        *self.0.lock() = None;
    }

    /// The failure, during the pause.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Failure> {
        match &*self.0.lock() {
            Some((until, failure)) if now < *until => Err(failure.clone()),
            Some(_) | None => Ok(()),
        }
    }
}

/// The meaning of an issuer's refusal, by its status alone. Its texts may repeat a password or describe this
/// machine, so they are neither logged nor passed on; the id of the request is enough for support.
pub(crate) fn refusal(status: u16, headers: &HeaderMap) -> Failure {
    let (code, retryable) = match status {
        429 => (ErrorCode::RateLimited, true),
        408 | 504 => (ErrorCode::UpstreamTimeout, true),
        503 => (ErrorCode::UpstreamUnavailable, true),
        400..500 => (ErrorCode::UpstreamUnauthenticated, false),
        _ => (ErrorCode::UpstreamError, status >= 500),
    };
    let request_id = headers.get("x-iam-trace-id").and_then(|id| id.to_str().ok());
    let request_id = request_id.map(str::to_owned);
    let answer = UpstreamAnswer { status, request_id, ..UpstreamAnswer::default() };
    Failure::Refused(Refusal { code, retryable, retry_after: None, answer }.into())
}
