//! `upstream.*` and the tables `[projects.<id>]`: where recordings are, which credentials the upstream gets, and how
//! long the gateway waits for it.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::tz::TimeZone;
use rustls::pki_types::CertificateDer;
use url::Url;

use super::credentials::{
    CredentialsMode, CredentialsSettings, IamLogin, LoginTarget, ProjectScope,
};
use super::inputs::Table;
use super::proxies::Proxies;
use super::settings::{
    Role, SERVE, SERVE_AND_DEMO, Setting, SettingsLoader, bytes, number, one_line, settings, share,
    text, timeout, web_address,
};
use super::tls::certificates_of;
use crate::domain::ProjectId;

const REGION_OF_EXAMPLES: &str = "https://workspace.ap-southeast-1.myhuaweicloud.com";

settings! {
    /// How the upstream is reached.
    #[derive(Clone, Debug)]
    pub struct UpstreamConfig in "upstream." for SERVE_AND_DEMO {
        /// time to connect; at most `upstream.attempt_timeout`, to which the default is lowered
        pub connect_timeout: Duration = timeout().default("2s"),
        /// time for one attempt, body included; at most `upstream.deadline`, to which the default is lowered
        pub attempt_timeout: Duration = timeout().default("5s"),
        /// time for one load, with all its attempts and waits
        pub deadline: Duration = timeout().default("10s"),
        /// attempts of one load, within `upstream.deadline`; 1 turns retries off
        pub max_attempts: NonZeroU32 = number(1..=10).default("3"),
        /// calls to the upstream in progress; one caller gets at most seven eighths of them
        pub max_concurrency: NonZeroU32 = number(1..=100_000).default("256"),
        /// largest answer of the upstream after decompression; a larger one is an error
        pub max_body_bytes: usize = bytes(1024..=64 << 20).default("1MiB"),
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
    pub struct BreakerConfig in "upstream.breaker_" for SERVE_AND_DEMO {
        /// with fewer attempts than this in the window, the circuit breaker stays closed
        pub min_calls: NonZeroU32 = number(1..=1_000_000_000).default("20"),
        /// share of failed attempts at which the circuit breaker opens; an attempt fails without an answer or
        /// with a 5xx
        pub failure_rate: f64 = share(0.01).default("0.5"),
        /// how long an attempt counts for the circuit breaker
        pub window: Duration = timeout().default("10s"),
        /// how long an open circuit breaker blocks all calls before one attempt probes the upstream
        pub open_for: Duration = timeout().default("5s"),
    }
}

settings! {
    /// The settings of projects that no table names.
    pub(super) struct DefaultTarget in "upstream." for SERVE {
        /// region whose public endpoint is used, for projects that no table `[projects.<id>]` names:
        /// `https://workspace.{region}.myhuaweicloud.com`
        region: Option<String> = regions().optional().needs_restart(),
        /// base address of the upstream; wins over the region
        endpoint: Option<Url> =
            web_address(REGION_OF_EXAMPLES)
                .optional()
                .shown_when_unset("that of the region")
                .needs_restart(),
        /// time zone of upstream timestamps that name none
        time_zone: TimeZone = time_zones().default("UTC").needs_restart(),
    }
}

settings! {
    /// The settings of a table.
    pub(super) struct ProjectSettings in "projects.<id>." for SERVE {
        /// what clients see as the project's name
        name: Option<String> =
            text("NAME", "a text of 1 to 100 characters without control characters", 100)
            .optional(),
        /// region of the project, as in `upstream.region`
        region: Option<String> = regions().optional(),
        /// base address of the upstream; with a region as well, this is called and the region is shown
        endpoint: Option<Url> = web_address(REGION_OF_EXAMPLES).optional(),
        /// time zone of upstream timestamps that name none; by default `upstream.time_zone`
        time_zone: Option<TimeZone> = time_zones().optional(),
    }
}

/// Where the recordings of a project are.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The region's name, if the settings have one.
    pub region: Option<String>,
    /// Base address of the API.
    pub endpoint: Url,
    /// Time zone of timestamps that name none.
    pub time_zone: TimeZone,
    /// Where the gateway logs in; only with `upstream.credentials=password`.
    pub login: Option<LoginTarget>,
}

/// A project that the settings file names.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectConfig {
    /// Its id, as the file has it.
    pub id: ProjectId,
    /// What clients see as its name.
    pub name: Option<String>,
    /// Where its recordings are.
    pub target: Target,
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
        let upstream = Self { connect_timeout, attempt_timeout, breaker, ..upstream };
        // The demo has upstreams of its own.
        if loader.inputs.role == Role::Demo {
            return upstream;
        }
        let settings = CredentialsSettings::read(loader);
        let ca_certificates = settings.ca_file.as_ref().and_then(|file| {
            let parse = |text: &str| certificates_of(text.as_bytes());
            loader.read_named(&CredentialsSettings::ca_file(), file, parse)
        });
        let default = Target::load(loader);
        Self {
            projects: ProjectConfig::load_all(loader, default.as_ref()),
            default,
            credentials: CredentialsMode::load(loader, settings),
            ca_certificates: ca_certificates.unwrap_or_default(),
            proxies: Proxies::load(loader),
            ..upstream
        }
    }
}

impl Target {
    /// At an address, without a region, in UTC.
    pub fn at(endpoint: Url) -> Self {
        Self { region: None, endpoint, time_zone: TimeZone::UTC, login: None }
    }

