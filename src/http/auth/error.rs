//! Why a caller is refused, and why the keys of callers cannot be used.

use crate::http::setting_file::FileError;

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
