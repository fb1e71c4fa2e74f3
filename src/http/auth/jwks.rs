//! The public keys of tokens: a JSON Web Key Set, kept in memory and refreshed in the background.
//!
//! A failed refresh keeps the keys in use.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::{Body, Client, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::interval;
use tokio_util::task::TaskTracker;

use super::{AuthParts, AuthSetupError, CHECK_INTERVAL};
use crate::body_limit::{BodyError, read_body};
use crate::clock::Clock;
use crate::config::{JwksSource, JwtConfig, LARGEST_FILE, Live, Proxies, read_bounded};
use crate::error_chain::on_one_line;
use crate::http::setting_file::read_file;

/// The age at which keys are fetched again.
const REFRESH_INTERVAL: Duration = Duration::from_mins(10);
/// The least time between two fetches.
const BACKOFF: Duration = Duration::from_secs(30);
/// The time limit of a fetch, body included.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Keys in one set. Each may be tried for a token that names no key.
const MOST_KEYS: usize = 100;

/// The keys and their source.
pub(super) struct Jwks {
    pub(super) keys: Live<Vec<PublicKey>>,
    remote: Option<Remote>,
    pub(super) clock: Clock,
    tasks: TaskTracker,
}

/// An address that keys are fetched from.
struct Remote {
    http: Client,
    address: Url,
    /// Locked during a fetch, so that there is one at a time.
    last_fetch: Mutex<Option<Fetch>>,
}

/// A fetch of the keys.
struct Fetch {
    began: Instant,
    succeeded: bool,
}

/// A key that tokens may be signed with.
pub(super) struct PublicKey {
    id: Option<String>,
    /// The only algorithm that the key may be used with, if it names one.
    only: Option<Algorithm>,
    pub(super) key: DecodingKey,
}

impl Jwks {
    /// Reads the keys. Keys at an address are refreshed for as long as this exists.
    pub(super) async fn start(
        config: &JwtConfig,
        parts: &AuthParts,
    ) -> Result<Arc<Self>, AuthSetupError> {
        let (keys, remote) = match &config.jwks {
            JwksSource::File(path) => {
                (read_file("inbound.jwt_jwks", path, read_bounded, parse)?, None)
            }
            JwksSource::Address(address) => {
                (Vec::new(), Some(Remote::new(address, &config.proxies)?))
            }
        };
        let (clock, tasks) = (parts.clock.clone(), parts.tasks.clone());
        let jwks = Arc::new(Self { keys: Live::new(keys), remote, clock, tasks });
        if jwks.remote.is_some() {
            jwks.fetch_if_older(BACKOFF).await;
            let refreshing = keep_fresh(Arc::downgrade(&jwks));
            parts.tasks.spawn(parts.stopping.clone().run_until_cancelled_owned(refreshing));
        }
        Ok(jwks)
    }

    /// Fixed keys.
    #[cfg(test)]
    pub(super) fn of(json: &Value) -> Result<Arc<Self>, String> {
        let keys = Live::new(parse(json.to_string().as_bytes())?);
        let (clock, tasks) = (Clock::default(), TaskTracker::new());
        Ok(Arc::new(Self { keys, remote: None, clock, tasks }))
    }

    /// Why no token can be verified for now, if so.
    pub(super) fn trouble(&self) -> Option<&'static str> {
        self.keys.load().is_empty().then_some("there are no keys of inbound.jwt_jwks yet")
    }

    /// The keys for a token that none of them has signed: fetched again, unless the set has the key that the
    /// token names, or was fetched a moment ago.
    pub(super) async fn keys_for(self: &Arc<Self>, id: Option<&str>) -> Arc<Vec<PublicKey>> {
        let is_named = |key: &PublicKey| id.is_some() && key.id.as_deref() == id;
        if self.remote.is_some() && !self.keys.load().iter().any(is_named) {
            // A task of its own: other callers need the keys even if this one hangs up.
            let jwks = Arc::clone(self);
            let fetching = self.tasks.spawn(async move { jwks.fetch_if_older(BACKOFF).await });
            let _ = fetching.await;
        }
        self.keys.get()
    }

    /// Fetches the keys if the last fetch began `age` ago or earlier, or has failed and began a while ago.
    async fn fetch_if_older(&self, age: Duration) {
        let Some(remote) = &self.remote else { return };
        let mut last_fetch = remote.last_fetch.lock().await;
        let now = self.clock.now();
        let is_recent = last_fetch.as_ref().is_some_and(|last| {
            let age = if last.succeeded { age } else { BACKOFF };
            now.saturating_duration_since(last.began) < age
        });
        if is_recent {
            return;
        }
        let fetched = remote.fetch().await;
        *last_fetch = Some(Fetch { began: now, succeeded: fetched.is_ok() });
        match fetched {
            Ok(keys) => self.keys.set(keys),
            Err(problem) => tracing::warn!(
                problem,
                keys = self.keys.load().len(),
                "the keys of inbound.jwt_jwks could not be fetched: they stay as they were"
            ),
        }
    }
}