    /// What two targets must have in common to have the same recordings.
    pub fn identity(&self) -> [String; 2] {
        let zone = self.time_zone.iana_name().unwrap_or_default().to_owned();
        [self.endpoint.to_string(), zone]
    }

    /// The target of projects that no table names. `None` if it is left out, and after a refusal.
    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Option<Self> {
        let DefaultTarget { region, endpoint, time_zone } = DefaultTarget::read(loader);
        if region.is_none() && endpoint.is_none() && loader.tables.is_empty() {
            let problem = "set upstream.region (--upstream-region, GATEWAY_UPSTREAM__REGION), for \
                           example to ap-southeast-1, or upstream.endpoint (--upstream-endpoint, \
                           GATEWAY_UPSTREAM__ENDPOINT); without an account, try the command `demo`";
            loader.refuse(&[&DefaultTarget::region(), &DefaultTarget::endpoint()], problem);
        }
        let endpoint = endpoint
            .or_else(|| endpoint_of(loader, region.as_deref()?, &DefaultTarget::endpoint()))?;
        let login = LoginTarget::load(loader, region.as_deref(), None, &DefaultTarget::region());
        Some(Self { region, endpoint, time_zone, login })
    }
}

impl ProjectConfig {
    /// The projects of the settings file, in its order.
    pub(super) fn load_all(loader: &mut SettingsLoader<'_>, default: Option<&Target>) -> Vec<Self> {
        let mut projects: Vec<Self> = Vec::new();
        for table in loader.tables.clone() {
            loader.table.clone_from(&table.name);
            let Some(project) = Self::load(loader, &table, default) else { continue };
            match projects.iter().find(|other| other.id == project.id) {
                Some(other) => loader.problems.push(format!(
                    "projects.{} ({}) is the project of projects.{} again: case and dashes of ids do \
                     not count",
                    table.name, table.origin, other.id,
                )),
                None => projects.push(project),
            }
        }
        projects
    }

    /// Reads a table. `None` after a refusal.
    fn load(
        loader: &mut SettingsLoader<'_>,
        table: &Table,
        default: Option<&Target>,
    ) -> Option<Self> {
        let ProjectSettings { name, region, endpoint, time_zone } = ProjectSettings::read(loader);
        let Ok(id) = ProjectId::parse(&table.name) else {
            loader.problems.push(format!(
                "projects.{} ({}) names no project: must be an id of 1 to 64 letters, digits, - and _",
                one_line(&table.name),
                table.origin,
            ));
            return None;
        };
        let default = default.filter(|_| region.is_none() && endpoint.is_none());
        let region = region.or_else(|| default?.region.clone());
        let setting = ProjectSettings::endpoint();
        let endpoint = endpoint
            .or_else(|| Some(default?.endpoint.clone()))
            .or_else(|| endpoint_of(loader, region.as_deref()?, &setting));
        if endpoint.is_none() {
            let upstream = [DefaultTarget::region().spec, DefaultTarget::endpoint().spec];
            let [upstream_region, upstream_endpoint] = &upstream;
            let problem = "the project has neither region nor endpoint: set one, or \
                           upstream.region or upstream.endpoint for all projects without";
            let region = ProjectSettings::region();
            loader.refuse(&[&region, &setting, upstream_region, upstream_endpoint], problem);
        }
        let login =
            LoginTarget::load(loader, region.as_deref(), Some(&id), &ProjectSettings::region());
        let time_zone = time_zone.unwrap_or_else(|| loader.read(&DefaultTarget::time_zone()));
        let endpoint = endpoint?;
        Some(Self { id, name, target: Target { region, endpoint, time_zone, login } })
    }
}

/// The address of a region: the official SDKs' own, else the public one. `None` after a refusal.
fn endpoint_of(
    loader: &mut SettingsLoader<'_>,
    region: &str,
    setting: &Setting<Option<Url>>,
) -> Option<Url> {
    let suffix = region.replace('-', "_").to_ascii_uppercase();
    let variable = format!("HUAWEICLOUD_SDK_REGION_WORKSPACE_{suffix}");
    // The official SDKs try the addresses of this list in turn; the gateway takes the first.
    let own = loader.variable(&variable).and_then(|addresses| addresses.split(',').next());
    let public = format!("https://workspace.{region}.myhuaweicloud.com");
    let (address, origin) = own.map_or((&*public, "the region"), |own| (own, &*variable));
    loader.read_text(setting, address, origin)?
}

fn regions() -> Setting<String> {
    Setting::new("REGION", "a region's name in lower case, such as ap-southeast-1", region)
}

fn time_zones() -> Setting<TimeZone> {
    Setting::new("ZONE", "an IANA time zone, such as UTC or Asia/Shanghai", |name| {
        TimeZone::get(name).ok().filter(|zone| !zone.is_unknown())
    })
}

/// Any well-formed name: new regions come faster than new versions of the gateway.
fn region(text: &str) -> Option<String> {
    let is_name = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let is_region = text.len() <= 63 && text.split('-').all(is_name);
    is_region.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_well_formed_whether_known_or_not() {
        for (text, is_region) in [
            ("ap-southeast-1", true),
            ("zz-nowhere-99", true),
            ("CN-North-4", false),
            ("cn_north_4", false),
            ("-a", false),
            ("a-", false),
            ("evil.example/", false),
            ("", false),
        ] {
            assert_eq!(region(text).is_some(), is_region, "of {text:?}");
        }
    }
}
