//! The gateway's own credentials for the upstream.

mod lease;
mod metadata;
mod login;
mod refresher;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use tokio::sync::Mutex;
use url::Url;

pub(crate) use self::lease::{Issued, NOTABLE_SKEW, clock_skew};
use self::login::{Account, IamEndpoint, Login};
use self::metadata::MetadataKeys;
use self::refresher::Issuer;
pub(crate) use self::refresher::Refresher;
use super::http_client::HttpClient;
use crate::clock::Clock;
use crate::config::{CredentialsMode, Target, UpstreamConfig};

/// Makes the credentials of all projects under some settings, and holds what they have in common.
pub(crate) struct SharedCredentials {
    config: Arc<UpstreamConfig>,
    clock: Clock,
    account: Arc<Account>,
    iam: HashMap<Url, Arc<IamEndpoint>>,
    /// The key that signs for all projects.
    keys: Option<Arc<Refresher>>,
}

impl SharedCredentials {
    /// `old` are those of the settings in use.
    pub(crate) fn new(
        config: &Arc<UpstreamConfig>,
        old: Option<&Self>,
        clock: &Clock,
    ) -> Result<Self, reqwest::Error> {
        let same = old.filter(|old| old.config.credentials == config.credentials);
        let account = same.map(|same| Arc::clone(&same.account)).unwrap_or_default();
        let issuer = match &config.credentials {
            CredentialsMode::Passthrough | CredentialsMode::Password(_) => None,
            CredentialsMode::AkSk(key) => Some(Issuer::Settings(key.clone())),
            CredentialsMode::Metadata(service) => {
                Some(Issuer::Metadata(MetadataKeys::new(service, config, clock.clone())?))
            }
        };
        let (config, clock) = (Arc::clone(config), clock.clone());
        let mut shared = Self { config, clock, account, iam: HashMap::new(), keys: None };
        let known = same.and_then(|same| same.keys.as_deref());
        shared.keys = issuer.map(|issuer| shared.refresher(issuer, known));
        Ok(shared)
    }

    /// The credentials for a target, `None` for the token of each caller. `known` are those of the settings
    /// before, for the same project and login.
    pub(crate) fn of_target(
        &mut self,
        target: &Target,
        known: Option<&Refresher>,
    ) -> Result<Option<Arc<Refresher>>, reqwest::Error> {
        let CredentialsMode::Password(user) = &self.config.credentials else {
            return Ok(self.keys.clone());
        };
        let Some(target) = &target.login else {
            unreachable!("settings with a password say where each project logs in")
        };
        let iam = match self.iam.entry(target.endpoint.clone()) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(new) => {
                let http = HttpClient::new(&target.endpoint, &self.config)?;
                Arc::clone(new.insert(Arc::new(IamEndpoint { http, turn: Mutex::default() })))
            }
        };
        let login = Login {
            user: user.clone(),
            target: target.clone(),
            iam,
            account: Arc::clone(&self.account),
            timeout: self.config.attempt_timeout,
            clock: self.clock.clone(),
        };
        Ok(Some(self.refresher(Issuer::Iam(login), known)))
    }

    fn refresher(&self, issuer: Issuer, known: Option<&Refresher>) -> Arc<Refresher> {
        Arc::new(Refresher::new(issuer, Arc::clone(&self.account), known, self.clock.clone()))
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
