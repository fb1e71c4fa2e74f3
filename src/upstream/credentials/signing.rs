//! Signing with an access key: the configured one, or a temporary one.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use super::refusals::Refusals;
use super::token_refresher::Generation;
use crate::clock::Clock;
use crate::config::{AccessKey, Live};
use crate::domain::{Failure, Secret};
use crate::signature::{SignableRequest, Signature, date_header};

const SDK_DATE: HeaderName = HeaderName::from_static("x-sdk-date");
const PROJECT_ID: HeaderName = HeaderName::from_static("x-project-id");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-security-token");

/// The parts of a request that are signed, apart from credentials.
pub(crate) struct Signable<'a> {
    pub(crate) method: &'a str,
    /// The `Host` header.
    pub(crate) host: &'a str,
    /// As it is sent.
    pub(crate) path: &'a str,
    /// Decoded pairs.
    pub(crate) query: &'a [(Cow<'a, str>, Cow<'a, str>)],
    /// JSON; empty for none.
    pub(crate) body: &'a [u8],
    /// The project, if the settings name it; else the key's own counts.
    pub(crate) project: Option<&'a str>,
}

/// The configured access key, and whether it may be used now.
pub(crate) struct SigningKey {
    held: Live<Held>,
    clock: Clock,
}

/// A key and its refusals.
struct Held {
    key: AccessKey,
    /// The earlier key, which calls in flight may still carry.
    previous: Option<AccessKey>,
    generation: Generation,
    refusals: Refusals,
}

impl SigningKey {
    pub(crate) fn new(key: AccessKey, clock: Clock) -> Self {
        let (refusals, generation) = (Refusals::default(), Generation::default());
        Self { held: Live::new(Held { key, previous: None, generation, refusals }), clock }
    }

    /// Changes the key and forgets the refusals of the old one. Returns whether it may belong to another
    /// user.
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

    /// Signs a request, unless the key was refused shortly before.
    pub(crate) fn sign(
        &self,
        headers: &mut HeaderMap,
        request: &Signable<'_>,
    ) -> Result<Generation, Failure> {
        let held = self.held.load();
        held.refusals.check(self.clock.now())?;
        sign(&held.key, self.clock.timestamp(), headers, request)?;
        Ok(held.generation)
    }

    /// Notes the failure of a call that was signed with the key of a generation.
    pub(crate) fn note_failure(&self, failure: &Failure, headers: &HeaderMap, used: Generation) {
        let held = self.held.load();
        if held.generation == used {
            held.refusals.note_failure(failure, headers, &self.clock);
        }
    }

    /// Whether calls are paused after a refusal of the key.
    pub(crate) fn is_paused(&self) -> bool {
        self.held.load().refusals.check(self.clock.now()).is_err()
    }
}

/// The parts of a key that no text may show.
pub(crate) fn secrets(key: &AccessKey) -> Vec<&str> {
    [Some(&key.access), Some(&key.secret), key.security_token.as_ref()]
        .into_iter()
        .flatten()
        .map(Secret::expose)
        .collect()
}

/// Signs a request: adds the signature and the signed headers.
pub(crate) fn sign(
    key: &AccessKey,
    at: Timestamp,
    headers: &mut HeaderMap,
    request: &Signable<'_>,
) -> Result<(), Failure> {
    let date = date_header(at);
    let Signable { method, host, path, query, body, project } = *request;
    let mut signed = vec![("host", host), ("x-sdk-date", date.as_str())];
    if let Some(project) = project.or(key.project_id.as_deref()) {
        signed.push(("x-project-id", project));
        headers.insert(PROJECT_ID, secret_value(project)?);
    }
    if let Some(token) = &key.security_token {
        signed.push(("x-security-token", token.expose()));
        headers.insert(SECURITY_TOKEN, secret_value(token.expose())?);
    }
    if !body.is_empty() {
        signed.push(("content-type", "application/json"));
    }
    let request = SignableRequest { method, path, query, headers: &signed, body };
    let signature = Signature::of(&request, key.secret.expose());
    let authorization = signature.authorization(key.access.expose());
    headers.insert(AUTHORIZATION, secret_value(&authorization)?);
    if let Ok(date) = HeaderValue::from_str(&date) {
        headers.insert(SDK_DATE, date);
    }
    Ok(())
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
