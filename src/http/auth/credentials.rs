//! The credentials of a request: one for the gateway and a token for the upstream.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::domain::{Secret, Token};
use crate::http::header_fields;
use crate::http::refusal::Refusal;

static X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
static AUTHORIZATION: HeaderName = header::AUTHORIZATION;
/// The longest token the upstream accepts, in characters; credentials for the gateway are shorter.
const LONGEST_TOKEN: usize = 64_000;

/// The credentials of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestCredentials {
    /// For the gateway, if it asks for one. Never sent upstream.
    pub(crate) credential: Option<Secret>,
    /// For the upstream.
    pub(crate) token: Option<Token>,
}

/// The credential that the gateway asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum CredentialKind {
    /// None: a bearer token is the upstream's.
    None,
    /// `X-API-Key`, or a bearer token.
    ApiKey,
    BearerToken,
}

impl RequestCredentials {
    /// These credentials, with those of `other` where one is missing.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { credential: self.credential.or(other.credential), token: self.token.or(other.token) }
    }

    /// Reads headers. A bearer token is for the gateway if the gateway asks for a credential, and for
    /// the upstream if not. It is never both.
    pub(super) fn read(headers: &HeaderMap, kind: CredentialKind) -> Result<Self, Refusal> {
        let own = header_text(headers, &X_AUTH_TOKEN)?;
        let key = header_text(headers, &X_API_KEY)?;
        let bearer = bearer(headers)?;
        let (credential, token) = match kind {
            CredentialKind::None => (None, own.or(bearer)),
            CredentialKind::ApiKey => (key.or(bearer), own),
            CredentialKind::BearerToken => (bearer, own),
        };
        Ok(Self { credential: credential.map(Secret::new), token: token.map(Token::new) })
    }
}

/// The token of `Authorization: Bearer …`; `None` for other schemes.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let value = header_fields::single(headers, &AUTHORIZATION)?.map(readable).transpose()?;
    let (scheme, token) = value.and_then(|value| value.split_once(' ')).unwrap_or_default();
    if scheme.eq_ignore_ascii_case("bearer") { limited(token) } else { Ok(None) }
}

fn header_text<'h>(
    headers: &'h HeaderMap,
    name: &'h HeaderName,
) -> Result<Option<&'h str>, Refusal> {
    header_fields::single(headers, name)?.map_or(Ok(None), |value| limited(readable(value)?))
}

fn readable(value: &HeaderValue) -> Result<&str, Refusal> {
    let message = "the token holds characters other than visible ASCII";
    value.to_str().map_err(|_| Refusal::bad_request(message))
}

/// The trimmed text; `None` if it is empty.
fn limited(text: &str) -> Result<Option<&str>, Refusal> {
    let text = text.trim();
    if text.len() > LONGEST_TOKEN {
        let message =
            format!("the token has {} characters: {LONGEST_TOKEN} are allowed", text.len());
        return Err(Refusal::bad_request(message));
    }
    Ok((!text.is_empty()).then_some(text))
}
