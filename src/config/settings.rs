//! The table of all settings. Flags, environment names, help, errors and the reference in
//! `docs/SETTINGS.md` are made of it, so nothing about a setting is written twice.

#[cfg(test)]
use std::fmt::Write as _;

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its key in the settings file, `section.name`.
    pub key: &'static str,
    /// What it is without being set, as it would be written; `–` for nothing.
    pub default: &'static str,
    /// What may be written.
    pub allowed: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

const ADDRESS: &str = "an address and a port, such as 127.0.0.1:8080; port 0 picks a free one";
const DURATION: &str = "a duration, such as 250ms, 5s or 10m";
const SIZE: &str = "a size, such as 64KiB, 256MiB or a number of bytes";
const COUNT: &str = "a whole number from 1";
const SWITCH: &str = "true or false";

/// Every setting there is, in the order of the reference.
pub const SETTINGS: &[Setting] = &[
    setting("listen", "127.0.0.1:8080", ADDRESS, "GraphQL listener"),
    setting("admin_listen", "127.0.0.1:8081", ADDRESS, "listener for health and metrics"),
    setting(
        "upstream.region",
        "–",
        "a region's name, such as ap-southeast-1",
        "region whose public endpoint is called, https://workspace.REGION.myhuaweicloud.com",
    ),
    setting(
        "upstream.endpoint",
        "–",
        "an http or https address without query, fragment or user name",
        "full base address of the upstream; wins over the region",
    ),
    setting(
        "upstream.credentials",
        "passthrough",
        "passthrough or aksk",
        "whose credentials go upstream: the caller's token, or an access key of the gateway's own",
    ),
    setting(
        "upstream.time_zone",
        "UTC",
        "an IANA time zone, such as UTC or Asia/Shanghai",
        "zone of timestamps that carry none",
    ),
    setting("upstream.connect_timeout", "2s", DURATION, "longest wait for a connection"),
    setting("upstream.attempt_timeout", "5s", DURATION, "longest attempt, its body included"),
    setting("upstream.deadline", "10s", DURATION, "longest load, all attempts and waits included"),
    setting("upstream.max_concurrency", "256", COUNT, "requests under way to the upstream"),
    setting(
        "upstream.max_body_bytes",
        "1MiB",
        SIZE,
        "largest answer of the upstream, decompressed; a larger one is an error",
    ),
    setting("cache.max_bytes", "256MiB", SIZE, "memory for cached records"),
    setting("cache.ttl_active", "5s", DURATION, "freshness of records that may still change"),
    setting("cache.ttl_final", "60s", DURATION, "freshness of records in a final status"),
    setting("cache.ttl_not_found", "2s", DURATION, "freshness of \"no such record\""),
    setting(
        "cache.stale_while_revalidate",
        "30s",
        DURATION,
        "how long after its freshness a record is served while it is refreshed behind the answer",
    ),
    setting(
        "cache.stale_if_error",
        "10m",
        DURATION,
        "how long after its freshness a record is served when the upstream is out of reach, too \
         slow, throttling or broken; never after 401, 403 or 404",
    ),
    setting(
        "inbound.projects",
        "–",
        "project ids with commas between them",
        "projects that are served; others are FORBIDDEN without a call. All, if not set",
    ),
    setting(
        "inbound.allow_anonymous",
        "false",
        SWITCH,
        "lets everybody who can connect use the gateway's own credentials",
    ),
    setting("limits.max_body_bytes", "256KiB", SIZE, "largest request body"),
    setting("limits.max_depth", "10", COUNT, "levels of fields, introspection left out"),
    setting("limits.max_complexity", "10000", COUNT, "fields, with fragments expanded"),
    setting("limits.max_aliases", "100", COUNT, "aliases, with fragments expanded"),
    setting("limits.max_directives", "50", COUNT, "directives, with fragments expanded"),
    setting("limits.max_tokens", "10000", COUNT, "lexical tokens"),
    setting("limits.max_batch", "10", COUNT, "operations in one HTTP request"),
    setting("limits.request_timeout", "15s", DURATION, "longest operation"),
    setting(
        "limits.max_in_flight",
        "1024",
        COUNT,
        "requests under way; more are answered 503 at once",
    ),
    setting(
        "graphql.introspection",
        "false",
        SWITCH,
        "answers introspection and suggests names; on in the demo",
    ),
    setting("graphql.graphiql", "false", SWITCH, "serves GraphiQL to browsers; on in the demo"),
    setting(
        "cors.allow_origins",
        "–",
        "origins such as https://app.example with commas between them",
        "origins whose pages may read answers",
    ),
    setting(
        "log",
        "info",
        "a level or directives, such as info or debug,hyper=warn",
        "what is logged",
    ),
    setting(
        "log_format",
        "text on a terminal, else json",
        "text or json",
        "form of log lines, which go to standard error",
    ),
];

const fn setting(
    key: &'static str,
    default: &'static str,
    allowed: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting { key, default, allowed, meaning }
}

impl Setting {
    /// The environment variable: `upstream.time_zone` is `GATEWAY_UPSTREAM__TIME_ZONE`.
    pub fn environment(&self) -> String {
        format!("GATEWAY_{}", self.key.replace('.', "__").to_ascii_uppercase())
    }

    /// The flag without its dashes: `upstream.time_zone` is `upstream-time-zone`.
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// The setting with a key.
    pub fn by_key(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }
}

/// The reference of all settings, as `docs/SETTINGS.md` holds it.
#[cfg(test)]
fn reference() -> String {
    let mut page = "# Settings\n\n\
        Every setting is a flag, an environment variable and a key of the TOML file that `--config` or \
        `GATEWAY_CONFIG` names. A flag wins over the environment, the environment over the file. \
        This page is made from the program's own table.\n\n\
        | file key | environment | default | allowed | meaning |\n\
        | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for setting in SETTINGS {
        let Setting { key, default, allowed, meaning } = setting;
        let environment = setting.environment();
        // Writing to a text cannot fail.
        let _ = writeln!(page, "| `{key}` | `{environment}` | {default} | {allowed} | {meaning} |");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_up_to_date() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SETTINGS.md");
        if option_env!("UPDATE_DOCS").is_some() {
            std::fs::write(&path, reference()).unwrap();
        }

        let written = std::fs::read_to_string(path).unwrap_or_default();

        assert!(written == reference(), "docs/SETTINGS.md differs from the table: run `just docs`");
    }

    #[test]
    fn names_follow_from_the_key() {
        let setting = Setting::by_key("upstream.time_zone").unwrap();

        assert_eq!(setting.environment(), "GATEWAY_UPSTREAM__TIME_ZONE");
        assert_eq!(setting.flag(), "upstream-time-zone");
    }
}
