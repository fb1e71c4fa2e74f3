//! `upstream.*`: where the upstream is, which credentials it gets, and how long the gateway waits for it.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use rustls::pki_types::CertificateDer;
use url::Url;

use super::access_key::AccessKey;
use super::iam::{self, IamAddress, IamLogin, IamSettings, ProjectScope};
use super::projects::{self, ProjectConfig, ProjectDefaults};
use super::settings::{
    CappedDuration, Format, SERVE, SettingsLoader, bytes, duration, file_path, number, one_of,
    setting, settings, share,
};
use super::sources::PROJECTS;
use super::target::{AddressKeys, Target, endpoints, regions, time_zones};
use super::tls::ca_certificates_of;
use super::web_address::{may_hold_secret, web_address};
use crate::domain::ProjectId;
use crate::proxies::Proxies;

const CREDENTIALS: &[(&str, CredentialsKind)] = &[
    ("passthrough", CredentialsKind::Passthrough),
    ("aksk", CredentialsKind::AkSk),
    ("password", CredentialsKind::Password),
    ("metadata", CredentialsKind::Metadata),
];

settings! {
    /// The settings that the default target and the credentials are made of.
    pub(super) struct UpstreamTarget in "upstream." for SERVE {
        /// region whose public endpoint is used, for projects that no table `[projects.<id>]` names:
        /// `https://workspace.{region}.myhuaweicloud.com`
        region: Option<String> = setting(regions().optional()),
        /// base address of the upstream; wins over the region
        endpoint: Option<Url> = setting(endpoints().optional())
            .shown_when_unset("that of the region")
            .secret_if(may_hold_secret),
        /// credentials for the upstream: each caller's token, the gateway's access key, a token that the
        /// gateway logs in for, or the temporary key of the cloud server that it runs on
        pub(super) credentials: CredentialsKind = setting(one_of(CREDENTIALS)).default("passthrough"),
        /// address of the metadata service, for `upstream.credentials=metadata`
        metadata_endpoint: Url = setting(web_address())
            .default("http://169.254.169.254")
            .secret_if(may_hold_secret),
        /// file with further trusted CA certificates, as PEM, for the upstream, IAM and the metadata service;
        /// read again when it changes
        ca_file: Option<PathBuf> = setting(file_path()).reloadable(),
        /// time zone of upstream timestamps that name none
        time_zone: TimeZone = setting(time_zones()).default("UTC"),
    }
}

settings! {
    /// How the upstream is reached.
    #[derive(Clone, Debug)]
    pub struct UpstreamConfig in "upstream." {
        /// time to connect; at most `upstream.attempt_timeout`, to which the default is lowered
        pub connect_timeout: Duration = setting(timeout()).default("2s").reloadable(),
        /// time for one attempt, body included; at most `upstream.deadline`, to which the default is lowered
        pub attempt_timeout: Duration = setting(timeout()).default("5s").reloadable(),
        /// time for one load, with all its attempts and waits
        pub deadline: Duration = setting(timeout()).default("10s").reloadable(),
        /// attempts of one load, within `upstream.deadline`; 1 turns retries off
        pub max_attempts: NonZeroU32 = setting(number(1..=10)).default("3").reloadable(),
        /// calls to the upstream in progress; one caller gets at most seven eighths of them
        pub max_concurrency: NonZeroU32 =
            setting(number(1..=100_000)).default("256").reloadable(),
        /// largest answer of the upstream after decompression; a larger one is an error
        pub max_body_bytes: usize =
            setting(bytes(1024..=64 << 20)).default("1MiB").reloadable(),
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
            setting(number(1..=1_000_000_000)).default("20").reloadable(),
        /// share of failed attempts at which the circuit breaker opens; an attempt fails without an answer or
        /// with a 5xx
        pub failure_rate: f64 = setting(share()).default("0.5").reloadable(),
        /// how long an attempt counts for the circuit breaker
        pub window: Duration = setting(timeout()).default("10s").reloadable(),
        /// how long an open circuit breaker blocks all calls before one attempt probes the upstream
        pub open_for: Duration = setting(timeout()).default("5s").reloadable(),
    }
}

/// The words of `upstream.credentials`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CredentialsKind {
    Passthrough,
    AkSk,
    Password,
    Metadata,
}

/// Whose credentials go upstream.
#[derive(Clone, Debug)]
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
        let mut parts =
            self.default.as_ref().map_or_else(Vec::new, |default| default.identity().into());
        match &self.credentials {
            CredentialsMode::Passthrough => parts.push("passthrough".to_owned()),
            CredentialsMode::AkSk(key) => {
                parts.extend(["aksk".to_owned(), key.access.expose().to_owned()]);
            }
            CredentialsMode::Password(IamLogin { domain, user, .. }) => {
                parts.extend(["password", domain, user].map(str::to_owned));
                let login = self.default.as_ref().and_then(|default| default.login.as_ref());
                if let Some(ProjectScope::Id(scope) | ProjectScope::Name(scope)) =
                    login.map(|login| &login.scope)
                {
                    parts.push(scope.clone());
                }
            }
            CredentialsMode::Metadata(service) => {
                let project = service.project_id.clone().unwrap_or_default();
                parts.extend(["metadata".to_owned(), project]);
            }
        }
        parts
    }

    /// Reads everything that `serve` and `check` need.
    pub(super) fn load(loader: &mut SettingsLoader<'_>, target: UpstreamTarget) -> Self {
        let mut default = target.resolve(loader);
        let ca_certificates = ca_certificates(loader, target.ca_file.as_deref());
        let is_refused = default.is_none() && !target.is_left_out(loader);
        let time_zone = target.time_zone.clone();
        let ResolvedCredentials { mode, iam } = target.resolve_credentials(loader, &mut default);
        let defaults = ProjectDefaults {
            target: default.as_ref(),
            time_zone: &time_zone,
            iam: iam.as_ref(),
            is_refused,
        };
        let projects = projects::load(loader, &defaults);
        let proxies = loader.proxies();
        let limits = Self::load_limits(loader);
        Self { default, projects, credentials: mode, ca_certificates, proxies, ..limits }
    }

    /// Reads how the gateway calls an upstream whose address and credentials are known.
    pub(super) fn load_limits(loader: &mut SettingsLoader<'_>) -> Self {
        let upstream = Self::read(loader);
        let (deadline, attempt, connect) =
            (Self::deadline(), Self::attempt_timeout(), Self::connect_timeout());
        let deadline = CappedDuration { setting: &deadline, value: upstream.deadline };
        let attempt = CappedDuration { setting: &attempt, value: upstream.attempt_timeout };
        let attempt_timeout = loader.at_most(attempt, deadline);
        let attempt = CappedDuration { value: attempt_timeout, ..attempt };
        let connect = CappedDuration { setting: &connect, value: upstream.connect_timeout };
        let connect_timeout = loader.at_most(connect, attempt);
        let breaker = BreakerConfig::load(loader);
        Self { connect_timeout, attempt_timeout, breaker, ..upstream }
    }
}

