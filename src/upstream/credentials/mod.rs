//! Credentials for the upstream: the caller's, or the gateway's own.

mod lease;
mod signing;
mod metadata;
mod login;
mod refresher;
pub(super) mod skew;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName};
use tokio::sync::{Mutex, Semaphore};
use url::Url;

use self::lease::{Issued, Pause};
use self::login::{Iam, Login, MOST_LOGINS};
use self::metadata::MetadataKeys;
pub(crate) use self::refresher::Generation;
use self::refresher::{Issuer, Refresher};
use self::signing::secret_value;
use super::error_mapping::{Code, Whose};
use super::http_client::HttpClient;
use crate::clock::Clock;
use crate::config::{CredentialsMode, Target, UpstreamConfig};
use crate::domain::{ErrorCode, Failure, ProjectId, Secret, Token};
use crate::signature::SignableRequest;

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
/// How long a key is not used after a refusal. The API gateway locks a key for that long after more than five
/// refusals in a row, see <https://support.huaweicloud.com/eu/nl-nl/devg-apisign/api-sign-0001.html>.
const KEY_PAUSE: Duration = Duration::from_mins(5);

/// The credentials for one project.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// The caller's token is sent on.
    Callers,
    /// A token or a key of the gateway's own.
    Own(Arc<Refresher>),
}

/// Makes the credentials of all projects under some settings, and holds what they have in common.
pub(crate) struct SharedCredentials {
    config: Arc<UpstreamConfig>,
    clock: Clock,
    /// Whether logins of the settings before are kept as they are.
    keeps_logins: bool,
    lockout: Arc<Pause>,
    login_permits: Arc<Semaphore>,
    iam: HashMap<Url, Arc<Iam>>,
    /// The key that signs for all projects.
    keys: Option<Arc<Refresher>>,
}

impl SharedCredentials {
    /// `old` are those of the settings in use. `keeps_clients` says that their HTTP clients fit the new ones.
    pub(crate) fn new(
        config: &Arc<UpstreamConfig>,
        old: Option<&Self>,
        keeps_clients: bool,
        clock: &Clock,
    ) -> Result<Self, reqwest::Error> {
        let same = old.filter(|old| old.config.credentials == config.credentials);
        let kept = same
            .filter(|old| keeps_clients && old.config.attempt_timeout == config.attempt_timeout);
        let lockout = same.map(|same| Arc::clone(&same.lockout)).unwrap_or_default();
        let login_permits = same.map_or_else(
            || Arc::new(Semaphore::new(MOST_LOGINS)),
            |same| Arc::clone(&same.login_permits),
        );
        let issuer = match &config.credentials {
            CredentialsMode::Passthrough | CredentialsMode::Password(_) => None,
            CredentialsMode::AkSk(key) => Some(Issuer::Settings(key.clone())),
            CredentialsMode::Metadata(service) => {
                Some(Issuer::Metadata(MetadataKeys::new(service, config, clock.clone())?))
            }
        };
        let known = same.and_then(|same| same.keys.as_deref());
        let keys = kept.and_then(|kept| kept.keys.clone()).or_else(|| {
            Some(Arc::new(Refresher::new(issuer?, Arc::clone(&lockout), known, clock.clone())))
        });
        let iam = kept.map(|kept| kept.iam.clone()).unwrap_or_default();
        let (config, clock, keeps_logins) = (Arc::clone(config), clock.clone(), kept.is_some());
        Ok(Self { config, clock, keeps_logins, lockout, login_permits, iam, keys })
    }

