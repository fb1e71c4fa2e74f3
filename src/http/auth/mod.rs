//! Who may call, and who it is that does: nobody is asked, or a key is, or a signed token.
//!
//! What callers show to the gateway is the gateway's own business: it is compared or verified here,
//! and never sent upstream, logged or kept with what was read for them.

mod credentials;
mod api_keys;
mod jwt;
mod jwks;
mod verifier;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::api_keys::{ApiKey, ApiKeys};
use self::jwt::Tokens;
use crate::clock::Clock;
use crate::config::{InboundAuth, InboundConfig, JwtConfig, Live};
use crate::domain::{CallerIdentity, ProjectId, Secret, Token};

pub(crate) use self::credentials::RequestCredentials;

/// How often it is looked whether callers may stay, and whether keys are old.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How many characters of a caller's name are logged.
const LONGEST_SHOWN_NAME: usize = 64;

/// The gate. Clones share it.
#[derive(Clone)]
pub struct Authenticator(Arc<Inner>);

struct Inner {
    method: Live<AuthMethod>,
    parts: AuthParts,
}

/// Another method to show who one is, or other keys, ready to be used.
pub struct AuthChange(AuthMethod);

/// How callers show who they are.
enum AuthMethod {
    None,
    ApiKeys(ApiKeys),
    Tokens(Arc<Tokens>),
}

/// What the gate is made of beside the settings.
#[derive(Clone)]
pub struct AuthParts {
    /// Whether the upstream is called with the caller's token: else it says nothing of the caller.
    pub passes_tokens: bool,
    /// The source of time.
    pub clock: Clock,
    /// The tasks of the process, which its end waits for.
    pub tasks: TaskTracker,
    /// Cancelled when the process is asked to stop.
    pub stopping: CancellationToken,
}

