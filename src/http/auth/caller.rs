//! An authenticated caller. Every caller is made here: from nothing, from a key or from a token.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::api_keys::ApiKey;
use crate::config::JwtConfig;
use crate::domain::{CallerIdentity, Grant, Token};

/// Characters of a caller's name that are logged.
const MAX_LOGGED_NAME: usize = 64;

/// An authenticated caller.
#[derive(Clone)]
pub(crate) struct Caller {
    /// The key of per-caller limits.
    pub(crate) identity: CallerIdentity,
    /// The name, safe to log; `None` where callers do not authenticate.
    pub(crate) name: Option<Arc<str>>,
    /// The token for the upstream.
    pub(crate) token: Option<Token>,
    /// What the caller may see and do.
    pub(crate) grant: Arc<Grant>,
    pub(super) validity: Validity,
}

/// How long an authentication is valid.
#[derive(Clone)]
pub(super) enum Validity {
    /// Until callers have to authenticate.
    Unlimited,
    /// While the key file holds this key, unchanged.
    Key(Arc<ApiKey>),
    /// Until the token expires (`exp`, plus `inbound.jwt_leeway`), or the rules that it was verified by change.
    Token { expires: Timestamp, rules: Arc<JwtConfig> },
}

impl Caller {
    /// A caller who does not have to authenticate.
    pub(super) fn anonymous(token: Option<Token>, peer: Option<IpAddr>) -> Self {
        let identity = match (&token, peer) {
            (Some(token), _) => CallerIdentity::Token(token.clone()),
            (None, Some(address)) => CallerIdentity::Address(address),
            (None, None) => CallerIdentity::Unknown,
        };
        let (grant, validity) = (Grant::unrestricted(), Validity::Unlimited);
        Self { identity, name: None, token, grant, validity }
    }

    /// The bearer of an API key.
    pub(super) fn with_key(key: Arc<ApiKey>, token: Option<Token>) -> Self {
        let (identity, name) = named(&key.name);
        Self { identity, name, token, grant: Arc::clone(&key.grant), validity: Validity::Key(key) }
    }

    /// The subject of a verified token.
    pub(super) fn with_token(subject: &str, grant: Arc<Grant>, validity: Validity) -> Self {
        let (identity, name) = named(subject);
        Self { identity, name, token: None, grant, validity }
    }

    /// The subject (`sub`) of the caller's token.
    pub(crate) fn subject(&self) -> Option<&str> {
        match (&self.validity, &self.identity) {
            (Validity::Token { .. }, CallerIdentity::Name(subject)) => Some(subject),
            _ => None,
        }
    }
}

/// The identity of a name, and the name as it is logged.
fn named(name: &str) -> (CallerIdentity, Option<Arc<str>>) {
    (CallerIdentity::Name(name.into()), Some(loggable(name).into()))
}

/// Without the token and the identity.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Shortens a name and escapes it, so that it fits on one line of a log.
fn loggable(name: &str) -> String {
    let mut shown: String = name.chars().take(MAX_LOGGED_NAME).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    shown.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_logged_on_one_line_and_not_at_any_length() {
        for (name, expected) in [
            ("reporting", "reporting"),
            ("a\nb\u{1b}[31m", "a\\nb\\u{1b}[31m"),
            ("\"quoted\"", "\\\"quoted\\\""),
            ("Amélie", "Amélie"),
        ] {
            assert_eq!(loggable(name), expected);
        }
        assert_eq!(loggable(&"x".repeat(65)), format!("{}…", "x".repeat(64)));
    }
}