    /// The credentials for a target; `known` are those of the settings before, for the same project and login.
    pub(crate) fn of_target(
        &mut self,
        target: &Target,
        known: Option<&Credentials>,
    ) -> Result<Credentials, reqwest::Error> {
        if let Some(keys) = &self.keys {
            return Ok(Credentials::Own(Arc::clone(keys)));
        }
        let CredentialsMode::Password(user) = &self.config.credentials else {
            return Ok(Credentials::Callers);
        };
        if self.keeps_logins
            && let Some(known) = known
        {
            return Ok(known.clone());
        }
        let Some(target) = &target.login else {
            unreachable!("settings with a password say where each project logs in")
        };
        let iam = match self.iam.entry(target.endpoint.clone()) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(new) => {
                let http = HttpClient::new(&target.endpoint, &self.config)?;
                Arc::clone(new.insert(Arc::new(Iam { http, turn: Mutex::default() })))
            }
        };
        let login = Login {
            user: user.clone(),
            target: target.clone(),
            iam,
            lockout: Arc::clone(&self.lockout),
            permits: Arc::clone(&self.login_permits),
            timeout: self.config.attempt_timeout,
            clock: self.clock.clone(),
        };
        let known = known.and_then(Credentials::own).map(|known| &**known);
        let lockout = Arc::clone(&self.lockout);
        let refresher = Refresher::new(Issuer::Iam(login), lockout, known, self.clock.clone());
        Ok(Credentials::Own(Arc::new(refresher)))
    }

    /// Whether these may belong to another user than those of other settings.
    pub(crate) fn may_be_of_another_user(&self, other: &Self) -> bool {
        match (&self.config.credentials, &other.config.credentials) {
            (CredentialsMode::AkSk(one), CredentialsMode::AkSk(other)) => {
                one.access != other.access || one.project_id != other.project_id
            }
            _ => false,
        }
    }
}

impl Credentials {
    fn own(&self) -> Option<&Arc<Refresher>> {
        match self {
            Self::Callers => None,
            Self::Own(refresher) => Some(refresher),
        }
    }

    /// Whose credentials are refused if the upstream refuses some.
    pub(crate) fn whose(&self) -> Whose {
        self.own().map_or(Whose::Caller, |_| Whose::Gateway)
    }

    /// The secrets that no text may show.
    pub(crate) fn secrets(&self, token: Option<&Token>) -> Vec<Secret> {
        match self {
            Self::Callers => token.map(|token| Secret::new(token.expose())).into_iter().collect(),
            Self::Own(refresher) => refresher.secrets(),
        }
    }

    /// Adds the credentials to the headers of a request.
    pub(crate) async fn authorize(
        &self,
        headers: &mut HeaderMap,
        token: Option<&Token>,
        project: Option<&ProjectId>,
        request: &SignableRequest<'_>,
    ) -> Result<Generation, Failure> {
        let Self::Own(refresher) = self else {
            let token = token.ok_or(Failure::TokenMissing)?;
            headers.insert(AUTH_TOKEN, secret_value(token.expose())?);
            return Ok(Generation::default());
        };
        let (issued, generation) = refresher.get().await?;
        match issued {
            Issued::Token(token) => {
                headers.insert(AUTH_TOKEN, secret_value(token.expose())?);
            }
            Issued::Key(key) => {
                signing::sign(&key, refresher.clock.timestamp(), headers, project, request)?;
            }
        }
        Ok(generation)
    }

    /// Why the credentials cannot be used for now.
    pub(crate) fn trouble(&self) -> Option<&'static str> {
        self.own()?.trouble()
    }

    /// Notes the failure of a call that used credentials of a generation.
    pub(crate) fn note_failure(&self, failure: &Failure, headers: &HeaderMap, used: Generation) {
        let Self::Own(refresher) = self else { return };
        let Refresher { issuer, lockout, clock, .. } = &**refresher;
        if matches!(issuer, Issuer::Iam(_)) {
            if wants_a_new_token(failure) {
                refresher.forget(used);
            }
        } else if refuses_the_key(failure) {
            skew::report(headers, clock.timestamp());
            tracing::error!(
                rest_seconds = KEY_PAUSE.as_secs(),
                "the upstream refused the access key: calls stop, so that the key is not locked"
            );
            lockout.begin(clock.now() + KEY_PAUSE, failure);
            refresher.forget(used);
        }
    }

    /// Whether to repeat a failed call once with new credentials.
    pub(crate) fn may_be_renewed(&self, failure: &Failure) -> bool {
        let is_login = self.own().is_some_and(|own| matches!(own.issuer, Issuer::Iam(_)));
        is_login && wants_a_new_token(failure)
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

/// Whether the API gateway refused the key, and not the service behind it. Without a code the key counts as
/// refused: further signatures could lock it.
fn refuses_the_key(failure: &Failure) -> bool {
    let Failure::Refused(refusal) = failure else { return false };
    let code = refusal.answer.error_code.as_deref();
    refusal.code == ErrorCode::UpstreamUnauthenticated
        && code.is_none_or(|code| Code::of(code) == Some(Code::Gateway("0301")))
}
