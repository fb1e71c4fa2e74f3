//! Signing with an access key, the gateway's own or a temporary one.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use super::refusals::Refusals;
use super::token_refresher::Generation;
use super::{Signable, secret_value};
use crate::clock::Clock;
use crate::config::{AccessKey, Live};
use crate::domain::{Failure, Secret};
use crate::signature::{SignableRequest, Signature, date_header};

const SDK_DATE: HeaderName = HeaderName::from_static("x-sdk-date");
const PROJECT_ID: HeaderName = HeaderName::from_static("x-project-id");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-security-token");

/// An access key of the gateway's own and whether it may be used now.
pub(crate) struct SigningKey {
    held: Live<Held>,
    clock: Clock,
}

/// A key and what became of it.
struct Held {
    key: AccessKey,
    /// What was used before that, which calls under way may still carry.
    previous: Option<AccessKey>,
    generation: Generation,
    refusals: Refusals,
}

impl SigningKey {
    pub(crate) fn new(key: AccessKey, clock: Clock) -> Self {
        let (refusals, generation) = (Refusals::default(), Generation::default());
        Self { held: Live::new(Held { key, previous: None, generation, refusals }), clock }
    }

    /// Uses another key from now on; a refusal of the old one says nothing of it. Whether it may be
    /// somebody else's.
    pub(crate) fn change(&self, key: AccessKey) -> bool {
        let held = self.held.get();
        if held.key == key {
            return false;
        }
        let is_other = held.key.access != key.access || held.key.project_id != key.project_id;
        let (previous, refusals) = (Some(held.key.clone()), Refusals::default());
        let generation = held.generation.next();
        self.held.set(Held { key, previous, generation, refusals });
        is_other
    }

    pub(crate) fn project(&self) -> Option<String> {
        self.held.load().key.project_id.clone()
    }

    pub(crate) fn secrets(&self) -> Vec<String> {
        let held = self.held.load();
        let keys = [Some(&held.key), held.previous.as_ref()].into_iter().flatten();
        keys.flat_map(secrets).map(str::to_owned).collect()
    }

    /// Signs a request at this moment, unless the key rests after a refusal.
    pub(crate) fn sign(
        &self,
        headers: &mut HeaderMap,
        host: &str,
        request: &Signable<'_>,
    ) -> Result<Generation, Failure> {
        let held = self.held.load();
        held.refusals.check(self.clock.now())?;
        sign(&held.key, self.clock.timestamp(), (headers, host), request)?;
        Ok(held.generation)
    }

    /// Draws the conclusions of an answer to a call that was signed with the key of some generation.
    pub(crate) fn heed(&self, failure: &Failure, headers: &HeaderMap, used: Generation) {
        let held = self.held.load();
        if held.generation == used {
            held.refusals.heed(failure, headers, &self.clock);
        }
    }

    /// Whether the key rests after a refusal.
    pub(crate) fn is_resting(&self) -> bool {
        self.held.load().refusals.check(self.clock.now()).is_err()
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
