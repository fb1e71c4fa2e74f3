//! `upstream.*`: where the upstream is, which credentials it gets, and how long the gateway waits for it.

use std::ffi::OsStr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use rustls::pki_types::CertificateDer;
use url::Url;

use super::access_key::AccessKey;
use super::iam::{self, IamLogin, IamSettings, ProjectScope};
use super::settings::{
    ByteRange, CappedDuration, DurationRange, FILE_PATH, NumberRange, OneOf, Optional, Parsed,
    Ratio, RawValue, Role, SettingSpec, SettingsLoader, setting, settings,
};
use super::sources::Origin;
use super::tls::ca_certificates_of;
use super::web_address::{BASE_ADDRESS, base_address, may_hold_secret};
use crate::proxies::Proxies;

/// The demo brings an upstream of its own.
const SERVE: &[Role] = &[Role::Serve];
const TIMEOUT: DurationRange = DurationRange(Duration::from_millis(1)..=Duration::from_hours(1));

const REGION: Parsed<String> = Parsed {
    allowed: "a region's name in lower case, such as ap-southeast-1",
    placeholder: "REGION",
    parse: region,
};
const ENDPOINT: Parsed<Url> = Parsed {
    allowed: "an http or https address without user, query and fragment, such as \
              https://workspace.ap-southeast-1.myhuaweicloud.com",
    placeholder: "URL",
    parse: base_address,
};
const CREDENTIALS: OneOf<CredentialsKind> = OneOf(&[
    ("passthrough", CredentialsKind::Passthrough),
    ("aksk", CredentialsKind::AkSk),
    ("password", CredentialsKind::Password),
    ("metadata", CredentialsKind::Metadata),
]);
const TIME_ZONE: Parsed<TimeZone> = Parsed {
    allowed: "an IANA time zone, such as UTC or Asia/Shanghai",
    placeholder: "ZONE",
    parse: time_zone,
};

settings! {
    /// The settings that the upstream's address and credentials are made of.
    pub(super) struct UpstreamTarget in "upstream." for SERVE {
        /// region whose public endpoint is used: `https://workspace.{region}.myhuaweicloud.com`
        region: Option<String> = setting(&Optional(REGION)),
        /// base address of the upstream; wins over the region
        endpoint: Option<Url> = setting(&Optional(ENDPOINT))
            .shown_when_unset("that of the region")
            .secret_if(may_hold_secret),
        /// credentials for the upstream: each caller's token, the gateway's access key, a token that the
        /// gateway logs in for, or the temporary key of the cloud server that it runs on
        pub(super) credentials: CredentialsKind = setting(&CREDENTIALS).default("passthrough"),
        /// address of the metadata service, for `upstream.credentials=metadata`
        metadata_endpoint: Url = setting(&BASE_ADDRESS)
            .default("http://169.254.169.254")
            .secret_if(may_hold_secret),
        /// file with further trusted CA certificates, as PEM, for the upstream, IAM and the metadata service;
        /// read again when it changes
        ca_file: Option<PathBuf> = setting(&FILE_PATH).reloadable(),
    }
}

