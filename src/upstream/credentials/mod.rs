//! Credentials for the upstream: the caller's, or the gateway's own.

mod signing;
mod metadata;
mod account;
mod password;
mod refusals;
mod token_refresher;
pub(super) mod skew;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName};
use url::Url;

use self::account::Account;
use self::metadata::MetadataKeys;
use self::password::{IamClient, PasswordLogin, Terms};
use self::refusals::Refusals;
pub(crate) use self::signing::Signable;
use self::signing::{SigningKey, secret_value};
pub(crate) use self::token_refresher::Generation;
use self::token_refresher::TokenRefresher;
use super::error_mapping::{Code, Whose};
use super::http_client::HttpClient;
use crate::clock::Clock;
use crate::config::{AccessKey, CredentialsMode, ProjectScope, Target, UpstreamConfig};
use crate::domain::{Failure, Token};

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// What the credentials of all projects share, in the configured mode.
pub(crate) enum SharedCredentials {
    /// The caller's token is passed on.
    Passthrough,
    /// Every request is signed with the gateway's access key.
    AkSk(Arc<SigningKey>),
    /// The gateway logs in for a token of each project.
    Password(Arc<Account>, Clock),
    /// Every request is signed with a temporary key of the gateway's own server.
    Metadata(Arc<TemporaryKeys>),
}

/// The credentials for one project.
#[derive(Clone)]
pub(crate) enum Credentials {
    Passthrough,
    AkSk(Arc<SigningKey>),
    Password(TokenRefresher<PasswordLogin>),
    Metadata(Arc<TemporaryKeys>),
}

/// Prepared credentials of the same mode, apart from logins.
pub(crate) enum CredentialsChange {
    None,
    AkSk(AccessKey),
    Metadata(HttpClient),
}

/// A login, and its terms under new settings.
pub(crate) struct LoginChange {
    login: TokenRefresher<PasswordLogin>,
    terms: Terms,
}

/// What the logins of some settings are made with.
pub(crate) struct LoginParts<'c> {
    config: &'c UpstreamConfig,
    /// One for each address of IAM.
    clients: HashMap<Url, IamClient>,
    /// The logins that exist already.
    pub(crate) changes: Vec<LoginChange>,
}

/// Temporary keys, and whether they may be used now.
pub(crate) struct TemporaryKeys {
    keys: TokenRefresher<MetadataKeys>,
    refusals: Refusals,
    clock: Clock,
}

impl SharedCredentials {
    pub(crate) fn new(config: &UpstreamConfig, clock: Clock) -> Result<Self, reqwest::Error> {
        Ok(match &config.credentials {
            CredentialsMode::Passthrough => Self::Passthrough,
            CredentialsMode::AkSk(key) => Self::AkSk(Arc::new(SigningKey::new(key.clone(), clock))),
            CredentialsMode::Password(_) => {
                Self::Password(Arc::new(Account::new(clock.clone())), clock)
            }
            CredentialsMode::Metadata(service) => {
                let http = metadata::http_client(service, config)?;
                let keys = MetadataKeys::new(service.clone(), http, clock.clone());
                let keys = TokenRefresher::new(keys, clock.clone());
                let refusals = Refusals::default();
                Self::Metadata(Arc::new(TemporaryKeys { keys, refusals, clock }))
            }
        })
    }

    /// The credentials for a target; `known` are those for the same project and login.
    pub(crate) fn of_target(
        &self,
        target: &Target,
        known: Option<&Credentials>,
        logins: &mut LoginParts<'_>,
    ) -> Result<Credentials, reqwest::Error> {
        Ok(match self {
            Self::Passthrough => Credentials::Passthrough,
            Self::AkSk(key) => Credentials::AkSk(Arc::clone(key)),
            Self::Metadata(keys) => Credentials::Metadata(Arc::clone(keys)),
            Self::Password(account, clock) => {
                let terms = logins.terms(target)?;
                let login = if let Some(Credentials::Password(login)) = known {
                    logins.changes.push(LoginChange { login: login.clone(), terms });
                    login.clone()
                } else {
                    let login = PasswordLogin::new(Arc::clone(account), terms, clock.clone());
                    TokenRefresher::new(login, clock.clone())
                };
                Credentials::Password(login)
            }
        })
    }

    /// Prepares other credentials. The mode stays the same.
    pub(crate) fn prepare(
        &self,
        config: &UpstreamConfig,
    ) -> Result<CredentialsChange, reqwest::Error> {
        Ok(match (self, &config.credentials) {
            (Self::AkSk(_), CredentialsMode::AkSk(key)) => CredentialsChange::AkSk(key.clone()),
            (Self::Metadata(_), CredentialsMode::Metadata(service)) => {
                CredentialsChange::Metadata(metadata::http_client(service, config)?)
            }
            _ => CredentialsChange::None,
        })
    }

    /// Applies prepared credentials. Returns whether they may belong to another user.
    pub(crate) fn change(&self, change: CredentialsChange) -> bool {
        match (self, change) {
            (Self::AkSk(key), CredentialsChange::AkSk(new)) => key.change(new),
            (Self::Metadata(temporary), CredentialsChange::Metadata(http)) => {
                temporary.keys.issuer().change(http);
                false
            }
            _ => false,
        }
    }

