//! `upstream.*`: where the upstream is, who we are to it, and how long we wait.

use std::ffi::OsStr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use rustls::pki_types::CertificateDer;
use url::Url;

use super::credentials::access_key;
use super::form::{Bytes, Count, OneOf, Parsed, Raw, Share, Span};
use super::iam::{self, IamLogin, ProjectScope};
use super::reread::{ACCESS_KEY, access_key_of};
use super::secret_file::PATH;
use super::setting::{Role, Row, Setting};
use super::source::Origin;
use super::surroundings::Surroundings;
use super::tls::ca_certificates_of;
use super::values::Values;
use crate::domain::Secret;

/// The demo brings an upstream of its own.
const ROLES: &[Role] = &[Role::Serve];
const TIMEOUT: Span = Span { least: Duration::from_millis(1), most: Duration::from_hours(1) };

static REGION: Setting<Parsed<String>> = Setting::new(
    "upstream.region",
    Parsed {
        allowed: "a region's name in lower case, such as ap-southeast-1",
        placeholder: "REGION",
        parse: region,
    },
    "picks the public endpoint of that region, https://workspace.{region}.myhuaweicloud.com",
)
.only_for(ROLES);
static ENDPOINT: Setting<Parsed<Url>> = Setting::new(
    "upstream.endpoint",
    Parsed {
        allowed: "an http or https address without user, query and fragment, such as \
                  https://workspace.ap-southeast-1.myhuaweicloud.com",
        placeholder: "URL",
        parse: base_address,
    },
    "base address of the upstream; wins over the region",
)
.or_unset("that of the region")
.hiding(|text| text.contains(['@', '?', '#']))
.only_for(ROLES);
static CREDENTIALS: Setting<OneOf<CredentialsKind>> = Setting::new(
    "upstream.credentials",
    OneOf(&[
        ("passthrough", CredentialsKind::Passthrough),
        ("aksk", CredentialsKind::AkSk),
        ("password", CredentialsKind::Password),
        ("metadata", CredentialsKind::Metadata),
    ]),
    "who asks the upstream: the caller with a token of their own, or the gateway with its access \
     key, with a token that it logs in for, or with the temporary key of the cloud server it runs on",
)
.or("passthrough")
.only_for(ROLES);
static METADATA_ENDPOINT: Setting<Parsed<Url>> = Setting::new(
    "upstream.metadata_endpoint",
    Parsed {
        allowed: "an http or https address without user, query and fragment",
        placeholder: "URL",
        parse: base_address,
    },
    "address of the metadata service, for `upstream.credentials=metadata`",
)
.or("http://169.254.169.254")
.hiding(|text| text.contains(['@', '?', '#']))
.only_for(ROLES);
static TIME_ZONE: Setting<Parsed<TimeZone>> = Setting::new(
    "upstream.time_zone",
    Parsed {
        allowed: "an IANA time zone, such as UTC or Asia/Shanghai",
        placeholder: "ZONE",
        parse: time_zone,
    },
    "zone of the upstream's timestamps that carry none",
)
.or("UTC")
.only_for(ROLES);
static CA_FILE: Setting<Parsed<PathBuf>> = Setting::new(
    "upstream.ca_file",
    PATH,
    "certificates of CAs, as PEM, that are trusted beside those of the system: by the upstream's \
     client, the login's and the metadata service's; read again when it changes",
)
.only_for(ROLES)
.changeable();
static CONNECT_TIMEOUT: Setting<Span> = Setting::new(
    "upstream.connect_timeout",
    TIMEOUT,
    "time to connect; at most upstream.attempt_timeout, and lowered to it where not set",
)
.or("2s")
.changeable();
static ATTEMPT_TIMEOUT: Setting<Span> = Setting::new(
    "upstream.attempt_timeout",
    TIMEOUT,
    "time for one attempt, body included; at most upstream.deadline, and lowered to it where not \
     set",
)
.or("5s")
.changeable();
static DEADLINE: Setting<Span> =
    Setting::new("upstream.deadline", TIMEOUT, "time for all attempts and waits of one load")
        .or("10s")
        .changeable();
