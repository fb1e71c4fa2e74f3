//! Authenticates callers: not at all, by an API key, or by a signed token.
//!
//! Credentials for the gateway are verified here. They are never sent upstream, logged or cached.

mod grant;
mod api_keys;
mod jwks;
mod jwt;
mod authenticator;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::api_keys::ApiKey;
use super::setting_file::FileError;
use crate::clock::Clock;
use crate::config::JwtConfig;
use crate::domain::{CallerIdentity, Grant, Token};

pub(crate) use authenticator::RequestCredentials;
pub use authenticator::{AuthChange, Authenticator};

/// How often sockets check whether their caller is still accepted, and the key set whether it is old.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Characters of a caller's name that are logged.
const MAX_LOGGED_NAME: usize = 64;

/// What authentication needs beside its settings.
#[derive(Clone)]
pub struct AuthParts {
    /// Whether the upstream is called with the caller's token. Otherwise the token proves nothing.
    pub passes_tokens: bool,
    /// The source of time.
    pub clock: Clock,
    /// Tasks that shutdown waits for.
    pub tasks: TaskTracker,
    /// Cancelled when the process is asked to stop.
    pub stopping: CancellationToken,
}

/// Why authentication cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum AuthSetupError {
    /// The file of the keys cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key set's address has given no keys yet, so every caller would be refused.
    #[error("inbound.jwt_jwks is an address that gives no keys for now")]
    NoKeys,
    /// The client that fetches public keys cannot be built.
    #[error("the client for inbound.jwt_jwks cannot be set up")]
    Client(#[from] reqwest::Error),
}

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
    validity: Validity,
}

/// How long an authentication is valid.
#[derive(Clone)]
enum Validity {
    /// Until callers have to authenticate.
    Unlimited,
    /// While the key file holds this key, unchanged.
    Key(Arc<ApiKey>),
    /// Until the token expires (`exp`, plus `inbound.jwt_leeway`), or the rules that it was verified by change.
    Token { expires: Timestamp, rules: Arc<JwtConfig> },
}

impl Caller {
    /// A caller who does not have to authenticate.
    fn anonymous(token: Option<Token>, peer: IpAddr) -> Self {
        let identity = token.clone().map_or(CallerIdentity::Address(peer), CallerIdentity::Token);
        let (grant, validity) = (Grant::unrestricted(), Validity::Unlimited);
        Self { identity, name: None, token, grant, validity }
    }

    /// The subject (`sub`) of the caller's token.
    pub(crate) fn subject(&self) -> Option<&str> {
        let is_token = matches!(self.validity, Validity::Token { .. });
        self.identity.name().filter(|_| is_token).map(|subject| &**subject)
    }
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