    /// Whether the caller's own credentials are used.
    pub(crate) fn are_callers(&self) -> bool {
        matches!(self, Self::Passthrough)
    }
}

impl<'c> LoginParts<'c> {
    pub(crate) fn new(config: &'c UpstreamConfig) -> Self {
        Self { config, clients: HashMap::new(), changes: Vec::new() }
    }

    fn terms(&mut self, target: &Target) -> Result<Terms, reqwest::Error> {
        let (CredentialsMode::Password(login), Some(target)) =
            (&self.config.credentials, &target.login)
        else {
            unreachable!("settings with a password say where each project logs in")
        };
        let iam = match self.clients.entry(target.endpoint.clone()) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(new) => {
                let http = HttpClient::new(&target.endpoint, self.config)?;
                new.insert(IamClient { http, turn: Arc::default() }).clone()
            }
        };
        let timeout = self.config.attempt_timeout;
        Ok(Terms { login: login.clone(), target: target.clone(), iam, timeout })
    }
}

impl LoginChange {
    pub(crate) fn apply(self) {
        if self.login.issuer().change(self.terms) {
            self.login.reset_failures();
        }
    }
}

impl Credentials {
    /// Whose credentials are refused if the upstream refuses some.
    pub(crate) fn whose(&self) -> Whose {
        match self {
            Self::Passthrough => Whose::Caller,
            Self::AkSk(_) | Self::Password(_) | Self::Metadata(_) => Whose::Gateway,
        }
    }

    /// The project of the gateway's own credentials, if they name one.
    pub(crate) fn project(&self) -> Option<String> {
        match self {
            Self::Passthrough => None,
            Self::AkSk(key) => key.project(),
            Self::Password(login) => match &login.issuer().terms().target.scope {
                ProjectScope::Id(id) => Some(id.clone()),
                ProjectScope::Name(_) => None,
            },
            Self::Metadata(temporary) => temporary.keys.issuer().project().map(str::to_owned),
        }
    }

    /// The secrets that no text may show.
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

    /// Adds the credentials to the headers of a request.
    pub(crate) async fn authorize(
        &self,
        headers: &mut HeaderMap,
        token: Option<&Token>,
        request: &Signable<'_>,
    ) -> Result<Generation, Failure> {
        match self {
            Self::Passthrough => {
                let token = token.ok_or(Failure::TokenMissing)?;
                headers.insert(AUTH_TOKEN, secret_value(token.expose())?);
                Ok(Generation::default())
            }
            Self::AkSk(key) => key.sign(headers, request),
            Self::Password(login) => {
                let (token, generation) = login.get().await?;
                headers.insert(AUTH_TOKEN, secret_value(token.expose())?);
                Ok(generation)
            }
            Self::Metadata(temporary) => {
                let TemporaryKeys { keys, refusals, clock } = &**temporary;
                refusals.check(clock.now())?;
                let (key, generation) = keys.get().await?;
                signing::sign(&key, clock.timestamp(), headers, request)?;
                Ok(generation)
            }
        }
    }

    /// Why the credentials cannot be used for now.
    pub(crate) fn trouble(&self) -> Option<&'static str> {
        match self {
            Self::Passthrough => None,
            Self::AkSk(key) => key.is_paused().then_some("the upstream refused the access key"),
            Self::Password(login) => {
                login.is_failing().then_some("the gateway cannot log in for a token")
            }
            Self::Metadata(temporary) => {
                let TemporaryKeys { keys, refusals, clock } = &**temporary;
                if refusals.check(clock.now()).is_err() {
                    return Some("the upstream refused the temporary key");
                }
                keys.is_failing().then_some("the metadata service gives no temporary key")
            }
        }
    }

    /// Notes the failure of a call that used credentials of a generation.
    pub(crate) fn note_failure(&self, failure: &Failure, headers: &HeaderMap, used: Generation) {
        match self {
            Self::Passthrough => {}
            Self::AkSk(key) => key.note_failure(failure, headers, used),
            Self::Password(login) => {
                if wants_a_new_token(failure) {
                    login.forget(used);
                }
            }
            Self::Metadata(temporary) => {
                let TemporaryKeys { keys, refusals, clock } = &**temporary;
                refusals.note_failure(failure, headers, clock);
                if refusals.check(clock.now()).is_err() {
                    keys.forget(used);
                }
            }
        }
    }

    /// Whether to repeat a failed call once with new credentials.
    pub(crate) fn may_be_renewed(&self, failure: &Failure) -> bool {
        matches!(self, Self::Password(_)) && wants_a_new_token(failure)
    }
}

/// Whether the API gateway says that a token has ended (0307) or is invalid (0301), as one that was
/// withdrawn. A 401 without a code may be either.
fn wants_a_new_token(failure: &Failure) -> bool {
    let Some(answer) = failure.upstream() else { return false };
    let Some(code) = answer.error_code.as_deref() else { return answer.status == 401 };
    match Code::of(code) {
        Some(Code::Gateway("0307")) => true,
        Some(Code::Gateway("0301")) => answer.status == 401,
        Some(_) | None => false,
    }
}
