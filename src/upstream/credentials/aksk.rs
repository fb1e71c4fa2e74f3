//! Signing with an access key of the gateway's own.
//!
//! The API gateway locks a key for five minutes after more than five refusals in a row, see
//! <https://support.huaweicloud.com/eu/nl-nl/devg-apisign/api-sign-0001.html>. So after one refusal of
//! the key the gateway stops calling for that long and repeats the refusal itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, DATE, HeaderMap, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};

use super::{Signable, secret_value};
use crate::clock::Clock;
use crate::config::AccessKey;
use crate::domain::{Failure, RefusalKind, Secret};
use crate::signature::{SignableRequest, Signature, date_header};

const SDK_DATE: HeaderName = HeaderName::from_static("x-sdk-date");
const PROJECT_ID: HeaderName = HeaderName::from_static("x-project-id");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-security-token");

/// How long a key rests after a refusal: as long as the upstream would lock it.
const REST: Duration = Duration::from_mins(5);
/// How far the clocks may be apart before it is worth a word; the upstream refuses at 15 minutes.
const NOTABLE_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// An access key and whether it may be used now.
pub(crate) struct SigningKey {
    key: AccessKey,
    clock: Clock,
    resting: Mutex<Option<Resting>>,
}

struct Resting {
    until: Instant,
    refusal: Failure,
}

impl SigningKey {
    pub(crate) fn new(key: AccessKey, clock: Clock) -> Self {
        Self { key, clock, resting: Mutex::default() }
    }

    pub(crate) fn project(&self) -> Option<&str> {
        self.key.project_id.as_deref()
    }

    pub(crate) fn secrets(&self) -> Vec<&str> {
        let token = self.key.security_token.as_ref();
        [Some(&self.key.access), Some(&self.key.secret), token]
            .into_iter()
            .flatten()
            .map(Secret::expose)
            .collect()
    }

    /// Signs a request at this moment.
    pub(crate) fn sign(
        &self,
        headers: &mut HeaderMap,
        host: &str,
        request: &Signable<'_>,
    ) -> Result<(), Failure> {
        self.check_not_resting()?;
        let date = date_header(self.clock.timestamp());
        let mut signed = vec![("host", host), ("x-sdk-date", date.as_str())];
        if let Some(project) = &self.key.project_id {
            signed.push(("x-project-id", project));
            headers.insert(PROJECT_ID, secret_value(project)?);
        }
        if let Some(token) = &self.key.security_token {
            signed.push(("x-security-token", token.expose()));
            headers.insert(SECURITY_TOKEN, secret_value(token.expose())?);
        }
        if !request.body.is_empty() {
            signed.push(("content-type", "application/json"));
        }
        let Signable { method, path, query, body } = *request;
        let request = SignableRequest { method, path, query, headers: &signed, body };
        let signature = Signature::of(&request, self.key.secret.expose());
        let authorization = signature.authorization(self.key.access.expose());
        headers.insert(AUTHORIZATION, secret_value(&authorization)?);
        if let Ok(date) = HeaderValue::from_str(&date) {
            headers.insert(SDK_DATE, date);
        }
        Ok(())
    }

    /// Lets the key rest after the API gateway has refused it, and says so where the clock is why.
    pub(crate) fn heed(&self, failure: &Failure, headers: &HeaderMap) {
        if !refuses_the_key(failure) {
            return;
        }
        if let Some(skew) = skew(headers, self.clock.timestamp()) {
            tracing::error!(
                skew_seconds = skew.as_secs(),
                "the upstream refused a signature and its clock differs from this machine's"
            );
        }
        tracing::error!(
            rest_seconds = REST.as_secs(),
            "the upstream refused the access key: calls stop, so that the key is not locked"
        );
        let until = self.clock.now() + REST;
        *self.resting() = Some(Resting { until, refusal: failure.clone() });
    }

    /// Whether the key rests after a refusal.
    pub(crate) fn is_resting(&self) -> bool {
        self.check_not_resting().is_err()
    }

    fn check_not_resting(&self) -> Result<(), Failure> {
        match &*self.resting() {
            Some(rest) if self.clock.now() < rest.until => Err(rest.refusal.clone()),
            Some(_) | None => Ok(()),
        }
    }

    fn resting(&self) -> MutexGuard<'_, Option<Resting>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it was the API gateway's check of the key, and not the service behind it, that refused.
fn refuses_the_key(failure: &Failure) -> bool {
    let Failure::Refused(refusal) = failure else { return false };
    let code = refusal.answer.error_code.as_deref().unwrap_or_default();
    refusal.kind == RefusalKind::GatewayUnauthenticated && code.ends_with(".0301")
}

fn skew(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    let skew = theirs.duration_since(now);
    (skew.abs() > NOTABLE_SKEW).then_some(skew)
}
