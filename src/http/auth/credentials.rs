//! What a caller shows: a credential for the gateway and a token for the upstream, read from headers.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{AuthMethod, Authenticator};
use crate::domain::{Secret, Token};
use crate::http::header_fields;
use crate::http::refusal::Refusal;

static X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
static AUTHORIZATION: HeaderName = header::AUTHORIZATION;
/// The longest token the upstream accepts, in characters; credentials for the gateway are shorter.
const LONGEST_TOKEN: usize = 64_000;

/// What a caller shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestCredentials {
    /// For the gateway, where it asks for one; never for the upstream.
    pub(crate) credential: Option<Secret>,
    /// For the upstream.
    pub(crate) token: Option<Token>,
}

impl RequestCredentials {
    /// This, and of another what is not in here.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { credential: self.credential.or(other.credential), token: self.token.or(other.token) }
    }
}

impl Authenticator {
    /// What a caller shows, by the headers.
    ///
    /// A bearer token is the gateway's where the gateway asks callers who they are, and the
    /// upstream's where it does not. It is never both.
    pub(crate) fn credentials(&self, headers: &HeaderMap) -> Result<RequestCredentials, Refusal> {
        let (own, key) = (header_text(headers, &X_AUTH_TOKEN)?, header_text(headers, &X_API_KEY)?);
        let bearer = bearer(headers)?;
        let (credential, token) = match &**self.0.method.load() {
            AuthMethod::None => (None, own.or(bearer)),
            AuthMethod::ApiKeys(_) => (key.or(bearer), own),
            AuthMethod::Tokens(_) => (bearer, own),
        };
        Ok(RequestCredentials {
            credential: credential.map(Secret::new),
            token: token.map(Token::new),
        })
    }
}

/// The token of `Authorization: Bearer …`; nothing for another scheme.
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

/// The text without blanks around it; nothing for one of blanks alone.
fn limited(text: &str) -> Result<Option<&str>, Refusal> {
    let text = text.trim();
    if text.len() > LONGEST_TOKEN {
        let message =
            format!("the token has {} characters: {LONGEST_TOKEN} are allowed", text.len());
        return Err(Refusal::bad_request(message));
    }
    Ok((!text.is_empty()).then_some(text))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::clock::Clock;
    use crate::config::Live;
    use crate::http::auth::{ApiKeys, AuthParts, Inner};

    fn asking(method: AuthMethod) -> Authenticator {
        let parts = AuthParts {
            passes_tokens: true,
            clock: Clock::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        };
        Authenticator(Arc::new(Inner { method: Live::new(method), parts }))
    }

    fn shown(callers: &Authenticator, given: &[(&'static str, &str)]) -> [Option<String>; 2] {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        let credentials =
            callers.credentials(&given.iter().map(header).collect::<HeaderMap>()).unwrap();
        let credential = credentials.credential.as_ref().map(Secret::expose);
        let token = credentials.token.as_ref().map(Token::expose);
        [credential, token].map(|part| part.map(str::to_owned))
    }

    #[test]
    fn where_nobody_is_asked_the_upstreams_own_header_wins_over_a_bearer_token() {
        let callers = asking(AuthMethod::None);
        for (given, token) in [
            (&[("x-auth-token", "one"), ("authorization", "Bearer other")][..], Some("one")),
            (&[("authorization", "bearer  other ")], Some("other")),
            (&[("authorization", "Basic dTpw")], None),
            (&[("authorization", "Bearer ")], None),
            (&[("x-api-key", "key")], None),
            (&[], None),
        ] {
            let shown = shown(&callers, given);

            assert_eq!(shown, [None, token.map(str::to_owned)], "of {given:?}");
        }
    }

    #[test]
    fn where_a_key_is_asked_for_the_bearer_is_never_the_upstreams() {
        let callers = asking(AuthMethod::ApiKeys(ApiKeys::default()));
        for (given, credential, token) in [
            (&[("authorization", "Bearer key")][..], Some("key"), None),
            (&[("x-api-key", "key"), ("authorization", "Bearer other")], Some("key"), None),
            (&[("x-api-key", "key"), ("x-auth-token", "own")], Some("key"), Some("own")),
            (&[("x-auth-token", "own")], None, Some("own")),
        ] {
            let shown = shown(&callers, given);

            assert_eq!(shown, [credential, token].map(|part| part.map(str::to_owned)), "{given:?}");
        }
    }

    #[test]
    fn a_credential_that_is_given_twice_is_refused() {
        let callers = asking(AuthMethod::None);
        for name in [&X_AUTH_TOKEN, &X_API_KEY, &AUTHORIZATION] {
            let mut headers = HeaderMap::new();
            headers.append(name.clone(), "Bearer one".parse().unwrap());
            assert!(callers.credentials(&headers).is_ok());
            headers.append(name.clone(), "Bearer two".parse().unwrap());

            let refused = callers.credentials(&headers);

            assert!(refused.is_err(), "of {name}");
        }
    }

    #[test]
    fn a_token_longer_than_the_upstreams_is_refused() {
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("x-auth-token"),
            "t".repeat(LONGEST_TOKEN + 1).parse().unwrap(),
        )]);

        assert!(asking(AuthMethod::None).credentials(&headers).is_err());
    }
}