static MAX_ATTEMPTS: Setting<Count> = Setting::new(
    "upstream.max_attempts",
    Count { least: 1, most: 10 },
    "attempts of one load, within upstream.deadline; 1 turns retries off",
)
.or("3")
.changeable();
static BREAKER_MIN_CALLS: Setting<Count> = Setting::new(
    "upstream.breaker_min_calls",
    Count { least: 1, most: 1_000_000_000 },
    "attempts in the window below which the circuit never opens",
)
.or("20")
.changeable();
static BREAKER_FAILURE_RATE: Setting<Share> = Setting::new(
    "upstream.breaker_failure_rate",
    Share,
    "share of failed attempts at which the circuit opens: no answer, or one of 5xx",
)
.or("0.5")
.changeable();
static BREAKER_WINDOW: Setting<Span> =
    Setting::new("upstream.breaker_window", TIMEOUT, "how long attempts count for the circuit")
        .or("10s")
        .changeable();
static BREAKER_OPEN_FOR: Setting<Span> = Setting::new(
    "upstream.breaker_open_for",
    TIMEOUT,
    "how long an open circuit lets nothing through before one attempt probes the upstream",
)
.or("5s")
.changeable();
static MAX_CONCURRENCY: Setting<Count> = Setting::new(
    "upstream.max_concurrency",
    Count { least: 1, most: 100_000 },
    "requests under way to the upstream; one caller gets seven eighths of them at most",
)
.or("256")
.changeable();
static MAX_BODY_BYTES: Setting<Bytes> = Setting::new(
    "upstream.max_body_bytes",
    Bytes { least: 1024, most: 64 << 20 },
    "largest answer of the upstream, once decompressed; a larger one is an error",
)
.or("1MiB")
.changeable();

pub(super) static ROWS: &[&dyn Row] = &[
    &REGION,
    &ENDPOINT,
    &CREDENTIALS,
    &METADATA_ENDPOINT,
    &TIME_ZONE,
    &CA_FILE,
    &CONNECT_TIMEOUT,
    &ATTEMPT_TIMEOUT,
    &DEADLINE,
    &MAX_ATTEMPTS,
    &BREAKER_MIN_CALLS,
    &BREAKER_FAILURE_RATE,
    &BREAKER_WINDOW,
    &BREAKER_OPEN_FOR,
    &MAX_CONCURRENCY,
    &MAX_BODY_BYTES,
];

/// The words of `upstream.credentials`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CredentialsKind {
    Passthrough,
    AkSk,
    Password,
    Metadata,
}

/// How the upstream is reached.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// Base address: `upstream.endpoint`, or the public one of `upstream.region`.
    pub endpoint: Url,
    /// `upstream.credentials`, with what they need.
    pub credentials: CredentialsMode,
    /// `upstream.time_zone`: the zone of timestamps that carry none.
    pub time_zone: TimeZone,
    /// What `upstream.ca_file` holds: trusted beside the system's own.
    pub ca_certificates: Vec<CertificateDer<'static>>,
    /// `upstream.connect_timeout`
    pub connect_timeout: Duration,
    /// `upstream.attempt_timeout`: one attempt, body included.
    pub attempt_timeout: Duration,
    /// `upstream.deadline`: all attempts and waits of one load.
    pub deadline: Duration,
    /// `upstream.max_attempts`: of one load; 1 turns retries off.
    pub max_attempts: NonZeroU32,
    /// `upstream.breaker_*`
    pub breaker: BreakerConfig,
    /// `upstream.max_concurrency`: requests under way to the upstream.
    pub max_concurrency: NonZeroU32,
    /// `upstream.max_body_bytes`: a larger answer, once decompressed, is an error.
    pub max_body_bytes: usize,
}

/// The metadata service of a cloud server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataService {
    /// `upstream.metadata_endpoint`
    pub endpoint: Url,
    /// Sent as `X-Project-Id` where set.
    pub project_id: Option<String>,
}

/// When calls stop because too many have failed.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerConfig {
    /// `upstream.breaker_min_calls`: attempts in the window below which nothing happens.
    pub min_calls: NonZeroU32,
    /// `upstream.breaker_failure_rate`: share of failed attempts, above 0 and up to 1.
    pub failure_rate: f64,
    /// `upstream.breaker_window`: how long attempts count.
    pub window: Duration,
    /// `upstream.breaker_open_for`: how long nothing is let through.
    pub open_for: Duration,
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

/// An access key pair, permanent or temporary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// Access key id. Not a secret by itself, but kept out of logs and errors.
    pub access: Secret,
    /// Secret key.
    pub secret: Secret,
    /// Makes the pair temporary.
    pub security_token: Option<Secret>,
    /// Sent as `X-Project-Id` where set.
    pub project_id: Option<String>,
}