settings! {
    /// How the upstream is reached.
    #[derive(Clone, Debug)]
    pub struct UpstreamConfig in "upstream." {
        /// time zone of upstream timestamps that name none
        pub time_zone: TimeZone = setting(&TIME_ZONE).default("UTC").only_for(SERVE),
        /// time to connect; at most `upstream.attempt_timeout`, to which the default is lowered
        pub connect_timeout: Duration = setting(&TIMEOUT).default("2s").reloadable(),
        /// time for one attempt, body included; at most `upstream.deadline`, to which the default is lowered
        pub attempt_timeout: Duration = setting(&TIMEOUT).default("5s").reloadable(),
        /// time for one load, with all its attempts and waits
        pub deadline: Duration = setting(&TIMEOUT).default("10s").reloadable(),
        /// attempts of one load, within `upstream.deadline`; 1 turns retries off
        pub max_attempts: NonZeroU32 = setting(&NumberRange(1..=10)).default("3").reloadable(),
        /// calls to the upstream in progress; one caller gets at most seven eighths of them
        pub max_concurrency: NonZeroU32 =
            setting(&NumberRange(1..=100_000)).default("256").reloadable(),
        /// largest answer of the upstream after decompression; a larger one is an error
        pub max_body_bytes: usize =
            setting(&ByteRange(1024..=64 << 20)).default("1MiB").reloadable(),
    } and {
        /// Base address: `upstream.endpoint`, or the public one of `upstream.region`.
        pub endpoint: Url = nowhere(),
        /// `upstream.credentials`, with what they need.
        pub credentials: CredentialsMode = CredentialsMode::Passthrough,
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
            setting(&NumberRange(1..=1_000_000_000)).default("20").reloadable(),
        /// share of failed attempts at which the circuit breaker opens; an attempt fails without an answer or
        /// with a 5xx
        pub failure_rate: f64 = setting(&Ratio).default("0.5").reloadable(),
        /// how long an attempt counts for the circuit breaker
        pub window: Duration = setting(&TIMEOUT).default("10s").reloadable(),
        /// how long an open circuit breaker blocks all calls before one attempt probes the upstream
        pub open_for: Duration = setting(&TIMEOUT).default("5s").reloadable(),
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
        Self { endpoint, ..Self::default() }
    }

    /// Which upstream is read, as whom, and how its answers are understood: what replicas must have
    /// in common to share what they read.
    pub fn identity(&self) -> Vec<String> {
        let mut parts = vec![self.endpoint.to_string()];
        parts.push(self.time_zone.iana_name().unwrap_or_default().to_owned());
        match &self.credentials {
            CredentialsMode::Passthrough => parts.push("passthrough".to_owned()),
            CredentialsMode::AkSk(key) => {
                parts.extend(["aksk".to_owned(), key.access.expose().to_owned()]);
            }
            CredentialsMode::Password(IamLogin { domain, user, scope, .. }) => {
                let (ProjectScope::Id(scope) | ProjectScope::Name(scope)) = scope;
                parts.extend(["password", domain, user, scope].map(str::to_owned));
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
        let endpoint = target.resolve_endpoint(loader).unwrap_or_else(nowhere);
        let ca_certificates = ca_certificates(loader, target.ca_file.as_deref());
        let credentials = target.resolve_credentials(loader);
        let proxies = loader.proxies();
        Self { endpoint, credentials, ca_certificates, proxies, ..Self::load_limits(loader) }
    }

    /// Reads how the gateway calls an upstream whose address and credentials are known.
    pub(super) fn load_limits(loader: &mut SettingsLoader<'_>) -> Self {
        let upstream = Self::read(loader);
        let capped = |setting: &'static SettingSpec, value| CappedDuration { setting, value };
        let deadline = capped(&Self::deadline, upstream.deadline);
        let attempt = capped(&Self::attempt_timeout, upstream.attempt_timeout);
        let attempt_timeout = loader.at_most(attempt, deadline);
        let attempt = CappedDuration { value: attempt_timeout, ..attempt };
        let connect = capped(&Self::connect_timeout, upstream.connect_timeout);
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
            loader.refuse(&Self::failure_rate, problem);
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
        match self {
            Self::Passthrough => "passthrough",
            Self::AkSk => "aksk",
            Self::Password => "password",
            Self::Metadata => "metadata",
        }
    }
}

impl UpstreamTarget {
    fn resolve_endpoint(&self, loader: &mut SettingsLoader<'_>) -> Option<Url> {
        if self.endpoint.is_some() || !loader.are_valid(&[&Self::region, &Self::endpoint]) {
            return self.endpoint.clone();
        }
        let [region, endpoint]: [&SettingSpec; 2] = [&Self::region, &Self::endpoint];
        let Some(name) = &self.region else {
            let problem = format!(
                "set upstream.region (--{}, {}), for example to ap-southeast-1, or upstream.endpoint \
                 (--{}, {}); without an account, try the command `demo`",
                region.flag(),
                region.variable(),
                endpoint.flag(),
                endpoint.variable(),
            );
            loader.refuse(region, &problem);
            return None;
        };
        let RegionAddress { address, origin } = RegionAddress::find(loader, name);
        let shown = endpoint.shown(&RawValue::Text(address.clone()));
        let url = base_address(&address);
        if url.is_none() {
            let allowed = endpoint.allowed();
            loader.add_problem(format!("{origin} is {shown}: must be {allowed}"));
        }
        loader.show(endpoint.key, &shown, origin);
        url
    }

    /// The credentials; after a refusal those of the caller, which then are not used.
    fn resolve_credentials(self, loader: &mut SettingsLoader<'_>) -> CredentialsMode {
        let login = IamSettings::read(loader);
        let credentials = match self.credentials {
            CredentialsKind::Passthrough => None,
            CredentialsKind::AkSk => AccessKey::load(loader).map(CredentialsMode::AkSk),
            CredentialsKind::Password => {
                // A refused region counts as known, so that it causes no second problem.
                let is_valid = loader.are_valid(&[&Self::region]);
                let region = if is_valid { self.region.as_deref() } else { Some("refused") };
                login.login(loader, region).map(CredentialsMode::Password)
            }
            CredentialsKind::Metadata => {
                let project_id = iam::project_id(loader);
                let endpoint = self.metadata_endpoint;
                Some(CredentialsMode::Metadata(MetadataService { endpoint, project_id }))
            }
        };
        credentials.unwrap_or(CredentialsMode::Passthrough)
    }
}

/// The address of a region, and where it came from.
struct RegionAddress {
    address: String,
    origin: Origin,
}

impl RegionAddress {
    /// The public address, unless the official SDKs' own variable for the region has another. They try the
    /// addresses of its list in turn; the gateway takes the first.
    fn find(loader: &SettingsLoader<'_>, region: &str) -> Self {
        let suffix = region.replace('-', "_").to_ascii_uppercase();
        let variable = format!("HUAWEICLOUD_SDK_REGION_WORKSPACE_{suffix}");
        let Some(addresses) = loader.variable(&variable).map(OsStr::to_string_lossy) else {
            let address = format!("https://workspace.{region}.myhuaweicloud.com");
            let origin = Origin::Derived(UpstreamTarget::region.key.to_owned());
            return Self { address, origin };
        };
        let first = addresses.split(',').next().unwrap_or_default().trim();
        Self { address: first.to_owned(), origin: Origin::Environment(variable) }
    }
}

/// The value of an address that is not known yet, or was refused.
pub(super) fn nowhere() -> Url {
    Url::parse("http://127.0.0.1").expect("a constant address")
}

/// The certificates of `upstream.ca_file`; none if it is not set, or refused.
fn ca_certificates(
    loader: &mut SettingsLoader<'_>,
    file: Option<&Path>,
) -> Vec<CertificateDer<'static>> {
    let Some(file) = file else { return Vec::new() };
    let text = loader.read_file(file).map_err(|problem| format!("the file {problem}"));
    if let Ok(text) = &text {
        loader.note_content(UpstreamTarget::ca_file.key, RawValue::Text(text.clone()));
    }
    let certificates = text.and_then(|text| ca_certificates_of(text.as_bytes()));
    certificates.unwrap_or_else(|problem| {
        loader.refuse(&UpstreamTarget::ca_file, &format!("cannot be used: {problem}"));
        Vec::new()
    })
}

/// Any well-formed name: new regions come faster than new versions of the gateway.
fn region(text: &str) -> Option<String> {
    let is_name = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let is_region = (1..=63).contains(&text.len())
        && text.chars().all(|character| is_name(character) || character == '-')
        && text.starts_with(is_name)
        && text.ends_with(is_name);
    is_region.then(|| text.to_owned())
}

fn time_zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok().filter(|zone| !zone.is_unknown())
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
