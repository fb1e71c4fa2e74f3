//! Whose credentials go upstream, and how they are put on a request.

mod signing;
mod metadata;
mod password;
mod refusals;
mod token_refresher;
pub(super) mod skew;

use std::borrow::Cow;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use self::metadata::MetadataKeys;
use self::password::{PasswordLogin, Terms};
use self::refusals::Refusals;
use self::signing::SigningKey;
pub(crate) use self::token_refresher::Generation;
use self::token_refresher::TokenRefresher;
use super::error_mapping::{Code, Whose};
use super::http_client::HttpClient;
use crate::clock::Clock;
use crate::config::{AccessKey, CredentialsMode, ProjectScope, UpstreamConfig};
use crate::domain::{Failure, Token};

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// The credentials of the configured mode.
pub(crate) enum Credentials {
    /// The caller's own token is sent on.
    Passthrough,
    /// Every request is signed with the gateway's access key.
    AkSk(SigningKey),
    /// A token that the gateway logs in for.
    Password(TokenRefresher<PasswordLogin>),
    /// Every request is signed with a temporary key of the server that the gateway runs on.
    Metadata(TemporaryKeys),
}

/// Other credentials of the same mode, ready to be used.
pub(crate) enum CredentialsChange {
    None,
    AkSk(AccessKey),
    Password(Terms),
    Metadata(HttpClient),
}

/// Temporary keys and whether they may be used now.
pub(crate) struct TemporaryKeys {
    keys: TokenRefresher<MetadataKeys>,
    refusals: Refusals,
    clock: Clock,
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
    pub(crate) fn new(config: &UpstreamConfig, clock: Clock) -> Result<Self, reqwest::Error> {
        Ok(match &config.credentials {
            CredentialsMode::Passthrough => Self::Passthrough,
            CredentialsMode::AkSk(key) => Self::AkSk(SigningKey::new(key.clone(), clock)),
            CredentialsMode::Password(login) => {
                let login = PasswordLogin::new(Terms::new(login, config)?, clock.clone());
                Self::Password(TokenRefresher::new(login, clock))
            }
            CredentialsMode::Metadata(service) => {
                let http = metadata::http_client(service, config)?;
                let keys = MetadataKeys::new(service.clone(), http, clock.clone());
                let keys = TokenRefresher::new(keys, clock.clone());
                Self::Metadata(TemporaryKeys { keys, refusals: Refusals::default(), clock })
            }
        })
    }

    /// Gets other credentials ready. The mode stays as it is.
    pub(crate) fn prepare(
        &self,
        config: &UpstreamConfig,
    ) -> Result<CredentialsChange, reqwest::Error> {
        Ok(match (self, &config.credentials) {
            (Self::AkSk(_), CredentialsMode::AkSk(key)) => CredentialsChange::AkSk(key.clone()),
            (Self::Password(_), CredentialsMode::Password(login)) => {
                CredentialsChange::Password(Terms::new(login, config)?)
            }
            (Self::Metadata(_), CredentialsMode::Metadata(service)) => {
                CredentialsChange::Metadata(metadata::http_client(service, config)?)
            }
            (Self::Passthrough | Self::AkSk(_) | Self::Password(_) | Self::Metadata(_), _) => {
                CredentialsChange::None
            }
        })
    }

    /// Uses other credentials from now on. Whether they may be somebody else's.
    pub(crate) fn change(&self, change: CredentialsChange) -> bool {
        match (self, change) {
            (Self::AkSk(key), CredentialsChange::AkSk(new)) => key.change(new),
            (Self::Password(login), CredentialsChange::Password(terms)) => {
                if login.issuer().change(terms) {
                    login.begin_anew();
                }
                false
            }
            (Self::Metadata(temporary), CredentialsChange::Metadata(http)) => {
                temporary.keys.issuer().change(http);
                false
            }
            (Self::Passthrough | Self::AkSk(_) | Self::Password(_) | Self::Metadata(_), _) => false,
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
            Self::AkSk(_) | Self::Password(_) | Self::Metadata(_) => Whose::Gateway,
        }
    }

