//! Makes checked settings of what was written, or a list of everything that is wrong with it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use jiff::tz::TimeZone;
use tracing_subscriber::EnvFilter;
use url::Url;

use super::profile;
use super::reader::{Reader, shown};
use super::settings::SETTINGS;
use super::sources::{Environment, Flags, Refusals, lay};
use super::{
    CacheConfig, Config, CredentialsMode, GraphqlConfig, InboundConfig, LimitsConfig, LogConfig,
    LogFormat, UpstreamConfig,
};
use crate::domain::ProjectId;

/// What the settings are for, which decides what has to be set and what is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The gateway against a configured upstream.
    Serve,
    /// The gateway in front of a simulated upstream in the same process, on loopback only.
    Demo,
}

/// Checked settings and how they came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Every setting with its value and where it came from, secrets redacted; for people to read.
    pub shown: Vec<String>,
}

/// Reads the settings from flags (by name, without dashes), the environment and the file that either
/// names.
///
/// # Errors
/// Every problem at once.
pub fn load(
    purpose: Purpose,
    flags: &Flags,
    environment: &Environment,
) -> Result<Loaded, Refusals> {
    let mut problems = Refusals::default();
    let file = flags.get("config").or_else(|| environment.get("GATEWAY_CONFIG"));
    let file = file.map(String::as_str).filter(|path| !path.is_empty());
    let layered = lay(flags, environment, file, &mut problems);
    let mut reader = Reader::new(layered, problems);
    let listen = reader.address("listen", loopback(8080));
    let admin_listen = reader.address("admin_listen", loopback(8081));
    let upstream = upstream(&mut reader, purpose, environment);
    let cache = cache(&mut reader);
    let inbound = inbound(&mut reader);
    let limits = limits(&mut reader);
    let graphql = graphql(&mut reader, purpose);
    let log = log(&mut reader);
    let Some(upstream) = upstream else { return Err(reader.problems) };
    let config = Config { listen, admin_listen, upstream, cache, inbound, limits, graphql, log };
    check(&config, purpose, &mut reader);
    if !reader.problems.0.is_empty() {
        return Err(reader.problems);
    }
    let shown = show(&reader, &config);
    Ok(Loaded { config, shown })
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn upstream(
    reader: &mut Reader,
    purpose: Purpose,
    environment: &Environment,
) -> Option<UpstreamConfig> {
    let region = reader.read("upstream.region", region);
    let endpoint = reader.read("upstream.endpoint", endpoint);
    let credentials = reader.read("upstream.credentials", |text| match text {
        "passthrough" => Some(false),
        "aksk" => Some(true),
        _ => None,
    });
    let endpoint = match purpose {
        Purpose::Serve => endpoint.or_else(|| endpoint_of(&region?, environment, reader)),
        Purpose::Demo => {
            forbid_in_demo(reader);
            // Replaced by the simulated upstream's address as soon as that is known.
            Url::parse("http://127.0.0.1").ok()
        }
    };
    let named = ["upstream.region", "upstream.endpoint"].map(|key| reader.written(key).is_some());
    if endpoint.is_none() && named == [false, false] {
        reader.problems.0.push(
            "upstream.region or upstream.endpoint has to be set, by --upstream-region, \
             GATEWAY_UPSTREAM__REGION or the settings file; to look around without an account, run \
             `screen-record-gateway demo`"
                .to_owned(),
        );
    }
    let credentials = match credentials {
        Some(true) if purpose == Purpose::Serve => match profile::access_key(environment) {
            Ok(key) => CredentialsMode::AkSk(key),
            Err(problem) => {
                reader.problems.0.push(problem);
                return None;
            }
        },
        _ => CredentialsMode::Passthrough,
    };
    let zone = |text: &str| TimeZone::get(text).ok();
    let defaults = UpstreamConfig::at(endpoint?);
    Some(UpstreamConfig {
        credentials,
        time_zone: reader.read("upstream.time_zone", zone).unwrap_or(defaults.time_zone),
        connect_timeout: reader.duration("upstream.connect_timeout", defaults.connect_timeout),
        attempt_timeout: reader.duration("upstream.attempt_timeout", defaults.attempt_timeout),
        deadline: reader.duration("upstream.deadline", defaults.deadline),
        max_concurrency: reader
            .parse("upstream.max_concurrency")
            .unwrap_or(defaults.max_concurrency),
        max_body_bytes: reader.bytes("upstream.max_body_bytes", defaults.max_body_bytes),
        endpoint: defaults.endpoint,
    })
}

fn forbid_in_demo(reader: &mut Reader) {
    for key in ["upstream.region", "upstream.endpoint", "upstream.credentials"] {
        if let Some((text, _)) = reader.written(key) {
            let text = format!("{text:?}");
            reader.contradiction(key, &text, "the demo brings its own upstream, leave it out");
        }
    }
}

fn cache(reader: &mut Reader) -> CacheConfig {
    let defaults = CacheConfig::default();
    CacheConfig {
        max_bytes: reader.size("cache.max_bytes", defaults.max_bytes),
        ttl_active: reader.duration("cache.ttl_active", defaults.ttl_active),
        ttl_final: reader.duration("cache.ttl_final", defaults.ttl_final),
        ttl_not_found: reader.duration("cache.ttl_not_found", defaults.ttl_not_found),
        stale_while_revalidate: reader
            .duration("cache.stale_while_revalidate", defaults.stale_while_revalidate),
        stale_if_error: reader.duration("cache.stale_if_error", defaults.stale_if_error),
    }
}

fn inbound(reader: &mut Reader) -> InboundConfig {
    let projects = reader.list("inbound.projects");
    let parsed: Option<BTreeSet<ProjectId>> = projects.map(|projects| {
        let mut parsed = BTreeSet::new();
        for project in projects {
            match ProjectId::parse(&project) {
                Ok(project) => {
                    parsed.insert(project);
                }
                Err(_) => reader.contradiction(
                    "inbound.projects",
                    &format!("{project:?}"),
                    "a project id has 1 to 64 of A-Z a-z 0-9 _ -",
                ),
            }
        }
        parsed
    });
    let allow_anonymous = reader.switch("inbound.allow_anonymous", false);
    InboundConfig { projects: parsed, allow_anonymous }
}

fn limits(reader: &mut Reader) -> LimitsConfig {
    let defaults = LimitsConfig::default();
    LimitsConfig {
        max_body_bytes: reader.bytes("limits.max_body_bytes", defaults.max_body_bytes),
        max_depth: reader.count("limits.max_depth", defaults.max_depth),
        max_complexity: reader.count("limits.max_complexity", defaults.max_complexity),
        max_aliases: reader.count("limits.max_aliases", defaults.max_aliases),
        max_directives: reader.count("limits.max_directives", defaults.max_directives),
        max_tokens: reader.count("limits.max_tokens", defaults.max_tokens),
        max_batch: reader.count("limits.max_batch", defaults.max_batch),
        request_timeout: reader.duration("limits.request_timeout", defaults.request_timeout),
        max_in_flight: reader.count("limits.max_in_flight", defaults.max_in_flight),
    }
}

fn graphql(reader: &mut Reader, purpose: Purpose) -> GraphqlConfig {
    let default = purpose == Purpose::Demo;
    let origins = reader.list("cors.allow_origins").unwrap_or_default();
    for origin in &origins {
        if !is_origin(origin) {
            let needed = "an origin is a scheme, a host and perhaps a port, without a path";
            reader.contradiction("cors.allow_origins", &format!("{origin:?}"), needed);
        }
    }
    GraphqlConfig {
        introspection: reader.switch("graphql.introspection", default),
        graphiql: reader.switch("graphql.graphiql", default),
        allow_origins: origins,
    }
}

fn log(reader: &mut Reader) -> LogConfig {
    let filter = |text: &str| EnvFilter::try_new(text).is_ok().then(|| text.to_owned());
    let format = |text: &str| match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    };
    let defaults = LogConfig::default();
    LogConfig {
        filter: reader.read("log", filter).unwrap_or(defaults.filter),
        format: reader.read("log_format", format),
    }
}

