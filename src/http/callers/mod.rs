//! Who may call, and who it is that does: nobody is asked, or a key is, or a signed token.
//!
//! What callers show to the gateway is the gateway's own business: it is compared or verified here,
//! and never sent upstream, logged or kept with what was read for them.

mod presented;
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

pub(crate) use self::presented::Presented;

/// How often it is looked whether callers may stay, and whether keys are old.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many characters of a caller's name are logged.
const LONGEST_SHOWN_NAME: usize = 64;

/// The gate. Clones share it.
#[derive(Clone)]
pub struct Callers(Arc<Gate>);

struct Gate {
    way: Live<Way>,
    parts: CallerParts,
}

/// Another way to show who one is, or other keys, ready to be used.
pub struct CallersChange(Way);

/// How callers show who they are.
enum Way {
    NotAtAll,
    ApiKeys(ApiKeys),
    Tokens(Arc<Tokens>),
}

/// What the gate is made of beside the settings.
#[derive(Clone)]
pub struct CallerParts {
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
pub enum CallersError {
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
    standing: Standing,
}

/// Projects; `None` for all.
pub(crate) type Projects = Option<Arc<BTreeSet<ProjectId>>>;

/// For how long somebody is let in.
#[derive(Clone)]
enum Standing {
    Always,
    /// As long as the key is in the file as it was.
    Key(Arc<ApiKey>),
    /// Under terms that may change.
    Until(Timestamp, Arc<JwtConfig>),
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// Nothing was shown; what would have to be, as a sentence.
    Nameless(&'static str),
    /// What was shown is no good; why, as a sentence.
    Refused(&'static str),
    /// What was shown cannot be judged for now.
    Unknowable,
}

impl Callers {
    /// Reads the keys. Those at an address are followed from now on.
    ///
    /// # Errors
    /// [`CallersError`]: a wrong file. An address that does not answer is no error but a reason not to
    /// be ready, see [`Callers::trouble`].
    pub async fn start(config: &InboundConfig, parts: CallerParts) -> Result<Self, CallersError> {
        let way = match &config.auth {
            InboundAuth::None => Way::NotAtAll,
            InboundAuth::ApiKey(file) => Way::ApiKeys(ApiKeys::read(file)?),
            InboundAuth::Jwt(jwt) => {
                Way::Tokens(Arc::new(Tokens::start(jwt, parts.clone()).await?))
            }
        };
        Ok(Self(Arc::new(Gate { way: Live::new(way), parts })))
    }

    /// Reads the keys anew, by settings that may have changed. They are not used yet.
    ///
    /// # Errors
    /// [`CallersError`]: a wrong file, or another address that has no keys.
    pub async fn prepare(&self, config: &InboundConfig) -> Result<CallersChange, CallersError> {
        let (way, parts) = (self.0.way.get(), self.0.parts.clone());
        Ok(CallersChange(match (&config.auth, &*way) {
            (InboundAuth::None, _) => Way::NotAtAll,
            (InboundAuth::ApiKey(file), _) => Way::ApiKeys(ApiKeys::read(file)?),
            (InboundAuth::Jwt(jwt), Way::Tokens(tokens)) => {
                Way::Tokens(Arc::new(tokens.changed(jwt, parts).await?))
            }
            (InboundAuth::Jwt(jwt), Way::NotAtAll | Way::ApiKeys(_)) => {
                Way::Tokens(Arc::new(Tokens::start_with_keys(jwt, parts).await?))
            }
        }))
    }

    /// Lets callers in by other keys from now on. Who would not be let in any more loses their sockets
    /// and event streams at the next look.
    pub fn change(&self, change: CallersChange) {
        self.0.way.set(change.0);
    }

    /// Why nobody can be let in for now, where that is so.
    pub fn trouble(&self) -> Option<&'static str> {
        match &**self.0.way.load() {
            Way::NotAtAll | Way::ApiKeys(_) => None,
            Way::Tokens(tokens) => tokens.trouble(),
        }
    }

    /// Lets somebody in who shows this and connects from there.
    pub(crate) async fn admit(
        &self,
        presented: Presented,
        from: Option<IpAddr>,
    ) -> Result<Caller, Stranger> {
        // A token that is not forwarded is unverified and must not identify the caller.
        let token = presented.token.filter(|_| self.0.parts.passes_tokens);
        let credential = presented.credential;
        let tokens = match &**self.0.way.load() {
            Way::NotAtAll => return Ok(Caller::anybody(token, from)),
            Way::ApiKeys(keys) => return keys.admit(credential, token),
            Way::Tokens(tokens) => Arc::clone(tokens),
        };
        let missing = "no token was sent: give Authorization: Bearer";
        let shown = credential.ok_or(Stranger::Nameless(missing))?;
        // Keys may have to be fetched, which is a large future for a rare case.
        let bearer = Box::pin(tokens.verify(&shown)).await?;
        let standing = Standing::Until(bearer.until, bearer.terms);
        Ok(Caller::named(&bearer.subject, token, bearer.projects, standing))
    }

    /// Whether somebody who was let in once would be let in now.
    pub(crate) fn still_admits(&self, caller: &Caller) -> bool {
        match (&caller.standing, &**self.0.way.load()) {
            (Standing::Always, Way::NotAtAll) => true,
            (Standing::Key(key), Way::ApiKeys(keys)) => keys.hold(key),
            (Standing::Until(end, terms), Way::Tokens(tokens)) => {
                self.0.parts.clock.timestamp() < *end && tokens.agree_with(terms)
            }
            (Standing::Always | Standing::Key(_) | Standing::Until(..), _) => false,
        }
    }

    /// Done when somebody who was let in would not be let in any more.
    pub(crate) async fn lapse(self, caller: Caller) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        while self.still_admits(&caller) {
            looks.tick().await;
        }
    }
}

impl ApiKeys {
    fn admit(&self, credential: Option<Secret>, token: Option<Token>) -> Result<Caller, Stranger> {
        let missing = "no key was sent: give X-API-Key or Authorization: Bearer";
        let shown = credential.ok_or(Stranger::Nameless(missing))?;
        let key = self.find(&shown).ok_or(Stranger::Refused("the key is not known"))?;
        let (projects, standing) = (key.projects(), Standing::Key(Arc::clone(&key)));
        Ok(Caller::named(key.name(), token, projects, standing))
    }
}

impl Caller {
    fn anybody(token: Option<Token>, from: Option<IpAddr>) -> Self {
        let identity = match (&token, from) {
            (Some(token), _) => CallerIdentity::Token(token.clone()),
            (None, Some(address)) => CallerIdentity::Address(address),
            (None, None) => CallerIdentity::Unknown,
        };
        Self { identity, name: None, token, projects: None, standing: Standing::Always }
    }

    fn named(name: &str, token: Option<Token>, projects: Projects, standing: Standing) -> Self {
        let identity = CallerIdentity::Name(name.into());
        Self { identity, name: Some(shown(name).into()), token, projects, standing }
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
