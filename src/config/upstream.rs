//! `upstream.*`: where the upstream is, which credentials it gets, and how long the gateway waits for it.

use std::num::NonZeroU32;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use url::Url;

use super::access_key::AccessKey;
use super::credentials::{CredentialsKind, CredentialsSettings};
use super::iam::{IamLogin, IamSettings, ProjectScope, default_project};
use super::proxies::Proxies;
use super::settings::{Role, SettingsLoader, bytes, number, settings, share, timeout};
use super::target::{ProjectConfig, Target};
use super::tls::certificates_of;
use crate::domain::ProjectId;

settings! {
    /// How the upstream is reached.
    #[derive(Clone, Debug)]
    pub struct UpstreamConfig in "upstream." {
        /// time to connect; at most `upstream.attempt_timeout`, to which the default is lowered
        pub connect_timeout: Duration = timeout().default("2s").reloadable(),
        /// time for one attempt, body included; at most `upstream.deadline`, to which the default is lowered
        pub attempt_timeout: Duration = timeout().default("5s").reloadable(),
        /// time for one load, with all its attempts and waits
        pub deadline: Duration = timeout().default("10s").reloadable(),
        /// attempts of one load, within `upstream.deadline`; 1 turns retries off
        pub max_attempts: NonZeroU32 = number(1..=10).default("3").reloadable(),
        /// calls to the upstream in progress; one caller gets at most seven eighths of them
        pub max_concurrency: NonZeroU32 =
            number(1..=100_000).default("256").reloadable(),
        /// largest answer of the upstream after decompression; a larger one is an error
        pub max_body_bytes: usize =
            bytes(1024..=64 << 20).default("1MiB").reloadable(),
    } and {
        /// Where projects are that no table names: `upstream.endpoint`, or the public one of
        /// `upstream.region`.
        pub default: Option<Target> = None,
        /// `projects.*`, in the order of the file.
        pub projects: Vec<ProjectConfig> = Vec::new(),
        /// `upstream.credentials`, with what they need.
        pub credentials: CredentialsMode = CredentialsMode::Passthrough,
        /// Whether a caller's token is for all projects, as only the demo's is.
        pub tokens_are_for_all_projects: bool = false,
        /// What `upstream.ca_file` holds: trusted beside the system's own.
        pub ca_certificates: Vec<CertificateDer<'static>> = Vec::new(),
        /// The proxies on the way to the upstream, IAM and the callers' keys.
        pub proxies: Proxies = Proxies::default(),
        /// `upstream.breaker_*`
        pub breaker: BreakerConfig = BreakerConfig::default(),
    }
}

settings! {
    /// When calls stop because too many have failed.
    #[derive(Clone, Debug, PartialEq)]
    pub struct BreakerConfig in "upstream.breaker_" {
        /// with fewer attempts than this in the window, the circuit breaker stays closed
        pub min_calls: NonZeroU32 =
            number(1..=1_000_000_000).default("20").reloadable(),
        /// share of failed attempts at which the circuit breaker opens; an attempt fails without an answer or
        /// with a 5xx
        pub failure_rate: f64 = share().default("0.5").reloadable(),
        /// how long an attempt counts for the circuit breaker
        pub window: Duration = timeout().default("10s").reloadable(),
        /// how long an open circuit breaker blocks all calls before one attempt probes the upstream
        pub open_for: Duration = timeout().default("5s").reloadable(),
    }
}

/// Whose credentials go upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsMode {
    /// The caller's own token is sent on.
    Passthrough,
    /// The gateway signs with an access key of its own.
    AkSk(AccessKey),
    /// The gateway logs in for a token of its own.
    Password(IamLogin),
    /// The gateway signs with temporary keys of the cloud server that it runs on.
    Metadata(MetadataService),
}

/// The metadata service of a cloud server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataService {
    /// `upstream.metadata_endpoint`
    pub endpoint: Url,
    /// Sent as `X-Project-Id` where set.
    pub project_id: Option<String>,
}

impl UpstreamConfig {
    /// The defaults, for an upstream at `endpoint`.
    pub fn at(endpoint: Url) -> Self {
        Self { default: Some(Target::at(endpoint)), ..Self::default() }
    }

    /// Where a project is, if the settings say so.
    pub fn target(&self, project: &ProjectId) -> Option<&Target> {
        let named = self.projects.iter().find(|named| named.id == *project);
        named.map(|named| &named.target).or(self.default.as_ref())
    }

    /// Which upstream is read for projects that no table names, as whom, and how its answers are
    /// understood: what replicas must have in common to share what they read.
    pub fn identity(&self) -> Vec<String> {
        let login = self.default.as_ref().and_then(|default| default.login.as_ref());
        let scope = match login.map(|login| &login.scope) {
            Some(ProjectScope::Id(scope) | ProjectScope::Name(scope)) => scope,
            None => "",
        };
        let credentials = match &self.credentials {
            CredentialsMode::Passthrough => vec!["passthrough"],
            CredentialsMode::AkSk(key) => vec!["aksk", key.access.expose()],
            CredentialsMode::Password(IamLogin { domain, user, .. }) => {
                vec!["password", domain, user, scope]
            }
            CredentialsMode::Metadata(service) => {
                vec!["metadata", service.project_id.as_deref().unwrap_or_default()]
            }
        };
        let target = self.default.iter().flat_map(Target::identity);
        target.chain(credentials.into_iter().map(str::to_owned)).collect()
    }

    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Self {
        let upstream = Self::read(loader);
        let (attempt, deadline) = (Self::attempt_timeout(), Self::deadline());
        let attempt_timeout = loader.at_most(&attempt, &deadline, upstream.deadline);
        let connect_timeout = loader.at_most(&Self::connect_timeout(), &attempt, attempt_timeout);
        let breaker = BreakerConfig::read(loader);
        if breaker.failure_rate <= 0.0 {
            let problem = "must be above 0: at 0 the circuit opens unprovoked";
            loader.refuse(&[&BreakerConfig::failure_rate()], problem);
        }
        let upstream = Self { connect_timeout, attempt_timeout, breaker, ..upstream };
        // The demo has upstreams of its own.
        if loader.inputs.role == Role::Demo {
            return upstream;
        }
        let settings = CredentialsSettings::read(loader);
        let iam = IamSettings::read(loader);
        let ca_certificates = settings.ca_file.and_then(|file| {
            let parse = |text: &str| certificates_of(text.as_bytes());
            loader.read_named(&CredentialsSettings::ca_file(), &file, parse)
        });
        let default = Target::load(loader);
        let credentials = match settings.credentials {
            CredentialsKind::Passthrough => None,
            CredentialsKind::AkSk => AccessKey::load(loader).map(CredentialsMode::AkSk),
            CredentialsKind::Password => IamLogin::load(loader, iam).map(CredentialsMode::Password),
            CredentialsKind::Metadata => Some(CredentialsMode::Metadata(MetadataService {
                endpoint: settings.metadata_endpoint,
                project_id: default_project(loader).map(|id| id.as_str().to_owned()),
            })),
        };
        Self {
            projects: ProjectConfig::load_all(loader, default.as_ref()),
            default,
            // After a refusal they are not used.
            credentials: credentials.unwrap_or(CredentialsMode::Passthrough),
            ca_certificates: ca_certificates.unwrap_or_default(),
            proxies: Proxies::load(loader),
            ..upstream
        }
    }
}