/// What no setting can be wrong about alone.
fn check(config: &Config, purpose: Purpose, reader: &mut Reader) {
    let Config { listen, admin_listen, upstream, limits, graphql, inbound, .. } = config;
    not_longer(
        reader,
        ("upstream.connect_timeout", upstream.connect_timeout),
        ("upstream.attempt_timeout", upstream.attempt_timeout),
    );
    not_longer(
        reader,
        ("upstream.attempt_timeout", upstream.attempt_timeout),
        ("upstream.deadline", upstream.deadline),
    );
    for (key, duration) in [
        ("upstream.connect_timeout", upstream.connect_timeout),
        ("upstream.attempt_timeout", upstream.attempt_timeout),
        ("upstream.deadline", upstream.deadline),
        ("limits.request_timeout", limits.request_timeout),
    ] {
        if duration.is_zero() {
            reader.contradiction(key, "0s", "it has to be longer than nothing");
        }
    }
    if listen == admin_listen && listen.port() != 0 {
        let needed = "must differ from listen, which is the same";
        reader.contradiction("admin_listen", &admin_listen.to_string(), needed);
    }
    if graphql.graphiql && !graphql.introspection {
        let needed = "GraphiQL shows the schema and needs graphql.introspection, which is false";
        reader.contradiction("graphql.graphiql", "true", needed);
    }
    let own_credentials = matches!(upstream.credentials, CredentialsMode::AkSk(_));
    if own_credentials && !listen.ip().is_loopback() && !inbound.allow_anonymous {
        let needed = "everybody who can connect could use the gateway's own credentials: listen on a \
                      loopback address, or set inbound.allow_anonymous to true";
        reader.contradiction("listen", &listen.to_string(), needed);
    }
    for (key, address) in [("listen", listen), ("admin_listen", admin_listen)] {
        if purpose == Purpose::Demo && !address.ip().is_loopback() {
            reader.contradiction(key, &address.to_string(), "the demo listens on loopback only");
        }
    }
}

