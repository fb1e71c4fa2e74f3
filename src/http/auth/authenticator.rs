//! Decides who a caller is, and whether that still holds.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;

use super::api_keys::ApiKeys;
use super::caller::{Caller, Validity};
use super::credentials::{CredentialKind, RequestCredentials};
use super::error::{AuthError, AuthSetupError};
use super::jwt::TokenVerifier;
use super::{AuthParts, CHECK_INTERVAL};
use crate::config::{InboundAuth, InboundConfig, Live};
use crate::http::refusal::Refusal;

/// Authenticates callers. Clones share keys and settings.
#[derive(Clone)]
pub struct Authenticator(Arc<Inner>);

struct Inner {
    method: Live<AuthMethod>,
    parts: AuthParts,
}

/// A prepared change of the method or the keys.
pub struct AuthChange(AuthMethod);

/// How callers authenticate: `inbound.auth`.
enum AuthMethod {
    None,
    ApiKey(ApiKeys),
    Jwt(Arc<TokenVerifier>),
}

impl AuthMethod {
    fn credential_kind(&self) -> CredentialKind {
        match self {
            Self::None => CredentialKind::None,
            Self::ApiKey(_) => CredentialKind::ApiKey,
            Self::Jwt(_) => CredentialKind::BearerToken,
        }
    }
}

impl Authenticator {
    /// Reads the keys. Keys at an address are refreshed from then on.
    ///
    /// # Errors
    /// [`AuthSetupError`] for a file that cannot be used. An address that does not answer is no error: see
    /// [`Authenticator::trouble`].
    pub async fn start(config: &InboundConfig, parts: AuthParts) -> Result<Self, AuthSetupError> {
        let method = match &config.auth {
            InboundAuth::None => AuthMethod::None,
            InboundAuth::ApiKey(file) => AuthMethod::ApiKey(ApiKeys::read(file)?),
            InboundAuth::Jwt(jwt) => {
                AuthMethod::Jwt(Arc::new(TokenVerifier::start(jwt, parts.clone()).await?))
            }
        };
        Ok(Self(Arc::new(Inner { method: Live::new(method), parts })))
    }

    /// Reads the keys again, by new settings, without using them yet.
    ///
    /// # Errors
    /// [`AuthSetupError`] for a file that cannot be used, or a new address without keys.
    pub async fn prepare(&self, config: &InboundConfig) -> Result<AuthChange, AuthSetupError> {
        let (method, parts) = (self.0.method.get(), self.0.parts.clone());
        Ok(AuthChange(match (&config.auth, &*method) {
            (InboundAuth::None, _) => AuthMethod::None,
            (InboundAuth::ApiKey(file), _) => AuthMethod::ApiKey(ApiKeys::read(file)?),
            (InboundAuth::Jwt(jwt), AuthMethod::Jwt(verifier)) => {
                AuthMethod::Jwt(Arc::new(verifier.changed(jwt, parts).await?))
            }
            (InboundAuth::Jwt(jwt), AuthMethod::None | AuthMethod::ApiKey(_)) => {
                AuthMethod::Jwt(Arc::new(TokenVerifier::start_with_keys(jwt, parts).await?))
            }
        }))
    }

    /// Puts a change into use. Sockets and event streams of callers who are no longer accepted end at
    /// their next check.
    pub fn change(&self, change: AuthChange) {
        self.0.method.set(change.0);
    }

    /// Why no caller can be authenticated for now, if so.
    pub fn trouble(&self) -> Option<&'static str> {
        match &**self.0.method.load() {
            AuthMethod::None | AuthMethod::ApiKey(_) => None,
            AuthMethod::Jwt(verifier) => verifier.trouble(),
        }
    }

    /// Whether there may be callers to whom recordings of their projects are invisible.
    pub fn may_restrict(&self) -> bool {
        match &**self.0.method.load() {
            AuthMethod::None => false,
            AuthMethod::ApiKey(keys) => keys.may_restrict(),
            AuthMethod::Jwt(verifier) => verifier.may_restrict(),
        }
    }

    /// The credentials in a request's headers.
    pub(crate) fn credentials(&self, headers: &HeaderMap) -> Result<RequestCredentials, Refusal> {
        RequestCredentials::read(headers, self.0.method.load().credential_kind())
    }

    /// Authenticates a caller who connects from `peer`.
    pub(crate) async fn authenticate(
        &self,
        credentials: RequestCredentials,
        peer: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        let RequestCredentials { credential, token } = credentials;
        // A token that is not forwarded is unverified and must not identify the caller.
        let token = token.filter(|_| self.0.parts.passes_tokens);
        let verifier = match &**self.0.method.load() {
            AuthMethod::None => return Ok(Caller::anonymous(token, peer)),
            AuthMethod::ApiKey(keys) => {
                return Ok(Caller::with_key(keys.verify(credential.as_ref())?, token));
            }
            AuthMethod::Jwt(verifier) => Arc::clone(verifier),
        };
        // Boxed: verifying may fetch keys, which is a large future for a rare case.
        let bearer = Box::pin(verifier.verify(credential.as_ref())).await?;
        Ok(Caller::with_token(bearer, token))
    }

    /// Whether a caller who was authenticated before is still accepted.
    pub(crate) fn still_accepts(&self, caller: &Caller) -> bool {
        match (&caller.validity, &**self.0.method.load()) {
            (Validity::Unlimited, AuthMethod::None) => true,
            (Validity::Key(key), AuthMethod::ApiKey(keys)) => keys.contain(key),
            (Validity::Token { expires, rules }, AuthMethod::Jwt(verifier)) => {
                self.0.parts.clock.timestamp() < *expires && verifier.has_same_rules(rules)
            }
            (Validity::Unlimited | Validity::Key(_) | Validity::Token { .. }, _) => false,
        }
    }

    /// Completes when a caller is no longer accepted.
    pub(crate) async fn until_rejected(self, caller: Caller) {
        let mut checks = tokio::time::interval(CHECK_INTERVAL);
        while self.still_accepts(&caller) {
            checks.tick().await;
        }
    }
}
