//! The public keys of tokens: a JSON Web Key Set, kept in memory and refreshed in the background.
//!
//! A failed refresh keeps the keys in use.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::RwLock;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::interval;
use tokio_util::task::TaskTracker;

use super::error::AuthSetupError;
use super::{AuthParts, CHECK_INTERVAL};
use crate::clock::Clock;
use crate::config::{JwksSource, JwtConfig, LARGEST_FILE, Proxies, read_bounded};

const SETTING: &str = "inbound.jwt_jwks";
/// The age at which keys are fetched again.
const REFRESH_INTERVAL: Duration = Duration::from_mins(10);
/// The least time between two fetches.
const BACKOFF: Duration = Duration::from_secs(30);
/// The time limit of a fetch, body included.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Keys in one set. Each may be tried for a token that names no key.
const MOST_KEYS: usize = 100;

/// The keys and their source. Clones share them.
#[derive(Clone)]
pub(super) struct Jwks(Arc<Shared>);

struct Shared {
    keys: RwLock<Arc<[Arc<PublicKey>]>>,
    remote: Option<Remote>,
    clock: Clock,
    tasks: TaskTracker,
}

/// An address that keys are fetched from.
struct Remote {
    http: Client,
    address: Url,
    /// When the last fetch began. Locked during a fetch, so that there is one at a time.
    fetched: Mutex<Option<Instant>>,
    /// Whether the last fetch succeeded.
    is_healthy: AtomicBool,
}

/// A key that tokens may be signed with.
pub(super) struct PublicKey {
    id: Option<String>,
    /// The only algorithm that the key may be used with, if it names one.
    only: Option<Algorithm>,
    key: DecodingKey,
}

impl Jwks {
    /// Reads the keys. Keys at an address are refreshed for as long as a clone of this exists.
    pub(super) async fn start(
        config: &JwtConfig,
        parts: AuthParts,
    ) -> Result<Self, AuthSetupError> {
        let AuthParts { clock, tasks, stopping, .. } = parts;
        let (keys, remote) = match &config.jwks {
            JwksSource::File(path) => (read(path)?, None),
            JwksSource::Address(address) => {
                (Arc::default(), Some(Remote::new(address, &config.proxies)?))
            }
        };
        let (is_remote, tracker) = (remote.is_some(), tasks.clone());
        let jwks = Self(Arc::new(Shared { keys: RwLock::new(keys), remote, clock, tasks }));
        if is_remote {
            jwks.fetch_unless_recent().await;
            let refreshing = keep_fresh(Arc::downgrade(&jwks.0));
            tracker.spawn(stopping.run_until_cancelled_owned(refreshing));
        }
        Ok(jwks)
    }

    /// Fixed keys.
    #[cfg(test)]
    pub(super) fn of(json: &Value) -> Result<Self, String> {
        let keys = RwLock::new(parse(json.to_string().as_bytes())?);
        let (clock, tasks) = (Clock::default(), TaskTracker::new());
        Ok(Self(Arc::new(Shared { keys, remote: None, clock, tasks })))
    }

    /// Why no token can be verified for now, if so.
    pub(super) fn trouble(&self) -> Option<&'static str> {
        self.keys().is_empty().then_some("there are no keys of inbound.jwt_jwks yet")
    }

    /// The keys that may have signed a token: first those with the id that it names, then those without
    /// an id.
    pub(super) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<Arc<PublicKey>> {
        let keys = self.keys();
        let fits = |key: &&Arc<PublicKey>| key.fits(id, algorithm);
        let mut candidates: Vec<_> = keys.iter().filter(fits).map(Arc::clone).collect();
        candidates.sort_by_key(|key| key.id.is_none());
        candidates
    }

    /// Fetches the keys again for a token that no candidate has signed. Returns whether they were fetched:
    /// not if the set has the key that the token names, and not if they were fetched a moment ago.
    pub(super) async fn refresh_for(&self, id: Option<&str>) -> bool {
        let is_named = |key: &Arc<PublicKey>| id.is_some() && key.id.as_deref() == id;
        if self.keys().iter().any(is_named) {
            return false;
        }
        let Some(remote) = &self.0.remote else { return false };
        if self.is_backing_off(remote) {
            return false;
        }
        // A task of its own: other callers need the keys even if this one hangs up.
        let jwks = self.clone();
        let fetching = self.0.tasks.spawn(async move { jwks.fetch_unless_recent().await });
        let _ = fetching.await;
        true
    }

    /// Whether no fetch is running and the next one has to wait.
    fn is_backing_off(&self, remote: &Remote) -> bool {
        remote.fetched.try_lock().is_ok_and(|asked| self.is_recent(*asked))
    }

    fn is_recent(&self, asked: Option<Instant>) -> bool {
        asked.is_some_and(|asked| self.0.clock.now().saturating_duration_since(asked) < BACKOFF)
    }

    async fn fetch_unless_recent(&self) {
        let Some(remote) = &self.0.remote else { return };
        let mut asked = remote.fetched.lock().await;
        if self.is_recent(*asked) {
            return;
        }
        *asked = Some(self.0.clock.now());
        let fetched = remote.fetch().await;
        remote.is_healthy.store(fetched.is_ok(), Ordering::Relaxed);
        match fetched {
            Ok(keys) => self.replace(keys),
            Err(problem) => tracing::warn!(
                problem,
                keys = self.keys().len(),
                "the keys of inbound.jwt_jwks could not be fetched: they stay as they were"
            ),
        }
    }

    async fn is_due(&self) -> bool {
        let Some(remote) = &self.0.remote else { return false };
        let every =
            if remote.is_healthy.load(Ordering::Relaxed) { REFRESH_INTERVAL } else { BACKOFF };
        let asked = *remote.fetched.lock().await;
        asked.is_none_or(|asked| self.0.clock.now().saturating_duration_since(asked) >= every)
    }

    fn replace(&self, keys: Arc<[Arc<PublicKey>]>) {
        tracing::debug!(keys = keys.len(), "the keys of tokens were read");
        *self.0.keys.write() = keys;
    }

    fn keys(&self) -> Arc<[Arc<PublicKey>]> {
        Arc::clone(&self.0.keys.read())
    }
}

