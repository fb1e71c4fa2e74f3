//! The services that issue credentials: IAM, and the metadata service of a cloud server.

use std::collections::HashMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use super::config::SimulatorConfig;

/// The longest life of a metadata session, in seconds.
const LONGEST_SESSION: i64 = 21_600;
/// How long a temporary key lives, and how long before its end a new one appears.
const KEY_LIFE: SignedDuration = SignedDuration::from_hours(1);
const NEW_BEFORE_END: SignedDuration = SignedDuration::from_mins(10);

/// Issues tokens for a user's name and password. Holds the tokens and their ends.
#[derive(Default)]
pub(super) struct Iam(Mutex<HashMap<String, Timestamp>>);

/// Issues temporary keys.
#[derive(Default)]
pub(super) struct Metadata {
    /// Sessions and their ends.
    sessions: Mutex<HashMap<String, Timestamp>>,
    /// The newest is the last.
    keys: Mutex<Vec<TemporaryKey>>,
}

/// A key that ends.
#[derive(Clone)]
pub(super) struct TemporaryKey {
    access: String,
    pub(super) secret: String,
    pub(super) security_token: String,
    ends: Timestamp,
}

impl Iam {
    /// Answers a login.
    pub(super) fn login(&self, config: &SimulatorConfig, body: &[u8], now: Timestamp) -> Response {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let part = |pointer: &str| body.pointer(pointer)?.as_str();
        let user = "/auth/identity/password/user";
        let [name, password, domain] =
            ["/name", "/password", "/domain/name"].map(|key| part(&format!("{user}{key}")));
        let (Some(name), Some(password), Some(domain)) = (name, password, domain) else {
            return refusal(StatusCode::BAD_REQUEST, "body invalid");
        };
        let is_known = config.iam_users.iter().any(|user| {
            user.name == name && user.domain == domain && same(&user.password, password)
        });
        if !is_known {
            return refusal(StatusCode::UNAUTHORIZED, "The username or password is wrong.");
        }
        let scope = part("/auth/scope/project/id");
        if scope.is_some_and(|id| !config.projects.iter().any(|known| known == id)) {
            return refusal(StatusCode::UNAUTHORIZED, "The project does not exist.");
        }
        let life = SignedDuration::try_from(config.token_life).unwrap_or(SignedDuration::MAX);
        let ends = now.checked_add(life).unwrap_or(Timestamp::MAX);
        let token = random_hex(64);
        self.0.lock().insert(token.clone(), ends);
        let project = scope.or(config.projects.first().map(String::as_str));
        let body = json!({ "token": {
            "methods": ["password"],
            "issued_at": written(now),
            "expires_at": written(ends),
            "project": { "id": project },
            "user": { "name": name },
        } });
        (StatusCode::CREATED, [("x-subject-token", token)], Json(body)).into_response()
    }

    /// When a token ends, if it was issued.
    pub(super) fn end_of(&self, token: &str) -> Option<Timestamp> {
        self.0.lock().get(token).copied()
    }
}

impl Metadata {
    /// A session that lives for some seconds; `None` for an invalid number.
    pub(super) fn session(&self, seconds: &str, now: Timestamp) -> Option<String> {
        let seconds = seconds.parse().ok().filter(|life| (1..=LONGEST_SESSION).contains(life))?;
        let ends = now.checked_add(SignedDuration::from_secs(seconds)).ok()?;
        let session = random_hex(64);
        self.sessions.lock().insert(session.clone(), ends);
        Some(session)
    }

    /// The newest key; none without a session that lasts.
    pub(super) fn security_key(&self, session: &str, now: Timestamp) -> Option<Value> {
        self.sessions.lock().get(session).filter(|ends| now < **ends)?;
        let mut keys = self.keys.lock();
        let lasts = |key: &TemporaryKey| key.ends.duration_since(now) > NEW_BEFORE_END;
        if !keys.last().is_some_and(lasts) {
            keys.retain(|key| now < key.ends);
            let [access, secret, security_token] = [20, 64, 64].map(random_hex);
            let ends = now.checked_add(KEY_LIFE).ok()?;
            keys.push(TemporaryKey { access, secret, security_token, ends });
        }
        let key = keys.last()?;
        Some(json!({ "credential": {
            "access": key.access,
            "secret": key.secret,
            "securitytoken": key.security_token,
            "expires_at": written(key.ends),
        } }))
    }

    /// The key of an id, if it was issued and has not ended.
    pub(super) fn key(&self, access: &str, now: Timestamp) -> Option<TemporaryKey> {
        let is_it = |key: &&TemporaryKey| key.access == access && now < key.ends;
        self.keys.lock().iter().find(is_it).cloned()
    }
}

/// An instant as both services write it.
fn written(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// A refusal in IAM's own shape.
fn refusal(status: StatusCode, message: &str) -> Response {
    let title = status.canonical_reason();
    let error = json!({ "code": status.as_u16(), "message": message, "title": title });
    (status, Json(json!({ "error": error }))).into_response()
}

/// Up to 64 hexadecimal digits.
pub(super) fn random_hex(digits: usize) -> String {
    let mut random = [0_u8; 32];
    // Without randomness all are zeros, which a simulation survives.
    let _ = getrandom::fill(&mut random);
    hex::encode(random).chars().take(digits).collect()
}

/// Compares secrets in constant time.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}
