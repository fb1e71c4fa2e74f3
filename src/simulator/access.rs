//! Authentication: tokens, and signatures made with an access key.

use std::borrow::Cow;
use std::collections::HashMap;

use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;

use super::config::SimulatorConfig;
use super::issuers::{Iam, Metadata, same};
use crate::signature::{ALGORITHM, DATE_FORMAT, SignableRequest, Signature, canonical_query};

/// How far a signature's time may be from ours.
const WINDOW: SignedDuration = SignedDuration::from_mins(15);
/// Failures in a row before a key is locked.
const FORGIVEN: u32 = 5;
/// How long a key is locked.
const LOCK: SignedDuration = SignedDuration::from_mins(5);
/// Keys whose failures are counted.
const MOST_KEYS: usize = 1000;

/// Why a request is not let in.
pub(super) struct Denied {
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// What is accepted.
pub(super) struct Access {
    pub(super) config: SimulatorConfig,
    /// By access key.
    failures: Mutex<HashMap<String, Failures>>,
    pub(super) iam: Iam,
    pub(super) metadata: Metadata,
}

/// Failures in a row, and the last of them.
#[derive(Clone, Copy, Default)]
struct Failures {
    in_a_row: u32,
    last: Timestamp,
}

/// An `Authorization` value, taken apart.
struct Claim<'h> {
    access: &'h str,
    signed_headers: &'h str,
    signature: &'h str,
}

impl Access {
    pub(super) fn new(config: SimulatorConfig) -> Self {
        let (iam, metadata) = (Iam::default(), Metadata::default());
        Self { config, failures: Mutex::default(), iam, metadata }
    }

    /// Lets a request in, or says why not.
    pub(super) fn check(&self, parts: &Parts, body: &[u8], now: Timestamp) -> Result<(), Denied> {
        if let Some(token) = text(&parts.headers, "x-auth-token") {
            return self.check_token(token, now);
        }
        let claim = text(&parts.headers, "authorization").and_then(Claim::parse);
        let Some(claim) = claim else { return Err(Denied::iam("decrypt token fail")) };
        let mut failures = self.failures.lock();
        let Failures { in_a_row, last } = failures.get(claim.access).copied().unwrap_or_default();
        if in_a_row > FORGIVEN && now.duration_since(last) < LOCK {
            return Err(Denied::iam("AK access failed to reach the limit,forbidden"));
        }
        let checked = self.check_signature(parts, body, &claim, now);
        // Unknown keys are counted as well, up to a limit.
        if checked.is_ok() || failures.len() > MOST_KEYS {
            failures.remove(claim.access);
        } else {
            let in_a_row = if in_a_row > FORGIVEN { 1 } else { in_a_row + 1 };
            failures.insert(claim.access.to_owned(), Failures { in_a_row, last: now });
        }
        checked
    }

    fn check_token(&self, token: &str, now: Timestamp) -> Result<(), Denied> {
        let is_listed = self.config.tokens.iter().any(|known| same(known, token));
        match self.iam.end_of(token) {
            Some(ends) if now >= ends => {
                let message = "The token must be updated.".to_owned();
                Err(Denied { code: "APIGW.0307", message })
            }
            None if !is_listed => Err(Denied::iam("decrypt token fail")),
            Some(_) | None => Ok(()),
        }
    }

    fn check_signature(
        &self,
        parts: &Parts,
        body: &[u8],
        claim: &Claim<'_>,
        now: Timestamp,
    ) -> Result<(), Denied> {
        let temporary = self.metadata.key(claim.access, now);
        let mut permanent = self.config.access_keys.iter();
        let permanent = permanent.find(|(access, _)| access == claim.access);
        let secret = temporary.as_ref().map(|key| &key.secret).or(permanent.map(|(_, key)| key));
        let Some(secret) = secret else {
            let key = claim.access;
            return Err(Denied::iam(&format!("Get secretKey failed,ak:{key},err:ak not exist")));
        };
        let wrong = || Denied::iam("verify aksk signature fail");
        let headers = signed_headers(parts, claim.signed_headers).ok_or_else(wrong)?;
        let value = |wanted: &str| {
            headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value)
        };
        let (Some(date), Some(_)) = (value("x-sdk-date"), value("host")) else {
            return Err(wrong());
        };
        // A security token comes with a temporary key, signed along, and with no other.
        let expected = temporary.as_ref().map(|key| key.security_token.as_str());
        if value("x-security-token") != expected
            || parts.headers.contains_key("x-security-token") != expected.is_some()
        {
            return Err(wrong());
        }
        check_date(date, now)?;
        let query = decoded_query(parts.uri.query().unwrap_or_default());
        let query = canonical_query(query.iter().map(|(name, value)| (&**name, &**value)));
        let request = SignableRequest {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: &query,
            headers: &headers,
            body,
        };
        let expected = Signature::of(&request, secret).signature;
        if same(&expected, claim.signature) { Ok(()) } else { Err(wrong()) }
    }
}

impl Denied {
    fn iam(cause: &str) -> Self {
        let message = format!("Incorrect IAM authentication information: {cause}");
        Self { code: "APIGW.0301", message }
    }
}

impl<'h> Claim<'h> {
    fn parse(value: &'h str) -> Option<Self> {
        let rest = value.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
        let mut claim = Self { access: "", signed_headers: "", signature: "" };
        for part in rest.split(',') {
            match part.trim().split_once('=')? {
                ("Access", access) => claim.access = access,
                ("SignedHeaders", names) => claim.signed_headers = names,
                ("Signature", signature) => claim.signature = signature,
                _ => return None,
            }
        }
        Some(claim)
    }
}

/// The listed headers with their values; over HTTP/2 the host is the authority.
fn signed_headers<'p>(parts: &'p Parts, names: &'p str) -> Option<Vec<(&'p str, &'p str)>> {
    names
        .split(';')
        .map(|name| {
            let value = text(&parts.headers, name);
            let authority = || parts.uri.authority().map(Authority::as_str);
            let value = if name == "host" { value.or_else(authority) } else { value };
            Some((name, value?))
        })
        .collect()
}

fn check_date(date: &str, now: Timestamp) -> Result<(), Denied> {
    let signed = jiff::civil::DateTime::strptime(DATE_FORMAT, date)
        .and_then(|local| jiff::tz::TimeZone::UTC.to_timestamp(local));
    let in_time = signed.is_ok_and(|signed| now.duration_since(signed).abs() <= WINDOW);
    if in_time {
        return Ok(());
    }
    let server = now.strftime(DATE_FORMAT);
    Err(Denied::iam(&format!("signature expired,client time:{date},server time:{server}")))
}

/// The query's pairs, decoded once; `+` means plus.
fn decoded_query(query: &str) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// A header's value. Bytes that are not ASCII are signed as they are, in UTF-8.
pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    std::str::from_utf8(headers.get(name)?.as_bytes()).ok()
}