impl BreakerConfig {
    fn load(loader: &mut SettingsLoader<'_>) -> Self {
        let breaker = Self::read(loader);
        if breaker.failure_rate <= 0.0 {
            let problem = "must be above 0: at 0 the circuit opens unprovoked";
            loader.refuse(&Self::failure_rate(), problem);
        }
        breaker
    }
}

impl CredentialsKind {
    /// Whether everybody who is let in acts with the same credentials: those of the gateway.
    pub(super) fn are_the_gateways(self) -> bool {
        match self {
            Self::Passthrough => false,
            Self::AkSk | Self::Password | Self::Metadata => true,
        }
    }

    /// As it stands in the settings.
    pub(super) fn word(self) -> &'static str {
        CREDENTIALS.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| *word)
    }
}

impl UpstreamTarget {
    /// Whether projects that no table names have no address.
    fn is_left_out(&self, loader: &SettingsLoader<'_>) -> bool {
        let are_valid = loader.are_valid(&[&Self::region(), &Self::endpoint()]);
        are_valid && self.region.is_none() && self.endpoint.is_none()
    }

    /// The target of projects that no table names. `None` if it is left out, and after a refusal.
    fn resolve(&self, loader: &mut SettingsLoader<'_>) -> Option<Target> {
        let [region, endpoint] = [Self::region().spec, Self::endpoint().spec];
        if self.is_left_out(loader) && loader.tables(PROJECTS).is_empty() {
            let problem = format!(
                "set upstream.region (--{}, {}), for example to ap-southeast-1, or upstream.endpoint \
                 (--{}, {}); without an account, try the command `demo`",
                region.flag(),
                region.variable(),
                endpoint.flag(),
                endpoint.variable(),
            );
            loader.refuse(&region, &problem);
        }
        if self.endpoint.is_none() && !loader.are_valid(&[&region, &endpoint]) {
            return None;
        }
        let keys = AddressKeys { region: region.key, endpoint: endpoint.key, setting: &endpoint };
        let address = keys.address(loader, self.endpoint.clone(), self.region.as_deref())?;
        let (region, time_zone) = (self.region.clone(), self.time_zone.clone());
        Some(Target { region, endpoint: address, time_zone, login: None })
    }

    /// The credentials; after a refusal those of the caller, which then are not used. Completes the
    /// default target by where the gateway logs in.
    fn resolve_credentials(
        self,
        loader: &mut SettingsLoader<'_>,
        default: &mut Option<Target>,
    ) -> ResolvedCredentials {
        let login = IamSettings::read(loader);
        let mut iam = None;
        let mode = match self.credentials {
            CredentialsKind::Passthrough => None,
            CredentialsKind::AkSk => AccessKey::load(loader).map(CredentialsMode::AkSk),
            CredentialsKind::Password => {
                let login = login.login(loader);
                let address = IamAddress::read(loader);
                // A refused region causes no second problem.
                if let Some(target) = default
                    && loader.are_valid(&[&Self::region()])
                {
                    target.login = address.login(loader, target.region.as_deref());
                }
                iam = Some(address);
                login.map(CredentialsMode::Password)
            }
            CredentialsKind::Metadata => {
                let project_id = iam::default_project(loader);
                let endpoint = self.metadata_endpoint;
                Some(CredentialsMode::Metadata(MetadataService { endpoint, project_id }))
            }
        };
        ResolvedCredentials { mode: mode.unwrap_or(CredentialsMode::Passthrough), iam }
    }
}

/// The credentials, and where the gateway logs in for them.
struct ResolvedCredentials {
    mode: CredentialsMode,
    iam: Option<IamAddress>,
}

fn timeout() -> Format<Duration> {
    duration(Duration::from_millis(1)..=Duration::from_hours(1))
}

/// The certificates of `upstream.ca_file`; none if it is not set, or refused.
fn ca_certificates(
    loader: &mut SettingsLoader<'_>,
    file: Option<&Path>,
) -> Vec<CertificateDer<'static>> {
    let Some(file) = file else { return Vec::new() };
    let setting = UpstreamTarget::ca_file();
    let text = loader.read_file(file).map_err(|problem| format!("the file {problem}"));
    if let Ok(text) = &text {
        loader.note_content(setting.key, text.clone());
    }
    let certificates = text.and_then(|text| ca_certificates_of(text.as_bytes()));
    certificates.unwrap_or_else(|problem| {
        loader.refuse(&setting, &format!("cannot be used: {problem}"));
        Vec::new()
    })
}
