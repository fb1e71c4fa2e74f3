//! The metadata service of a cloud server: session tokens and temporary keys.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::iam::{random_hex, written};

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
    /// The newest is the last.
    keys: Vec<TemporaryKey>,
}

/// A key that ends.
#[derive(Clone)]
pub(super) struct TemporaryKey {
    access: String,
    pub(super) secret: String,
    pub(super) security_token: String,
    ends: Timestamp,
}

impl Metadata {
    /// A session that lives for some seconds; `None` for an invalid number.
    pub(super) fn session(&self, seconds: &str, now: Timestamp) -> Option<String> {
        let seconds = seconds.parse().ok().filter(|life| (1..=LONGEST_SESSION).contains(life))?;
        let ends = now.checked_add(SignedDuration::from_secs(seconds)).ok()?;
        let session = random_hex();
        self.0.lock().sessions.insert(session.clone(), ends);
        Some(session)
    }

    /// The newest key; none without a session that lasts.
    pub(super) fn security_key(&self, session: &str, now: Timestamp) -> Option<Value> {
        let State { sessions, keys } = &mut *self.0.lock();
        sessions.get(session).filter(|ends| now < **ends)?;
        let lasts = |key: &TemporaryKey| key.ends.duration_since(now) > NEW_BEFORE_END;
        if !keys.last().is_some_and(lasts) {
            keys.retain(|key| now < key.ends);
            keys.push(TemporaryKey {
                access: random_hex().chars().take(20).collect(),
                secret: random_hex(),
                security_token: random_hex(),
                ends: now.checked_add(KEY_LIFE).ok()?,
            });
        }
        let key = keys.last()?;
        Some(json!({ "credential": {
            "access": key.access,
            "secret": key.secret,
            "securitytoken": key.security_token,
            "expires_at": written(key.ends),
        } }))
    }

    /// The key of an id, if it was given out and has not ended.
    pub(super) fn key(&self, access: &str, now: Timestamp) -> Option<TemporaryKey> {
        let is_it = |key: &&TemporaryKey| key.access == access && now < key.ends;
        self.0.lock().keys.iter().find(is_it).cloned()
    }
}
