//! Decides who a caller is, and whether that still holds.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::api_keys::ApiKeys;
use super::jwt::TokenVerifier;
use super::{AuthParts, AuthSetupError, CHECK_INTERVAL, Caller, Validity};
use crate::config::{InboundAuth, InboundConfig, Live};
use crate::domain::{CallerIdentity, Secret, Token};
use crate::http::header_fields;
use crate::http::refusal::Refusal;

static X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
static AUTHORIZATION: HeaderName = header::AUTHORIZATION;
/// The longest token the upstream accepts, in characters; credentials for the gateway are shorter.
const LONGEST_TOKEN: usize = 64_000;

/// Authenticates callers. Clones share keys and settings.
#[derive(Clone)]
pub struct Authenticator {
    method: Live<AuthMethod>,
    parts: Arc<AuthParts>,
}

/// A prepared change of the method or the keys.
pub struct AuthChange(AuthMethod);

/// How callers authenticate: `inbound.auth`.
enum AuthMethod {
    None,
    ApiKey(ApiKeys),
    Jwt(Arc<TokenVerifier>),
}

/// The credentials of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestCredentials {
    /// For the gateway, if it asks for one. Never sent upstream.
    pub(crate) credential: Option<Secret>,
    /// For the upstream.
    pub(crate) token: Option<Token>,
}

impl RequestCredentials {
    /// These credentials, with those of `other` where one is missing.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { credential: self.credential.or(other.credential), token: self.token.or(other.token) }
    }
}

/// The credential in a header, trimmed, where the header has one that is not empty.
fn credential<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
    find: impl FnOnce(&'h str) -> Option<&'h str>,
) -> Result<Option<&'h str>, Refusal> {
    let value = header_fields::single(headers, name)?.map(HeaderValue::to_str).transpose();
    let message = "the token holds characters other than visible ASCII";
    let value = value.map_err(|_| Refusal::bad_request(message))?;
    let text = value.and_then(find).unwrap_or_default().trim();
    if text.len() > LONGEST_TOKEN {
        let message =
            format!("the token has {} characters: {LONGEST_TOKEN} are allowed", text.len());
        return Err(Refusal::bad_request(message));
    }
    Ok((!text.is_empty()).then_some(text))
}

/// The token of `Authorization: Bearer …`.
fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

impl AuthMethod {
    async fn start(config: &InboundConfig, parts: &AuthParts) -> Result<Self, AuthSetupError> {
        Ok(match &config.auth {
            InboundAuth::None => Self::None,
            InboundAuth::ApiKey(file) => Self::ApiKey(ApiKeys::read(file)?),
            InboundAuth::Jwt(jwt) => Self::Jwt(Arc::new(TokenVerifier::start(jwt, parts).await?)),
        })
    }

    fn trouble(&self) -> Option<&'static str> {
        match self {
            Self::None | Self::ApiKey(_) => None,
            Self::Jwt(verifier) => verifier.jwks.trouble(),
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
        let method = Live::new(AuthMethod::start(config, &parts).await?);
        Ok(Self { method, parts: Arc::new(parts) })
    }

    /// Reads the keys again, by new settings, without using them yet. Those of the same address are kept.
    ///
    /// # Errors
    /// [`AuthSetupError`] for a file that cannot be used, or a new address without keys.
    pub async fn prepare(&self, config: &InboundConfig) -> Result<AuthChange, AuthSetupError> {
        if let (InboundAuth::Jwt(jwt), AuthMethod::Jwt(verifier)) =
            (&config.auth, &*self.method.get())
            && let Some(verifier) = verifier.with_rules(jwt)
        {
            return Ok(AuthChange(AuthMethod::Jwt(Arc::new(verifier))));
        }
        let method = AuthMethod::start(config, &self.parts).await?;
        match method.trouble() {
            Some(_) => Err(AuthSetupError::NoKeys),
            None => Ok(AuthChange(method)),
        }
    }

    /// Puts a change into use. Sockets and event streams of callers who are no longer accepted end at
    /// their next check.
    pub fn change(&self, change: AuthChange) {
        self.method.set(change.0);
    }

    /// Why no caller can be authenticated for now, if so.
    pub fn trouble(&self) -> Option<&'static str> {
        self.method.load().trouble()
    }

    /// Whether there may be callers to whom recordings of their projects are invisible.
    pub fn may_restrict(&self) -> bool {
        match &**self.method.load() {
            AuthMethod::None => false,
            AuthMethod::ApiKey(keys) => keys.0.iter().any(|key| key.grant.is_restricted()),
            AuthMethod::Jwt(verifier) => verifier.may_restrict(),
        }
    }

    /// The credentials in a request's headers. A bearer token is for the gateway if the gateway asks for a
    /// credential, and for the upstream if not. It is never both.
    pub(crate) fn credentials(&self, headers: &HeaderMap) -> Result<RequestCredentials, Refusal> {
        let auth_token = credential(headers, &X_AUTH_TOKEN, Some)?;
        let api_key = credential(headers, &X_API_KEY, Some)?;
        let bearer = credential(headers, &AUTHORIZATION, bearer_token)?;
        let (credential, token) = match &**self.method.load() {
            AuthMethod::None => (None, auth_token.or(bearer)),
            AuthMethod::ApiKey(_) => (api_key.or(bearer), auth_token),
            AuthMethod::Jwt(_) => (bearer, auth_token),
        };
        let (credential, token) = (credential.map(Secret::new), token.map(Token::new));
        Ok(RequestCredentials { credential, token })
    }

    /// Authenticates a caller who connects from `peer`.
    ///
    /// # Errors
    /// 401 for a credential that is missing or invalid, 503 while the gateway has no keys to verify it with.
    pub(crate) async fn authenticate(
        &self,
        credentials: RequestCredentials,
        peer: IpAddr,
    ) -> Result<Caller, Refusal> {
        let RequestCredentials { credential, token } = credentials;
        // A token that is not forwarded is unverified and must not identify the caller.
        let token = token.filter(|_| self.parts.passes_tokens);
        let verifier = match &**self.method.load() {
            AuthMethod::None => return Ok(Caller::anonymous(token, peer)),
            AuthMethod::ApiKey(keys) => {
                let key = keys.verify(credential.as_ref())?;
                let (name, grant) = (Arc::clone(&key.name), Arc::clone(&key.grant));
                let identity = CallerIdentity::Name(Arc::clone(&name));
                let validity = Validity::Key(key);
                return Ok(Caller { identity, name: Some(name), token, grant, validity });
            }
            AuthMethod::Jwt(verifier) => Arc::clone(verifier),
        };
        // Boxed: verifying may fetch keys, which is a large future for a rare case.
        let bearer = Box::pin(verifier.verify(credential.as_ref())).await?;
        Ok(Caller { token, ..bearer })
    }

    /// Whether a caller who was authenticated before is still accepted.
    pub(crate) fn still_accepts(&self, caller: &Caller) -> bool {
        match (&caller.validity, &**self.method.load()) {
            (Validity::Unlimited, AuthMethod::None) => true,
            (Validity::Key(key), AuthMethod::ApiKey(keys)) => keys.0.contains(key),
            (Validity::Token { expires, rules }, AuthMethod::Jwt(verifier)) => {
                self.parts.clock.timestamp() < *expires && verifier.has_same_rules(rules)
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