/// Refreshes the keys while they are in use.
async fn keep_fresh(jwks: Weak<Jwks>) {
    let mut checks = interval(CHECK_INTERVAL);
    loop {
        checks.tick().await;
        let Some(jwks) = jwks.upgrade() else { return };
        jwks.fetch_if_older(REFRESH_INTERVAL).await;
    }
}

impl Remote {
    fn new(address: &Url, proxies: &Proxies) -> Result<Self, reqwest::Error> {
        let builder = proxies
            .client(address)?
            .timeout(FETCH_TIMEOUT)
            .pool_max_idle_per_host(0)
            .user_agent(concat!("screen-record-gateway/", env!("CARGO_PKG_VERSION")));
        Ok(Self { http: builder.build()?, address: address.clone(), last_fetch: Mutex::default() })
    }

    /// Fetches the keys. The error is a clause without the address, whose query may hold a secret.
    async fn fetch(&self) -> Result<Vec<PublicKey>, String> {
        let broken = |error: reqwest::Error| on_one_line(&error.without_url());
        let response = self.http.get(self.address.clone()).send().await.map_err(broken)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("the address answers with status {}", response.status().as_u16()));
        }
        let limit = usize::try_from(LARGEST_FILE).unwrap_or(usize::MAX);
        let body = read_body(Body::from(response), limit).await.map_err(|error| match error {
            BodyError::TooLarge => "the answer is larger than 1 MiB".to_owned(),
            BodyError::Broken => "the answer ended early".to_owned(),
        })?;
        parse(&body)
    }
}

impl PublicKey {
    /// Whether this key may have signed the token. If both name an id, the ids must be equal.
    pub(super) fn fits(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        let is_another = id.is_some() && self.id.is_some() && self.id.as_deref() != id;
        !is_another
            && self.key.family() == algorithm.family()
            && self.only.is_none_or(|only| only == algorithm)
    }

    /// `None` for a key of another kind or use, and for a shared secret.
    fn of(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        let is_for_signatures =
            common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
        let operations = common.key_operations.as_ref();
        let may_verify = operations.is_none_or(|listed| listed.contains(&KeyOperations::Verify));
        let only = common.key_algorithm.map(Algorithm::try_from).transpose().ok()?;
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let is_public = key.family() != Algorithm::HS256.family();
        let id = common.key_id.clone();
        (is_for_signatures && may_verify && is_public).then_some(Self { id, only, key })
    }
}

/// Reads a set of keys; the error is a clause. Keys of other kinds and uses are ignored.
fn parse(json: &[u8]) -> Result<Vec<PublicKey>, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(json).map_err(|error| {
        // The library's own message would quote the file.
        let (line, column) = (error.line(), error.column());
        format!(
            "it is no JSON Web Key Set, an object with a list keys (line {line}, column {column})"
        )
    })?;
    if set.keys.len() > MOST_KEYS {
        return Err(format!("it has {} keys: {MOST_KEYS} are allowed", set.keys.len()));
    }
    let jwks = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    let keys: Vec<_> = jwks.filter_map(|jwk| PublicKey::of(&jwk)).collect();
    if keys.is_empty() {
        return Err("it has no key for signatures of kind RSA, EC or OKP (Ed25519)".to_owned());
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";

    #[test]
    fn keys_that_are_no_public_keys_for_signatures_are_passed_over() {
        let point = |more: Value| {
            let mut key = json!({ "kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": "point" });
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            key
        };
        for (key, is_used) in [
            (point(json!({})), true),
            (point(json!({ "use": "sig", "alg": "ES256", "key_ops": ["verify"] })), true),
            (point(json!({ "use": "enc" })), false),
            (point(json!({ "key_ops": ["sign"] })), false),
            (point(json!({ "alg": "RSA-OAEP" })), false),
            (point(json!({ "alg": "none" })), false),
            (point(json!({ "crv": "secp256k1" })), false),
            (json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "shared" }), false),
            (json!({ "kty": "new", "z": 1 }), false),
            (json!("key"), false),
        ] {
            let read = parse(json!({ "keys": [key] }).to_string().as_bytes());

            assert_eq!(read.map(|keys| keys.len()).ok(), is_used.then_some(1), "of {key}");
        }
    }

    #[test]
    fn a_key_is_used_for_its_own_kind_of_signature_only() {
        let keys = json!([
            { "kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": "any" },
            { "kty": "RSA", "n": "AQAB", "e": "AQAB" },
            { "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "one", "alg": "PS256" },
        ]);
        let jwks = Jwks::of(&json!({ "keys": keys })).unwrap();
        for (id, algorithm, fitting) in [
            (Some("any"), Algorithm::ES256, 1),
            (None, Algorithm::ES256, 1),
            (Some("one"), Algorithm::ES256, 0),
            (Some("any"), Algorithm::HS256, 0),
            (Some("one"), Algorithm::PS256, 2),
            (Some("one"), Algorithm::RS256, 1),
            (Some("other"), Algorithm::PS256, 1),
            (Some("other"), Algorithm::ES256, 0),
            (None, Algorithm::PS256, 2),
        ] {
            let found = jwks.keys.load().iter().filter(|key| key.fits(id, algorithm)).count();

            assert_eq!(found, fitting, "of {id:?} and {algorithm:?}");
        }
    }
}