impl UpstreamConfig {
    /// The defaults, for an upstream at `endpoint`.
    pub fn at(endpoint: Url) -> Self {
        Self {
            endpoint,
            credentials: CredentialsMode::Passthrough,
            time_zone: TimeZone::UTC,
            ca_certificates: Vec::new(),
            connect_timeout: Duration::from_secs(2),
            attempt_timeout: Duration::from_secs(5),
            deadline: Duration::from_secs(10),
            max_attempts: NonZeroU32::new(3).unwrap_or(NonZeroU32::MIN),
            breaker: BreakerConfig::default(),
            max_concurrency: NonZeroU32::new(256).unwrap_or(NonZeroU32::MIN),
            max_body_bytes: 1024 * 1024,
        }
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
}

impl CredentialsKind {
    pub(super) fn read(values: &mut Values<'_>) -> Self {
        values.read_or(&CREDENTIALS, Self::Passthrough)
    }

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

impl UpstreamConfig {
    /// Reads what `serve` and `check` need: where the upstream is, and who we are to it.
    pub(super) fn read(values: &mut Values<'_>, kind: CredentialsKind) -> Self {
        let region = values.read(&REGION);
        let endpoint = configured_endpoint(values, region.clone()).unwrap_or_else(nowhere);
        let credentials = credentials(values, kind, region.as_deref());
        let ca_certificates = ca_certificates(values);
        Self { credentials, ca_certificates, ..Self::read_limits(values, endpoint) }
    }

    /// Reads how long we wait for an upstream that the caller knows.
    pub(super) fn read_limits(values: &mut Values<'_>, endpoint: Url) -> Self {
        let default = Self::at(endpoint);
        let time_zone = values.read_or(&TIME_ZONE, default.time_zone.clone());
        let deadline = values.read_or(&DEADLINE, default.deadline);
        let attempt_timeout =
            values.read_at_most(&ATTEMPT_TIMEOUT, (&DEADLINE, deadline), default.attempt_timeout);
        let connect_timeout = values.read_at_most(
            &CONNECT_TIMEOUT,
            (&ATTEMPT_TIMEOUT, attempt_timeout),
            default.connect_timeout,
        );
        let max_attempts = count(values, &MAX_ATTEMPTS, default.max_attempts);
        let max_concurrency = count(values, &MAX_CONCURRENCY, default.max_concurrency);
        let breaker = BreakerConfig::read(values);
        let max_body_bytes = values.read_size(&MAX_BODY_BYTES, default.max_body_bytes);
        Self {
            time_zone,
            connect_timeout,
            attempt_timeout,
            deadline,
            max_attempts,
            breaker,
            max_concurrency,
            max_body_bytes,
            ..default
        }
    }
}

impl BreakerConfig {
    fn read(values: &mut Values<'_>) -> Self {
        let default = Self::default();
        let failure_rate = values.read_or(&BREAKER_FAILURE_RATE, default.failure_rate);
        if failure_rate <= 0.0 {
            values.refuse(
                &BREAKER_FAILURE_RATE,
                "must be above 0: at 0 the circuit opens unprovoked",
            );
        }
        Self {
            min_calls: count(values, &BREAKER_MIN_CALLS, default.min_calls),
            failure_rate,
            window: values.read_or(&BREAKER_WINDOW, default.window),
            open_for: values.read_or(&BREAKER_OPEN_FOR, default.open_for),
        }
    }
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            min_calls: NonZeroU32::new(20).unwrap_or(NonZeroU32::MIN),
            failure_rate: 0.5,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(5),
        }
    }
}

fn count(values: &mut Values<'_>, setting: &Setting<Count>, default: NonZeroU32) -> NonZeroU32 {
    let given = values.read(setting).and_then(|count| u32::try_from(count).ok());
    given.and_then(NonZeroU32::new).unwrap_or(default)
}

/// Stands where no address is known yet, or none will be because the settings are refused.
pub(super) fn nowhere() -> Url {
    Url::parse("http://127.0.0.1").expect("a constant address")
}