/// Refreshes the keys while they are in use.
async fn keep_fresh(shared: Weak<Shared>) {
    let mut checks = interval(CHECK_INTERVAL);
    loop {
        checks.tick().await;
        let Some(jwks) = shared.upgrade().map(Jwks) else { return };
        if jwks.is_due().await {
            jwks.fetch_unless_recent().await;
        }
    }
}

impl Remote {
    fn new(address: &Url, proxies: &Proxies) -> Result<Self, reqwest::Error> {
        // Fails only when a provider has been installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .timeout(FETCH_TIMEOUT)
            .pool_max_idle_per_host(0)
            .user_agent(concat!("screen-record-gateway/", env!("CARGO_PKG_VERSION")));
        builder = proxies.apply(builder, address)?;
        if address.scheme() == "http" {
            // Without TLS there is nothing to verify, and no root certificates are needed.
            builder = builder.tls_certs_only([]);
        }
        let (http, fetched) = (builder.build()?, Mutex::default());
        Ok(Self { http, address: address.clone(), fetched, is_healthy: AtomicBool::default() })
    }

    /// Fetches the keys. The error is a clause without the address, whose query may hold a secret.
    async fn fetch(&self) -> Result<Arc<[Arc<PublicKey>]>, String> {
        let unanswered = |error: reqwest::Error| match (error.is_connect(), error.is_timeout()) {
            (_, true) => "the address did not answer within 5 s".to_owned(),
            (true, false) => "the address cannot be connected to".to_owned(),
            (false, false) => "the answer broke off".to_owned(),
        };
        let sending = self.http.get(self.address.clone()).send();
        let mut response = sending.await.map_err(unanswered)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("the address answers with status {}", response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
            if (body.len() + chunk.len()) as u64 > LARGEST_FILE {
                return Err("the answer is larger than 1 MiB".to_owned());
            }
            body.extend_from_slice(&chunk);
        }
        parse(&body)
    }
}

impl PublicKey {
    pub(super) fn key(&self) -> &DecodingKey {
        &self.key
    }

    /// Whether this key may have signed the token. If both name an id, the ids must be equal.
    fn fits(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        let is_another = id.is_some() && self.id.is_some() && self.id.as_deref() != id;
        !is_another
            && self.key.family() == algorithm.family()
            && self.only.is_none_or(|only| only == algorithm)
    }

    /// `None` for a key of another kind or use.
    fn of(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        let is_for_signatures =
            common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
        let may_verify = common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let only = common.key_algorithm.map(Algorithm::try_from).transpose().ok()?;
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let id = common.key_id.clone();
        (is_for_signatures && may_verify && is_supported(&jwk.algorithm)).then_some(Self {
            id,
            only,
            key,
        })
    }
}

/// Public keys only: a shared secret in the set is ignored.
fn is_supported(parameters: &AlgorithmParameters) -> bool {
    match parameters {
        AlgorithmParameters::RSA(_) => true,
        AlgorithmParameters::EllipticCurve(key) => {
            matches!(key.curve, EllipticCurve::P256 | EllipticCurve::P384)
        }
        AlgorithmParameters::OctetKeyPair(key) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    }
}

fn read(path: &Path) -> Result<Arc<[Arc<PublicKey>]>, AuthSetupError> {
    let bytes = read_bounded(path).map_err(|source| AuthSetupError::Unreadable {
        setting: SETTING,
        path: path.to_owned(),
        source,
    })?;
    parse(&bytes).map_err(|problem| AuthSetupError::Wrong {
        setting: SETTING,
        problems: vec![format!("{}: {problem}", path.display())],
    })
}

/// Reads a set of keys; the error is a clause. Keys of other kinds and uses are ignored.
fn parse(json: &[u8]) -> Result<Arc<[Arc<PublicKey>]>, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(json).map_err(|error| {
        // The library's own message would quote the file.
        let (line, column) = (error.line(), error.column());
        format!("is no JSON Web Key Set, an object with a list keys (line {line}, column {column})")
    })?;
    if set.keys.len() > MOST_KEYS {
        return Err(format!("has {} keys: {MOST_KEYS} are allowed", set.keys.len()));
    }
    let jwks = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    let keys: Arc<[_]> = jwks.filter_map(|jwk| PublicKey::of(&jwk)).map(Arc::new).collect();
    if keys.is_empty() {
        return Err(
            "has no key for signatures of kind RSA, EC (P-256, P-384) or OKP (Ed25519)".into()
        );
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
            let found = jwks.candidates(id, algorithm).len();

            assert_eq!(found, fitting, "of {id:?} and {algorithm:?}");
        }
        let named_first = jwks.candidates(Some("one"), Algorithm::PS256);
        assert_eq!(named_first[0].id.as_deref(), Some("one"));
    }
}
