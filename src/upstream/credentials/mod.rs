//! Whose credentials go upstream, and how they are put on a request.

mod aksk;

use std::borrow::Cow;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use self::aksk::SigningKey;
use super::failure::Whose;
use crate::clock::Clock;
use crate::config::CredentialsMode;
use crate::domain::{Failure, Token};

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// The credentials of the configured mode.
pub(crate) enum Credentials {
    /// The caller's own token is sent on.
    Passthrough,
    /// Every request is signed with the gateway's access key.
    AkSk(SigningKey),
}

/// What of a call's circumstances goes into its credentials.
pub(crate) struct CallerPart<'a> {
    pub(crate) token: Option<&'a Token>,
    /// As it will stand in the `Host` header.
    pub(crate) host: &'a str,
}

/// What of a request is signed beside its headers.
pub(crate) struct Signable<'a> {
    pub(crate) method: &'a str,
    /// As it stands on the wire.
    pub(crate) path: &'a str,
    /// Decoded pairs.
    pub(crate) query: &'a [(Cow<'a, str>, Cow<'a, str>)],
    /// JSON; empty for none.
    pub(crate) body: &'a [u8],
}

impl Credentials {
    pub(crate) fn new(mode: &CredentialsMode, clock: Clock) -> Self {
        match mode {
            CredentialsMode::Passthrough => Self::Passthrough,
            CredentialsMode::AkSk(key) => Self::AkSk(SigningKey::new(key.clone(), clock)),
        }
    }

    /// Whether the caller's own credentials are used.
    pub(crate) fn are_callers(&self) -> bool {
        matches!(self, Self::Passthrough)
    }

    /// Whose fault it is when the credentials are refused.
    pub(crate) fn whose(&self) -> Whose {
        match self {
            Self::Passthrough => Whose::Caller,
            Self::AkSk(_) => Whose::Gateway,
        }
    }

    /// The project the gateway's own credentials are for, where they name one.
    pub(crate) fn project(&self) -> Option<&str> {
        match self {
            Self::Passthrough => None,
            Self::AkSk(key) => key.project(),
        }
    }

    /// What must not stand in any text that is passed on.
    pub(crate) fn secrets<'a>(&'a self, token: Option<&'a Token>) -> Vec<&'a str> {
        match self {
            Self::Passthrough => token.map(Token::expose).into_iter().collect(),
            Self::AkSk(key) => key.secrets(),
        }
    }

    /// Puts the credentials on a request that is about to be sent.
    pub(crate) fn authorize(
        &self,
        headers: &mut HeaderMap,
        part: &CallerPart<'_>,
        request: &Signable<'_>,
    ) -> Result<(), Failure> {
        match self {
            Self::Passthrough => {
                let token = part.token.ok_or(Failure::TokenMissing)?;
                headers.insert(AUTH_TOKEN, secret_value(token.expose())?);
                Ok(())
            }
            Self::AkSk(key) => key.sign(headers, part.host, request),
        }
    }

    /// Why the credentials cannot be used for now.
    pub(crate) fn trouble(&self) -> Option<&'static str> {
        match self {
            Self::Passthrough => None,
            Self::AkSk(key) => key.is_resting().then_some("the upstream refused the access key"),
        }
    }

    /// Draws the conclusions of an error answer for the calls to come.
    pub(crate) fn heed(&self, failure: &Failure, headers: &HeaderMap) {
        match self {
            Self::Passthrough => {}
            Self::AkSk(key) => key.heed(failure, headers),
        }
    }
}

/// A header value that is left out of debug output and of HTTP/2's compression tables.
fn secret_value(text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text).map_err(|_| Failure::BadInput {
        argument: "X-Auth-Token",
        problem: "holds characters that no header can carry".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}
