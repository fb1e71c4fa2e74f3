//! IAM: tokens for a user's name and password.

use std::collections::HashMap;
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

/// Failed logins within [`LOCK`] that lock a user for as long.
const FORGIVEN: usize = 5;
const LOCK: SignedDuration = SignedDuration::from_mins(15);

/// A user, and the account it belongs to.
#[derive(Clone)]
pub struct IamUser {
    /// Name of the user.
    pub name: String,
    /// Password of the user.
    pub password: String,
    /// Name of the account.
    pub domain: String,
}

/// Issues tokens and knows those it has issued.
pub(super) struct Iam {
    users: Vec<IamUser>,
    projects: Vec<String>,
    life: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Tokens and their ends.
    tokens: HashMap<String, Timestamp>,
    /// Times of failed logins, by user.
    failures: HashMap<String, Vec<Timestamp>>,
}

/// The state of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenState {
    Valid,
    Ended,
    Unknown,
}

impl Iam {
    pub(super) fn new(users: Vec<IamUser>, projects: Vec<String>, life: Duration) -> Self {
        Self { users, projects, life, state: Mutex::default() }
    }

    /// Answers a login.
    pub(super) fn login(&self, body: &[u8], now: Timestamp) -> Response {
        let body: Option<Value> = serde_json::from_slice(body).ok();
        let part = |pointer: &str| body.as_ref()?.pointer(pointer)?.as_str();
        let user = "/auth/identity/password/user";
        let [name, password, domain] =
            ["/name", "/password", "/domain/name"].map(|key| part(&format!("{user}{key}")));
        let (Some(name), Some(password), Some(domain)) = (name, password, domain) else {
            return refusal(StatusCode::BAD_REQUEST, "body invalid");
        };
        if self.is_locked(name, now) {
            let message = "The user is locked after too many failed logins.";
            return refusal(StatusCode::UNAUTHORIZED, message);
        }
        let known = self.users.iter().find(|user| {
            user.name == name
                && user.domain == domain
                && bool::from(user.password.as_bytes().ct_eq(password.as_bytes()))
        });
        if known.is_none() {
            self.state.lock().failures.entry(name.to_owned()).or_default().push(now);
            return refusal(StatusCode::UNAUTHORIZED, "The username or password is wrong.");
        }
        let scope = part("/auth/scope/project/id");
        if scope.is_some_and(|id| !self.projects.iter().any(|known| known == id)) {
            return refusal(StatusCode::UNAUTHORIZED, "The project does not exist.");
        }
        let project = scope.or(self.projects.first().map(String::as_str)).unwrap_or_default();
        self.issue(name, project, now)
    }

    /// The state of a token.
    pub(super) fn token_state(&self, token: &str, now: Timestamp) -> TokenState {
        match self.state.lock().tokens.get(token) {
            Some(ends) if now < *ends => TokenState::Valid,
            Some(_) => TokenState::Ended,
            None => TokenState::Unknown,
        }
    }

    fn issue(&self, name: &str, project: &str, now: Timestamp) -> Response {
        let life = SignedDuration::try_from(self.life).unwrap_or(SignedDuration::MAX);
        let ends = now.checked_add(life).unwrap_or(Timestamp::MAX);
        let token = random_hex();
        let mut state = self.state.lock();
        state.failures.remove(name);
        state.tokens.insert(token.clone(), ends);
        let written = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        let body = json!({ "token": {
            "methods": ["password"],
            "issued_at": written(now),
            "expires_at": written(ends),
            "project": { "id": project },
            "user": { "name": name },
        } });
        (StatusCode::CREATED, [("x-subject-token", token)], Json(body)).into_response()
    }

    fn is_locked(&self, name: &str, now: Timestamp) -> bool {
        let mut state = self.state.lock();
        let failures = state.failures.entry(name.to_owned()).or_default();
        failures.retain(|at| now.duration_since(*at) < LOCK);
        failures.len() >= FORGIVEN
    }
}

/// A refusal in IAM's own shape.
fn refusal(status: StatusCode, message: &str) -> Response {
    let title = status.canonical_reason();
    let error = json!({ "code": status.as_u16(), "message": message, "title": title });
    (status, Json(json!({ "error": error }))).into_response()
}

/// 64 hexadecimal digits.
pub(super) fn random_hex() -> String {
    let mut random = [0_u8; 32];
    // Without randomness all are the same, which a simulation survives.
    let _ = getrandom::fill(&mut random);
    hex::encode(random)
}
