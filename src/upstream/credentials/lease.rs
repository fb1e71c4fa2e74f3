//! Credentials: how a request carries them, how long they live, and what a refusal of them means.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::{AUTHORIZATION, DATE, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::config::AccessKey;
use crate::domain::{ErrorCode, Failure, ProjectId, Refusal, Secret, UpstreamAnswer};
use crate::signature::{SignableRequest, Signature, date_header};

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const SDK_DATE: HeaderName = HeaderName::from_static("x-sdk-date");
const PROJECT_ID: HeaderName = HeaderName::from_static("x-project-id");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-security-token");
/// The time from which a key of the settings would be renewed.
const FOREVER: Duration = Duration::from_hours(100 * 365 * 24);
/// Clock skew that is reported; the upstream refuses at 15 minutes.
pub(crate) const NOTABLE_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Credentials for the upstream.
#[derive(Clone, PartialEq, Eq)]
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
    pub(crate) fn secrets(&self) -> Vec<&str> {
        let parts = match self {
            Self::Token(token) => [Some(token), None, None],
            Self::Key(key) => [Some(&key.access), Some(&key.secret), key.security_token.as_ref()],
        };
        parts.into_iter().flatten().map(Secret::expose).collect()
    }

    /// Adds the credentials to the headers of a request: the token, or a signature and the signed headers.
    /// Without a `project` that of the key counts.
    pub(crate) fn authorize(
        &self,
        headers: &mut HeaderMap,
        project: Option<&ProjectId>,
        at: Timestamp,
        request: &SignableRequest<'_>,
    ) -> Result<(), Failure> {
        let key = match self {
            Self::Token(token) => {
                headers.insert(AUTH_TOKEN, secret_value(token.expose())?);
                return Ok(());
            }
            Self::Key(key) => key,
        };
        let date = date_header(at);
        let mut signed = [request.headers, &[("x-sdk-date", date.as_str())]].concat();
        if let Some(project) = project.map(ProjectId::as_str).or(key.project_id.as_deref()) {
            signed.push(("x-project-id", project));
            headers.insert(PROJECT_ID, secret_value(project)?);
        }
        if let Some(token) = &key.security_token {
            signed.push(("x-security-token", token.expose()));
            headers.insert(SECURITY_TOKEN, secret_value(token.expose())?);
        }
        if !request.body.is_empty() {
            signed.push(("content-type", "application/json"));
        }
        let signature =
            Signature::of(&SignableRequest { headers: &signed, ..*request }, key.secret.expose());
        let authorization = signature.authorization(key.access.expose());
        headers.insert(AUTHORIZATION, secret_value(&authorization)?);
        if let Ok(date) = HeaderValue::from_str(&date) {
            headers.insert(SDK_DATE, date);
        }
        Ok(())
    }
}

/// A header value that debug output and HTTP/2's compression tables leave out.
pub(crate) fn secret_value(text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text).map_err(|_| Failure::BadInput {
        argument: "X-Auth-Token",
        problem: "holds characters that no header can carry".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
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

/// How far the clock of a response is ahead of this machine's, if it has a `Date`.
pub(crate) fn clock_skew(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(theirs.duration_since(now))
}

/// Logs an error if the clock of a refusal differs from this machine's, a common reason for it.
pub(crate) fn report_clock_skew(headers: &HeaderMap, now: Timestamp) {
    if let Some(skew) = clock_skew(headers, now).filter(|skew| skew.abs() > NOTABLE_SKEW) {
        tracing::error!(
            skew_seconds = skew.as_secs(),
            "the upstream refused credentials and its clock differs from this machine's"
        );
    }
}
