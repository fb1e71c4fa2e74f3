//! The metadata service of a cloud server: session tokens and temporary keys.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::iam::random_hex;

/// The longest life of a session, in seconds.
const LONGEST_SESSION: i64 = 21_600;
/// How long a key lives, and how long before its end a new one appears.
const KEY_LIFE: SignedDuration = SignedDuration::from_hours(1);
const NEW_BEFORE_END: SignedDuration = SignedDuration::from_mins(10);

/// Sessions and keys that were given out.
#[derive(Default)]
pub(super) struct Metadata(Mutex<State>);

#[derive(Default)]
struct State {
    /// Sessions and their ends.
    sessions: HashMap<String, Timestamp>,
    /// By access key id.
    keys: HashMap<String, TemporaryKey>,
    newest: Option<String>,
}

/// A key that ends.
#[derive(Clone)]
pub(super) struct TemporaryKey {
    pub(super) secret: String,
    pub(super) security_token: String,
    pub(super) ends: Timestamp,
}

impl Metadata {
    /// A session that lives for some seconds; `None` for an invalid number.
    pub(super) fn session(&self, seconds: Option<&str>, now: Timestamp) -> Option<String> {
        let seconds: i64 = seconds?.parse().ok()?;
        if !(1..=LONGEST_SESSION).contains(&seconds) {
            return None;
        }
        let ends = now.checked_add(SignedDuration::from_secs(seconds)).ok()?;
        let session = random_hex();
        self.0.lock().sessions.insert(session.clone(), ends);
        Some(session)
    }

    /// The newest key; none without a session that lasts.
    pub(super) fn security_key(&self, session: Option<&str>, now: Timestamp) -> Option<Value> {
        let mut state = self.0.lock();
        let lasts = session.and_then(|session| state.sessions.get(session));
        if lasts.is_none_or(|ends| now >= *ends) {
            return None;
        }
        let newest = state.newest.clone();
        let newest =
            newest.and_then(|access| Some((access.clone(), state.keys.get(&access)?.clone())));
        let lasting = newest.filter(|(_, key)| key.ends.duration_since(now) > NEW_BEFORE_END);
        let (access, key) = match lasting {
            Some(lasting) => lasting,
            None => state.new_key(now),
        };
        Some(json!({ "credential": {
            "access": access,
            "secret": key.secret,
            "securitytoken": key.security_token,
            "expires_at": key.ends.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        } }))
    }

    /// The key of an id, if it was given out and has not ended.
    pub(super) fn key(&self, access: &str, now: Timestamp) -> Option<TemporaryKey> {
        self.0.lock().keys.get(access).filter(|key| now < key.ends).cloned()
    }
}

impl State {
    fn new_key(&mut self, now: Timestamp) -> (String, TemporaryKey) {
        let access: String = random_hex().chars().take(20).collect();
        let ends = now.checked_add(KEY_LIFE).unwrap_or(Timestamp::MAX);
        let key = TemporaryKey { secret: random_hex(), security_token: random_hex(), ends };
        self.keys.retain(|_, key| now < key.ends);
        self.keys.insert(access.clone(), key.clone());
        self.newest = Some(access.clone());
        (access, key)
    }
}