fn not_longer(
    reader: &mut Reader,
    (key, value): (&'static str, Duration),
    (other, limit): (&str, Duration),
) {
    if value > limit {
        let needed = format!("must not exceed {other}, which is {}", shown(limit));
        reader.contradiction(key, &shown(value), &needed);
    }
}

fn region(text: &str) -> Option<String> {
    let of_regions = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_region = !text.is_empty() && text.len() <= 63 && text.bytes().all(of_regions);
    is_region.then(|| text.to_owned())
}

fn endpoint(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let fits = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    fits.then_some(url)
}

/// The region's endpoint: the official SDKs' override of it, else the public one.
fn endpoint_of(region: &str, environment: &Environment, reader: &mut Reader) -> Option<Url> {
    let variable = format!(
        "HUAWEICLOUD_SDK_REGION_WORKSPACE_{}",
        region.replace('-', "_").to_ascii_uppercase()
    );
    let Some(addresses) = environment.get(&variable).filter(|text| !text.is_empty()) else {
        return Url::parse(&format!("https://workspace.{region}.myhuaweicloud.com")).ok();
    };
    let first = addresses.split(',').next().unwrap_or_default().trim();
    let found = endpoint(first);
    if found.is_none() {
        reader.problems.0.push(format!(
            "{variable} is {addresses:?}: its first address has to be http or https"
        ));
    }
    found
}

fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == *text
    })
}

fn show(reader: &Reader, config: &Config) -> Vec<String> {
    let mut lines = vec![format!("upstream: {}", config.upstream.endpoint)];
    for setting in SETTINGS {
        lines.push(match reader.written(setting.key) {
            Some((text, origin)) => format!("{} = {text} ({origin})", setting.key),
            None => format!("{} = {} (default)", setting.key, setting.default),
        });
    }
    if let CredentialsMode::AkSk(key) = &config.upstream.credentials {
        let temporary = if key.security_token.is_some() { "temporary " } else { "" };
        let project = key.project_id.as_deref().unwrap_or("none");
        lines.push(format!("access key = {temporary}(redacted), project {project}"));
    }
    lines
}

#[cfg(test)]
mod tests;
