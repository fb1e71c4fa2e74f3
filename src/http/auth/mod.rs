//! Authenticates callers: not at all, by an API key, or by a signed token.
//!
//! Credentials for the gateway are verified here. They are never sent upstream, logged or cached.

mod error;
mod credentials;
mod grant;
mod api_keys;
mod jwt;
mod jwks;
mod verifier;
mod caller;
mod authenticator;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;

pub use authenticator::{AuthChange, Authenticator};
pub(crate) use caller::Caller;
pub(crate) use credentials::RequestCredentials;
pub(crate) use error::AuthError;
pub use error::AuthSetupError;

/// How often sockets check whether their caller is still accepted, and the key set whether it is old.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(1);

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
