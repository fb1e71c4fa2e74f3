//! Signing with an access key, the gateway's own or a temporary one.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use super::refusals::Refusals;
use super::{Signable, secret_value};
use crate::clock::Clock;
use crate::config::AccessKey;
use crate::domain::{Failure, Secret};
use crate::signature::{SignableRequest, Signature, date_header};

const SDK_DATE: HeaderName = HeaderName::from_static("x-sdk-date");
const PROJECT_ID: HeaderName = HeaderName::from_static("x-project-id");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-security-token");

/// An access key of the gateway's own and whether it may be used now.
pub(crate) struct SigningKey {
    key: AccessKey,
    clock: Clock,
    refusals: Refusals,
}

impl SigningKey {
    pub(crate) fn new(key: AccessKey, clock: Clock) -> Self {
        Self { key, clock, refusals: Refusals::default() }
    }

    pub(crate) fn project(&self) -> Option<&str> {
        self.key.project_id.as_deref()
    }

    pub(crate) fn secrets(&self) -> Vec<&str> {
        secrets(&self.key)
    }

    /// Signs a request at this moment, unless the key rests after a refusal.
    pub(crate) fn sign(
        &self,
        headers: &mut HeaderMap,
        host: &str,
        request: &Signable<'_>,
    ) -> Result<(), Failure> {
        self.refusals.check(self.clock.now())?;
        sign(&self.key, self.clock.timestamp(), (headers, host), request)
    }

    pub(crate) fn heed(&self, failure: &Failure, headers: &HeaderMap) {
        self.refusals.heed(failure, headers, &self.clock);
    }

    /// Whether the key rests after a refusal.
    pub(crate) fn is_resting(&self) -> bool {
        self.refusals.check(self.clock.now()).is_err()
    }
}

/// What of a key must not stand in any text.
pub(crate) fn secrets(key: &AccessKey) -> Vec<&str> {
    [Some(&key.access), Some(&key.secret), key.security_token.as_ref()]
        .into_iter()
        .flatten()
        .map(Secret::expose)
        .collect()
}

/// Signs a request: puts the signature and what it covers into its headers.
pub(crate) fn sign(
    key: &AccessKey,
    at: Timestamp,
    (headers, host): (&mut HeaderMap, &str),
    request: &Signable<'_>,
) -> Result<(), Failure> {
    let date = date_header(at);
    let mut signed = vec![("host", host), ("x-sdk-date", date.as_str())];
    if let Some(project) = &key.project_id {
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
    let Signable { method, path, query, body } = *request;
    let request = SignableRequest { method, path, query, headers: &signed, body };
    let signature = Signature::of(&request, key.secret.expose());
    let authorization = signature.authorization(key.access.expose());
    headers.insert(AUTHORIZATION, secret_value(&authorization)?);
    if let Ok(date) = HeaderValue::from_str(&date) {
        headers.insert(SDK_DATE, date);
    }
    Ok(())
}