/// Why the gate cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum AuthSetupError {
    /// A file is not there, not readable, or too large.
    #[error("{setting} is {path}, which cannot be read")]
    Unreadable {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it has to be.
    #[error("{setting} cannot be used:\n  {}", .problems.join("\n  "))]
    Wrong {
        /// The setting that names the file.
        setting: &'static str,
        /// What is wrong, each with file and line, and what is allowed.
        problems: Vec<String>,
    },
    /// An address has no keys for now, so that nobody could be let in.
    #[error("inbound.jwt_jwks is an address that gives no keys for now")]
    NoKeys,
    /// The client that fetches public keys cannot be set up.
    #[error("the client for inbound.jwt_jwks cannot be set up")]
    Client(#[from] reqwest::Error),
}

/// Somebody who was let in.
#[derive(Clone)]
pub(crate) struct Caller {
    /// What per-caller limits go by.
    pub(crate) identity: CallerIdentity,
    /// Fit to be logged; nothing where nobody is asked.
    pub(crate) name: Option<Arc<str>>,
    /// For the upstream.
    pub(crate) token: Option<Token>,
    /// What the caller may see; `None` for every project that is served.
    pub(crate) projects: Projects,
    validity: Validity,
}

/// Projects; `None` for all.
pub(crate) type Projects = Option<Arc<BTreeSet<ProjectId>>>;

/// For how long somebody is let in.
#[derive(Clone)]
enum Validity {
    Always,
    /// As long as the key is in the file as it was.
    Key(Arc<ApiKey>),
    /// Under terms that may change.
    Until(Timestamp, Arc<JwtConfig>),
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthError {
    /// Nothing was shown; what would have to be, as a sentence.
    MissingCredential(&'static str),
    /// What was shown is no good; why, as a sentence.
    InvalidCredential(&'static str),
    /// What was shown cannot be judged for now.
    Unavailable,
}

impl Authenticator {
    /// Reads the keys. Those at an address are followed from now on.
    ///
    /// # Errors
    /// [`AuthSetupError`]: a wrong file. An address that does not answer is no error but a reason not to
    /// be ready, see [`Authenticator::trouble`].
    pub async fn start(config: &InboundConfig, parts: AuthParts) -> Result<Self, AuthSetupError> {
        let method = match &config.auth {
            InboundAuth::None => AuthMethod::None,
            InboundAuth::ApiKey(file) => AuthMethod::ApiKeys(ApiKeys::read(file)?),
            InboundAuth::Jwt(jwt) => {
                AuthMethod::Tokens(Arc::new(Tokens::start(jwt, parts.clone()).await?))
            }
        };
        Ok(Self(Arc::new(Inner { method: Live::new(method), parts })))
    }

    /// Reads the keys anew, by settings that may have changed. They are not used yet.
    ///
    /// # Errors
    /// [`AuthSetupError`]: a wrong file, or another address that has no keys.
    pub async fn prepare(&self, config: &InboundConfig) -> Result<AuthChange, AuthSetupError> {
        let (method, parts) = (self.0.method.get(), self.0.parts.clone());
        Ok(AuthChange(match (&config.auth, &*method) {
            (InboundAuth::None, _) => AuthMethod::None,
            (InboundAuth::ApiKey(file), _) => AuthMethod::ApiKeys(ApiKeys::read(file)?),
            (InboundAuth::Jwt(jwt), AuthMethod::Tokens(tokens)) => {
                AuthMethod::Tokens(Arc::new(tokens.changed(jwt, parts).await?))
            }
            (InboundAuth::Jwt(jwt), AuthMethod::None | AuthMethod::ApiKeys(_)) => {
                AuthMethod::Tokens(Arc::new(Tokens::start_with_keys(jwt, parts).await?))
            }
        }))
    }

    /// Lets callers in by other keys from now on. Who would not be let in any more loses their sockets
    /// and event streams at the next look.
    pub fn change(&self, change: AuthChange) {
        self.0.method.set(change.0);
    }

    /// Why nobody can be let in for now, where that is so.
    pub fn trouble(&self) -> Option<&'static str> {
        match &**self.0.method.load() {
            AuthMethod::None | AuthMethod::ApiKeys(_) => None,
            AuthMethod::Tokens(tokens) => tokens.trouble(),
        }
    }

    /// Lets somebody in who shows this and connects from there.
    pub(crate) async fn authenticate(
        &self,
        credentials: RequestCredentials,
        from: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        // A token that is not forwarded is unverified and must not identify the caller.
        let token = credentials.token.filter(|_| self.0.parts.passes_tokens);
        let credential = credentials.credential;
        let tokens = match &**self.0.method.load() {
            AuthMethod::None => return Ok(Caller::anybody(token, from)),
            AuthMethod::ApiKeys(keys) => return keys.authenticate(credential, token),
            AuthMethod::Tokens(tokens) => Arc::clone(tokens),
        };
        let missing = "no token was sent: give Authorization: Bearer";
        let shown = credential.ok_or(AuthError::MissingCredential(missing))?;
        // Keys may have to be fetched, which is a large future for a rare case.
        let bearer = Box::pin(tokens.verify(&shown)).await?;
        let validity = Validity::Until(bearer.until, bearer.terms);
        Ok(Caller::named(&bearer.subject, token, bearer.projects, validity))
    }

    /// Whether somebody who was let in once would be let in now.
    pub(crate) fn still_accepts(&self, caller: &Caller) -> bool {
        match (&caller.validity, &**self.0.method.load()) {
            (Validity::Always, AuthMethod::None) => true,
            (Validity::Key(key), AuthMethod::ApiKeys(keys)) => keys.hold(key),
            (Validity::Until(end, terms), AuthMethod::Tokens(tokens)) => {
                self.0.parts.clock.timestamp() < *end && tokens.agree_with(terms)
            }
            (Validity::Always | Validity::Key(_) | Validity::Until(..), _) => false,
        }
    }

    /// Done when somebody who was let in would not be let in any more.
    pub(crate) async fn until_rejected(self, caller: Caller) {
        let mut checks = tokio::time::interval(CHECK_INTERVAL);
        while self.still_accepts(&caller) {
            checks.tick().await;
        }
    }
}

impl ApiKeys {
    fn authenticate(
        &self,
        credential: Option<Secret>,
        token: Option<Token>,
    ) -> Result<Caller, AuthError> {
        let missing = "no key was sent: give X-API-Key or Authorization: Bearer";
        let shown = credential.ok_or(AuthError::MissingCredential(missing))?;
        let key = self.find(&shown).ok_or(AuthError::InvalidCredential("the key is not known"))?;
        let (projects, validity) = (key.projects(), Validity::Key(Arc::clone(&key)));
        Ok(Caller::named(key.name(), token, projects, validity))
    }
}

impl Caller {
    fn anybody(token: Option<Token>, from: Option<IpAddr>) -> Self {
        let identity = match (&token, from) {
            (Some(token), _) => CallerIdentity::Token(token.clone()),
            (None, Some(address)) => CallerIdentity::Address(address),
            (None, None) => CallerIdentity::Unknown,
        };
        Self { identity, name: None, token, projects: None, validity: Validity::Always }
    }

    fn named(name: &str, token: Option<Token>, projects: Projects, validity: Validity) -> Self {
        let identity = CallerIdentity::Name(name.into());
        Self { identity, name: Some(shown(name).into()), token, projects, validity }
    }
}

/// Without the token, and without what an identity was made of.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("name", &self.name).finish_non_exhaustive()
    }
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// A name as it can stand in a log: on one line and of a sensible length.
fn shown(name: &str) -> String {
    let mut shown: String = name.chars().take(LONGEST_SHOWN_NAME).collect();
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
            assert_eq!(shown(name), expected);
        }
        assert_eq!(shown(&"x".repeat(65)), format!("{}…", "x".repeat(64)));
    }

    #[test]
    fn callers_without_a_name_are_told_apart_by_token_then_by_address() {
        let of = |token: Option<&str>, from: &str| {
            let caller = Caller::anybody(token.map(Token::new), Some(from.parse().unwrap()));
            caller.identity.limit_key()
        };

        assert!(of(Some("one"), "192.0.2.1") == of(Some("one"), "192.0.2.2"));
        assert!(of(Some("one"), "192.0.2.1") != of(Some("other"), "192.0.2.1"));
        assert!(of(None, "192.0.2.1") != of(None, "192.0.2.2"));
    }
}