fn configured_endpoint(values: &mut Values<'_>, region: Option<String>) -> Option<Url> {
    let endpoint = values.read(&ENDPOINT);
    if endpoint.is_some() || !values.are_sound(&[&REGION, &ENDPOINT]) {
        return endpoint;
    }
    let Some(region) = region else {
        let problem = format!(
            "set upstream.region (--{}, {}), for example to ap-southeast-1, or upstream.endpoint \
             (--{}, {}); without an account, try the command `demo`",
            REGION.flag(),
            REGION.environment(),
            ENDPOINT.flag(),
            ENDPOINT.environment(),
        );
        values.refuse(&REGION, &problem);
        return None;
    };
    let (address, origin) = address_of_region(values.surroundings(), &region);
    let shown = ENDPOINT.shown(&Raw::Text(address.clone()));
    let endpoint = base_address(&address);
    if endpoint.is_none() {
        let allowed = ENDPOINT.allowed();
        values.refuse_line(format!("{origin} is {shown}: must be {allowed}"));
    }
    values.show(ENDPOINT.key(), &shown, origin);
    endpoint
}

/// The public address, or what the official SDKs' own variable for the region has in its place.
/// They try the addresses of its list in turn; the gateway takes the first.
fn address_of_region(surroundings: &Surroundings, region: &str) -> (String, Origin) {
    let variable = format!(
        "HUAWEICLOUD_SDK_REGION_WORKSPACE_{}",
        region.replace('-', "_").to_ascii_uppercase()
    );
    let Some(addresses) = surroundings.variable(&variable).map(OsStr::to_string_lossy) else {
        let address = format!("https://workspace.{region}.myhuaweicloud.com");
        return (address, Origin::Derived(REGION.key().to_owned()));
    };
    let first = addresses.split(',').next().unwrap_or_default().trim();
    (first.to_owned(), Origin::Environment(variable))
}

/// Without a key there is a refusal, and the mode goes nowhere.
fn credentials(
    values: &mut Values<'_>,
    kind: CredentialsKind,
    region: Option<&str>,
) -> CredentialsMode {
    let given = iam::Given::read(values);
    let metadata = values.read_or(&METADATA_ENDPOINT, nowhere());
    match kind {
        CredentialsKind::Passthrough => CredentialsMode::Passthrough,
        CredentialsKind::AkSk => {
            let mode =
                access_key(values).map_or(CredentialsMode::Passthrough, CredentialsMode::AkSk);
            if let Some(content) = access_key_of(&mode) {
                values.note_content(ACCESS_KEY, content);
            }
            mode
        }
        CredentialsKind::Password => {
            // A region that was refused says nothing, and is told of already.
            let region = if values.are_sound(&[&REGION]) { region } else { Some("refused") };
            let login = iam::login(values, given, region);
            login.map_or(CredentialsMode::Passthrough, CredentialsMode::Password)
        }
        CredentialsKind::Metadata => {
            let project_id = iam::project(values).unwrap_or(None);
            CredentialsMode::Metadata(MetadataService { endpoint: metadata, project_id })
        }
    }
}

/// The certificates of `upstream.ca_file`; none where it is not set, or refused.
fn ca_certificates(values: &mut Values<'_>) -> Vec<CertificateDer<'static>> {
    let Some(file) = values.read(&CA_FILE) else { return Vec::new() };
    let text = values.surroundings().file(&file).map_err(|problem| format!("the file {problem}"));
    if let Ok(text) = &text {
        values.note_content(CA_FILE.key(), Raw::Text(text.clone()));
    }
    let certificates = text.and_then(|text| ca_certificates_of(text.as_bytes()));
    certificates.unwrap_or_else(|problem| {
        values.refuse(&CA_FILE, &format!("cannot be used: {problem}"));
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

pub(super) fn base_address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && !text.contains(['@', '?', '#'])
        && url.port() != Some(0);
    is_plain.then_some(url)
}

fn time_zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok().filter(|zone| !zone.is_unknown())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_plain_web_address() {
        for (text, is_endpoint) in [
            ("https://workspace.ap-southeast-1.myhuaweicloud.com", true),
            ("http://127.0.0.1:8090", true),
            ("https://proxy.example.com/workspace/", true),
            ("https://user:pass@example.com", false),
            ("https://example.com?x=1", false),
            ("https://example.com#x", false),
            ("ftp://example.com", false),
            ("example.com", false),
            ("http://example.com:0", false),
            ("http://", false),
        ] {
            assert_eq!(base_address(text).is_some(), is_endpoint, "of {text}");
        }
    }

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
