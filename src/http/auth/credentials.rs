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

impl RequestCredentials {
    /// These credentials, with those of `other` where one is missing.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { credential: self.credential.or(other.credential), token: self.token.or(other.token) }
    }
}

/// The headers that may hold a credential.
pub(super) struct CredentialHeaders<'h> {
    pub(super) auth_token: Option<&'h str>,
    pub(super) api_key: Option<&'h str>,
    /// `Authorization: Bearer …`
    pub(super) bearer: Option<&'h str>,
}

impl<'h> CredentialHeaders<'h> {
    pub(super) fn read(headers: &'h HeaderMap) -> Result<Self, Refusal> {
        let limited = |text: Option<&'h str>| text.map_or(Ok(None), limited);
        let authorization = text(headers, &AUTHORIZATION)?.and_then(|text| text.split_once(' '));
        let bearer = authorization.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        Ok(Self {
            auth_token: limited(text(headers, &X_AUTH_TOKEN)?)?,
            api_key: limited(text(headers, &X_API_KEY)?)?,
            bearer: limited(bearer.map(|(_, token)| token))?,
        })
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Refusal> {
    let message = "the token holds characters other than visible ASCII";
    let value = header_fields::single(headers, name)?.map(HeaderValue::to_str).transpose();
    value.map_err(|_| Refusal::bad_request(message))
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
