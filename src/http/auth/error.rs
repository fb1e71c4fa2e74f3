//! Why a caller is refused, and why the keys of callers cannot be used.

use std::path::PathBuf;

/// Why a request is not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthError {
    /// No credential was sent; which one is needed, as a sentence.
    MissingCredential(&'static str),
    /// The credential is invalid; why, as a sentence.
    InvalidCredential(&'static str),
    /// The gateway has no keys yet to verify credentials with.
    Unavailable,
}

/// Why authentication cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum AuthSetupError {
    /// A file does not exist, cannot be read, or is too large.
    #[error("{setting} is {path}, which cannot be read")]
    Unreadable {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A file has the wrong content.
    #[error("{setting} cannot be used:\n  {}", .problems.join("\n  "))]
    Wrong {
        /// The setting that names the file.
        setting: &'static str,
        /// Each problem, with its file, its line and what is allowed.
        problems: Vec<String>,
    },
    /// The key set's address has given no keys yet, so every caller would be refused.
    #[error("inbound.jwt_jwks is an address that gives no keys for now")]
    NoKeys,
    /// The client that fetches public keys cannot be built.
    #[error("the client for inbound.jwt_jwks cannot be set up")]
    Client(#[from] reqwest::Error),
}
