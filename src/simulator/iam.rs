//! IAM: tokens for a user's name and password.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
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

/// A token that was issued, and the answer's body.
pub(super) struct Issued {
    pub(super) token: String,
    pub(super) body: Value,
}

/// Why no token was issued.
pub(super) struct NotIssued {
    pub(super) status: u16,
    pub(super) title: &'static str,
    pub(super) message: &'static str,
}

impl Iam {
    pub(super) fn new(users: Vec<IamUser>, projects: Vec<String>, life: Duration) -> Self {
        Self { users, projects, life, state: Mutex::default() }
    }

    /// Answers a login.
    pub(super) fn login(&self, body: &[u8], now: Timestamp) -> Result<Issued, NotIssued> {
        let body: Option<Value> = serde_json::from_slice(body).ok();
        let part = |pointer: &str| body.as_ref()?.pointer(pointer)?.as_str();
        let user = "/auth/identity/password/user";
        let [name, password, domain] =
            ["/name", "/password", "/domain/name"].map(|key| part(&format!("{user}{key}")));
        let (Some(name), Some(password), Some(domain)) = (name, password, domain) else {
            return Err(NotIssued { status: 400, title: "Bad Request", message: "body invalid" });
        };
        self.check_not_locked(name, now)?;
        let known = self.users.iter().find(|user| {
            user.name == name
                && user.domain == domain
                && bool::from(user.password.as_bytes().ct_eq(password.as_bytes()))
        });
        if known.is_none() {
            self.lock().failures.entry(name.to_owned()).or_default().push(now);
            let message = "The username or password is wrong.";
            return Err(NotIssued { status: 401, title: "Unauthorized", message });
        }
        let scope = part("/auth/scope/project/id");
        if scope.is_some_and(|id| !self.projects.iter().any(|known| known == id)) {
            let message = "The project does not exist.";
            return Err(NotIssued { status: 401, title: "Unauthorized", message });
        }
        let project = scope.or(self.projects.first().map(String::as_str)).unwrap_or_default();
        Ok(self.issue(name, project, now))
    }

    /// The state of a token.
    pub(super) fn token_state(&self, token: &str, now: Timestamp) -> TokenState {
        match self.lock().tokens.get(token) {
            Some(ends) if now < *ends => TokenState::Valid,
            Some(_) => TokenState::Ended,
            None => TokenState::Unknown,
        }
    }

    fn issue(&self, name: &str, project: &str, now: Timestamp) -> Issued {
        let life = SignedDuration::try_from(self.life).unwrap_or(SignedDuration::MAX);
        let ends = now.checked_add(life).unwrap_or(Timestamp::MAX);
        let token = random_hex();
        let mut state = self.lock();
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
        Issued { token, body }
    }

    fn check_not_locked(&self, name: &str, now: Timestamp) -> Result<(), NotIssued> {
        let mut state = self.lock();
        let failures = state.failures.entry(name.to_owned()).or_default();
        failures.retain(|at| now.duration_since(*at) < LOCK);
        if failures.len() < FORGIVEN {
            return Ok(());
        }
        let message = "The user is locked after too many failed logins.";
        Err(NotIssued { status: 401, title: "Unauthorized", message })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NotIssued {
    /// In IAM's own shape.
    pub(super) fn body(&self) -> Value {
        json!({ "error": { "code": self.status, "message": self.message, "title": self.title } })
    }
}

/// 64 hexadecimal digits.
pub(super) fn random_hex() -> String {
    let mut random = [0_u8; 32];
    // Without randomness all are the same, which a simulation survives.
    let _ = getrandom::fill(&mut random);
    hex::encode(random)
}