    /// The project the gateway's own credentials are for, where they name one.
    pub(crate) fn project(&self) -> Option<String> {
        match self {
            Self::Passthrough => None,
            Self::AkSk(key) => key.project(),
            Self::Password(login) => match &login.issuer().terms().login.scope {
                ProjectScope::Id(id) => Some(id.clone()),
                ProjectScope::Name(_) => None,
            },
            Self::Metadata(temporary) => temporary.keys.issuer().project().map(str::to_owned),
        }
    }

    /// What must not stand in any text that is passed on.
    pub(crate) fn secrets(&self, token: Option<&Token>) -> Vec<String> {
        let owned = |secret: &str| secret.to_owned();
        match self {
            Self::Passthrough => token.map(Token::expose).map(owned).into_iter().collect(),
            Self::AkSk(key) => key.secrets(),
            Self::Password(login) => {
                let passwords = login.issuer().passwords();
                let tokens = login.known().into_iter().chain(passwords);
                tokens.map(|secret| secret.expose().to_owned()).collect()
            }
            Self::Metadata(temporary) => {
                let keys = temporary.keys.known();
                keys.iter().flat_map(signing::secrets).map(owned).collect()
            }
        }
    }

    /// Puts the credentials on a request that is about to be sent.
    pub(crate) async fn authorize(
        &self,
        headers: &mut HeaderMap,
        part: &CallerPart<'_>,
        request: &Signable<'_>,
    ) -> Result<Generation, Failure> {
        match self {
            Self::Passthrough => {
                let token = part.token.ok_or(Failure::TokenMissing)?;
                headers.insert(AUTH_TOKEN, secret_value(token.expose())?);
                Ok(Generation::default())
            }
            Self::AkSk(key) => key.sign(headers, part.host, request),
            Self::Password(login) => {
                let (token, generation) = login.get().await?;
                headers.insert(AUTH_TOKEN, secret_value(token.expose())?);
                Ok(generation)
            }
            Self::Metadata(TemporaryKeys { keys, refusals, clock }) => {
                refusals.check(clock.now())?;
                let (key, generation) = keys.get().await?;
                signing::sign(&key, clock.timestamp(), (headers, part.host), request)?;
                Ok(generation)
            }
        }
    }

    /// Why the credentials cannot be used for now.
    pub(crate) fn trouble(&self) -> Option<&'static str> {
        match self {
            Self::Passthrough => None,
            Self::AkSk(key) => key.is_resting().then_some("the upstream refused the access key"),
            Self::Password(login) => {
                login.is_out_of_order().then_some("the gateway cannot log in for a token")
            }
            Self::Metadata(TemporaryKeys { keys, refusals, clock }) => {
                if refusals.check(clock.now()).is_err() {
                    return Some("the upstream refused the temporary key");
                }
                keys.is_out_of_order().then_some("the metadata service gives no temporary key")
            }
        }
    }

    /// Draws the conclusions of an error answer for the calls to come, from a call with credentials of
    /// some generation.
    pub(crate) fn heed(&self, failure: &Failure, headers: &HeaderMap, used: Generation) {
        match self {
            Self::Passthrough => {}
            Self::AkSk(key) => key.heed(failure, headers, used),
            Self::Password(login) => {
                if wants_a_new_token(failure) {
                    login.forget(used);
                }
            }
            Self::Metadata(TemporaryKeys { keys, refusals, clock }) => {
                refusals.heed(failure, headers, clock);
                if refusals.check(clock.now()).is_err() {
                    keys.forget(used);
                }
            }
        }
    }

    /// Whether a call that failed so is worth repeating with new credentials, once.
    pub(crate) fn may_be_renewed(&self, failure: &Failure) -> bool {
        matches!(self, Self::Password(_)) && wants_a_new_token(failure)
    }
}

/// Whether the API gateway says that a token has ended (0307), or that it cannot make anything of it
/// (0301), as of one that was withdrawn before its end. A 401 without a code may be either.
fn wants_a_new_token(failure: &Failure) -> bool {
    let Some(answer) = failure.upstream() else { return false };
    let Some(code) = answer.error_code.as_deref() else { return answer.status == 401 };
    match Code::of(code) {
        Some(Code::Gateway("0307")) => true,
        Some(Code::Gateway("0301")) => answer.status == 401,
        Some(_) | None => false,
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
