//! Every setting from every source, their order, and the defaults.

use std::num::NonZeroU32;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use super::tls::certificate;
use super::*;
use crate::config::form::Shape;
use crate::config::setting::{Role, rows};

/// A value of every setting that is not its default, as text and as the settings file has it.
pub(super) const SAMPLES: &[(&str, &str, &str)] = &[
    ("listen", "127.0.0.1:9000", "'127.0.0.1:9000'"),
    ("admin_listen", "[::1]:9001", "'[::1]:9001'"),
    ("upstream.region", "eu-west-101", "'eu-west-101'"),
    ("upstream.endpoint", "https://example.com", "'https://example.com'"),
    ("upstream.credentials", "passthrough", "'passthrough'"),
    ("upstream.metadata_endpoint", "http://127.0.0.1:9", "'http://127.0.0.1:9'"),
    ("upstream.time_zone", "Asia/Shanghai", "'Asia/Shanghai'"),
    ("upstream.ca_file", "upstream-ca.pem", "'upstream-ca.pem'"),
    ("upstream.connect_timeout", "1s", "'1s'"),
    ("upstream.attempt_timeout", "6s", "'6s'"),
    ("upstream.deadline", "1m30s", "'1m30s'"),
    ("upstream.max_attempts", "5", "5"),
    ("upstream.breaker_min_calls", "30", "30"),
    ("upstream.breaker_failure_rate", "0.25", "0.25"),
    ("upstream.breaker_window", "20s", "'20s'"),
    ("upstream.breaker_open_for", "2s", "'2s'"),
    ("upstream.max_concurrency", "7", "7"),
    ("upstream.max_body_bytes", "2MiB", "2097152"),
    ("cache.max_bytes", "0", "0"),
    ("cache.ttl_active", "250ms", "'250ms'"),
    ("cache.ttl_final", "10m", "'10m'"),
    ("cache.ttl_not_found", "0s", "'0s'"),
    ("cache.ttl_list", "3s", "'3s'"),
    ("cache.stale_while_revalidate", "1h", "'1h'"),
    ("cache.stale_if_error", "2d", "'2d'"),
    ("cache.redis_url", "redis://cache.example", "'redis://cache.example'"),
    ("cache.redis_url_file", "redis-url.txt", "'redis-url.txt'"),
    ("cache.redis_timeout", "20ms", "'20ms'"),
    ("cache.key_secret", "sixteen or more characters", "'sixteen or more characters'"),
    ("cache.key_secret_file", "key-secret.txt", "'key-secret.txt'"),
    ("iam.user", "gateway", "'gateway'"),
    ("iam.password", "secret", "'secret'"),
    ("iam.password_file", "password.txt", "'password.txt'"),
    ("iam.domain", "account", "'account'"),
    ("inbound.auth", "none", "'none'"),
    ("inbound.api_keys_file", "keys.toml", "'keys.toml'"),
    ("inbound.jwt_jwks", "https://idp.example/keys", "'https://idp.example/keys'"),
    ("inbound.jwt_issuer", "https://idp.example", "'https://idp.example'"),
    ("inbound.jwt_audience", "recordings", "'recordings'"),
    ("inbound.jwt_algorithms", "EdDSA, PS256", "['EdDSA', 'PS256']"),
    ("inbound.jwt_leeway", "5s", "'5s'"),
    ("inbound.jwt_projects_claim", "tenants", "'tenants'"),
    ("inbound.projects", "p1, p2", "['p1', 'p2']"),
    ("inbound.allow_anonymous", "true", "true"),
    ("tls.cert_file", "tls.crt", "'tls.crt'"),
    ("tls.key_file", "tls.key", "'tls.key'"),
    ("tls.client_ca_file", "clients.pem", "'clients.pem'"),
    ("limits.max_body_bytes", "64KiB", "'64KiB'"),
    ("limits.max_depth", "11", "11"),
    ("limits.max_complexity", "12", "12"),
    ("limits.max_aliases", "13", "13"),
    ("limits.max_directives", "14", "14"),
    ("limits.max_root_fields", "22", "22"),
    ("limits.max_representations", "23", "23"),
    ("limits.max_tokens", "15", "15"),
    ("limits.max_batch", "16", "16"),
    ("limits.request_timeout", "17s", "'17s'"),
    ("limits.max_in_flight", "18", "18"),
    ("limits.max_connections", "24", "24"),
    ("limits.header_timeout", "9s", "'9s'"),
    ("limits.idle_timeout", "65s", "'65s'"),
    ("limits.write_timeout", "25s", "'25s'"),
    ("limits.rate", "19/m", "'19/m'"),
    ("limits.rate_burst", "20", "20"),
    ("subscriptions.poll_interval", "7s", "'7s'"),
    ("subscriptions.send_timeout", "3s", "'3s'"),
    ("subscriptions.max_connections_per_caller", "8", "8"),
    ("graphql.introspection", "true", "true"),
    ("graphql.graphiql", "false", "false"),
    ("graphql.documents_file", "documents.json", "'documents.json'"),
    ("graphql.documents_only", "false", "false"),
    ("graphql.compression", "false", "false"),
    ("cors.allow_origins", "https://a.example", "['https://a.example']"),
    ("log", "warn,screen_record_gateway=debug", "'warn,screen_record_gateway=debug'"),
    ("log_format", "json", "'json'"),
    ("simulator.listen", "127.0.0.1:9002", "'127.0.0.1:9002'"),
    ("simulator.records", "19", "19"),
    ("simulator.latency", "0s", "'0s'"),
    ("simulator.seed", "18446744073709551615", "'18446744073709551615'"),
    ("simulator.projects", "p3", "['p3']"),
    ("simulator.tokens", "t1,t2", "['t1', 't2']"),
    ("simulator.access_keys", "AK1:SK1,AK2:SK2", "['AK1:SK1', 'AK2:SK2']"),
    ("simulator.iam_users", "u:p:d", "['u:p:d']"),
    ("simulator.token_life", "1h", "'1h'"),
    ("simulator.fault_rate", "0.25", "0.25"),
    ("simulator.rate_limit", "20", "20"),
];

/// Settings that are refused alone, and what each stands beside.
const COMPANIONS: &[(&str, &[&str])] = &[
    ("inbound.api_keys_file", &["--inbound-auth=api-key"]),
    ("inbound.jwt_jwks", &[JWT, "--inbound-jwt-issuer=i", "--inbound-jwt-audience=a"]),
    ("inbound.jwt_issuer", &[JWT, "--inbound-jwt-jwks=j", "--inbound-jwt-audience=a"]),
    ("inbound.jwt_audience", &[JWT, "--inbound-jwt-jwks=j", "--inbound-jwt-issuer=i"]),
    ("cache.redis_url", &["--cache-key-secret=sixteen or more characters"]),
    ("cache.redis_url_file", &["--cache-key-secret=sixteen or more characters"]),
    ("limits.rate_burst", &["--limits-rate=1/s"]),
    ("tls.cert_file", &["--tls-key-file=tls.key"]),
    ("tls.key_file", &["--tls-cert-file=tls.crt"]),
    ("tls.client_ca_file", &["--tls-cert-file=tls.crt", "--tls-key-file=tls.key"]),
];
const JWT: &str = "--inbound-auth=jwt";

fn command_with(row: &dyn Row) -> Given {
    if !row.roles().contains(&Role::Serve) {
        return given(&["simulate"]);
    }
    let companions = COMPANIONS.iter().find(|(key, _)| *key == row.key());
    let companions = companions.map_or(&[][..], |(_, flags)| flags);
    given(&[&["check", "--upstream-endpoint=http://127.0.0.1"], companions].concat())
        .file("redis-url.txt", "redis://cache.example")
        .file("key-secret.txt", "sixteen or more characters")
        .file("upstream-ca.pem", &certificate())
}

fn origin_of(given: Given, key: &str) -> Option<Origin> {
    let shown = match given.parse().unwrap() {
        Invocation::Check(loaded) => loaded.shown,
        Invocation::Simulate(loaded) => loaded.shown,
        other => panic!("unexpected {other:?}"),
    };
    shown.into_iter().find(|shown| shown.name == key).map(|shown| shown.origin)
}

#[test]
fn there_is_a_sample_of_every_setting() {
    let keys: Vec<&str> = rows().map(Row::key).collect();

    let samples: Vec<&str> = SAMPLES.iter().map(|(key, ..)| *key).collect();

    assert_eq!(samples, keys);
}

#[test]
fn every_setting_is_read_from_the_environment() {
    for (row, (key, text, _)) in rows().zip(SAMPLES).filter(|(_, (key, ..))| *key != ENDPOINT_KEY) {
        let name = row.environment();

        let origin = origin_of(command_with(row).variables(&[(&name, text)]), key);

        assert_eq!(origin, Some(Origin::Environment(name)), "of {key}");
    }
}

#[test]
fn every_setting_is_read_from_the_file() {
    for (row, (key, _, toml)) in rows().zip(SAMPLES).filter(|(_, (key, ..))| *key != ENDPOINT_KEY) {
        let file = format!("# one setting\n{key} = {toml}\n");

        let origin = origin_of(command_with(row).settings_file(&file), key);

        let expected = Origin::File { path: "gateway.toml".to_owned(), line: 2 };
        assert_eq!(origin, Some(expected), "of {key}");
    }
}

#[test]
fn every_setting_is_read_from_its_flag() {
    for (row, (key, text, _)) in rows().zip(SAMPLES).filter(|(_, (key, ..))| *key != ENDPOINT_KEY) {
        let flag = row.flag();

        let origin = origin_of(command_with(row).arg(format!("--{flag}={text}")), key);

        assert_eq!(origin, Some(Origin::Flag(flag)), "of {key}");
    }
}

/// Stands in every command line of this file already, for nothing can be served without it.
const ENDPOINT_KEY: &str = "upstream.endpoint";

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let file = "listen = '127.0.0.1:3'\nadmin_listen = '127.0.0.1:13'\nlog = 'trace'\n";
    let settings = serve()
        .settings_file(file)
        .variables(&[("GATEWAY_LISTEN", "127.0.0.1:2"), ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:12")])
        .arg("--listen=127.0.0.1:1");

    let config = settings.config();

    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.admin_listen.port(), 12);
    assert_eq!(config.log.filter, "trace");
}

#[test]
fn the_flag_for_the_file_wins_over_its_variable() {
    let settings = serve()
        .settings_file("log = 'warn'")
        .file("other.toml", "log = 'debug'")
        .arg("--config=other.toml");

    assert_eq!(settings.config().log.filter, "debug");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let settings = serve().variables(&[
        ("GATEWAY_LISTEN", ""),
        ("GATEWAY_CONFIG", ""),
        ("GATEWAY_NO_SUCH_SETTING", ""),
    ]);

    assert_eq!(settings.config().listen.to_string(), "127.0.0.1:8080");
}

#[test]
fn what_is_not_set_has_the_default_of_its_section() {
    let config = serve().config();

    let upstream = UpstreamConfig::at(Url::parse(ENDPOINT.1).unwrap());
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.admin_listen.to_string(), "127.0.0.1:8081");
    assert_eq!(format!("{:?}", config.upstream), format!("{upstream:?}"));
    assert_eq!(config.cache, CacheConfig::default());
    assert_eq!(config.inbound, InboundConfig::default());
    assert_eq!(config.limits, LimitsConfig::default());
    assert_eq!(config.graphql, GraphqlConfig::default());
    assert_eq!(config.log, LogConfig::default());
}

#[test]
fn the_demo_needs_nothing_and_shows_its_schema() {
    let config = given(&["demo"]).demo();

    assert!(config.graphql.introspection);
    assert!(config.graphql.graphiql);
    assert!(config.listen.ip().is_loopback());
}

#[test]
fn the_demo_passes_over_the_upstream_that_is_set_for_serve() {
    let settings = given(&["demo"]).variables(&[
        ("GATEWAY_UPSTREAM__REGION", "ap-southeast-1"),
        ("GATEWAY_UPSTREAM__CREDENTIALS", "aksk"),
        ("GATEWAY_CACHE__TTL_FINAL", "7s"),
    ]);

    let config = settings.demo();

    assert_eq!(config.upstream.endpoint, upstream::nowhere());
    assert_eq!(config.cache.ttl_final, Duration::from_secs(7));
}

#[test]
fn the_demo_has_no_flag_for_another_upstream() {
    for flag in ["--upstream-region=x", "--upstream-endpoint=x", "--upstream-credentials=aksk"] {
        let complaint = given(&["demo", flag]).complaint();

        assert_eq!(complaint.kind(), clap::error::ErrorKind::UnknownArgument, "of {flag}");
    }
}

#[test]
fn the_region_gives_its_public_endpoint() {
    let settings = given(&["serve", "--upstream-region", "ap-southeast-1"]).loaded();

    let endpoint = settings.settings.upstream.endpoint.to_string();
    assert_eq!(endpoint, "https://workspace.ap-southeast-1.myhuaweicloud.com/");
    let shown = settings.shown.iter().find(|shown| shown.name == ENDPOINT_KEY).unwrap();
    assert_eq!(shown.origin, Origin::Derived("upstream.region".to_owned()));
}

#[test]
fn the_endpoint_wins_over_the_region_and_the_sdks_override_of_it() {
    let settings = serve().arg("--upstream-region=ap-southeast-1").variables(&[(
        "HUAWEICLOUD_SDK_REGION_WORKSPACE_AP_SOUTHEAST_1",
        "https://override.example.com",
    )]);

    assert_eq!(settings.config().upstream.endpoint.to_string(), "http://127.0.0.1:8090/");
}

#[test]
fn the_sdks_override_of_a_region_gives_the_first_of_its_addresses() {
    let settings = given(&["serve", "--upstream-region=ap-southeast-1"]).variables(&[(
        "HUAWEICLOUD_SDK_REGION_WORKSPACE_AP_SOUTHEAST_1",
        "https://first.example.com, https://second.example.com",
    )]);

    assert_eq!(settings.config().upstream.endpoint.to_string(), "https://first.example.com/");
}

#[test]
fn a_list_may_be_a_flag_given_twice_or_one_with_commas() {
    let settings = serve()
        .arg("--inbound-projects=p1,p2")
        .arg("--inbound-projects=p3")
        .arg("--cors-allow-origins=https://A.example:443");

    let config = settings.config();

    assert_eq!(config.inbound.projects.map(|projects| projects.len()), Some(3));
    assert_eq!(config.graphql.allow_origins, ["https://a.example"]);
}

#[test]
fn a_switch_flag_needs_no_value_and_can_turn_off() {
    let on = serve().arg("--graphql-introspection").config();
    let off = given(&["demo", "--graphql-introspection=false"]).demo();

    assert!(on.graphql.introspection);
    assert!(!off.graphql.introspection);
}

#[test]
fn the_simulator_takes_its_flags() {
    let args = given(&["simulate", "--records", "3", "--latency", "0s", "--seed", "9"])
        .arg("--project=p1")
        .arg("--token=secret-token-1")
        .arg("--token=secret-token-2")
        .arg("--access-key=AKID:secret-key")
        .arg("--fault-rate=0.5")
        .arg("--rate-limit=10")
        .simulate();

    assert_eq!((args.records, args.seed, args.fault_rate), (3, 9, 0.5));
    assert_eq!(args.rate_limit, NonZeroU32::new(10));
    assert_eq!(args.projects, ["p1"]);
    assert_eq!(args.tokens.len(), 2);
    assert_eq!(args.access_keys[0].1.expose(), "secret-key");
    assert!(!format!("{args:?}").contains("secret-"), "{args:?}");
}

#[test]
fn the_settings_file_may_be_named_by_any_bytes() {
    let mut settings = serve();
    let path = OsString::from_vec(b"gate\xffway.toml".to_vec());
    settings.environment.push(("GATEWAY_CONFIG".into(), path));

    let refusals = settings.refusals();

    assert_eq!(refusals.len(), 1);
    assert!(refusals[0].contains("(GATEWAY_CONFIG) cannot be read: "), "{refusals:?}");
}

#[test]
fn every_flag_is_in_the_help_of_its_command_with_its_variable() {
    for (command, role) in
        [("serve", Role::Serve), ("demo", Role::Demo), ("simulate", Role::Simulate)]
    {
        let help = given(&[command, "--help"]).complaint().to_string();

        for row in setting::rows_of(role) {
            let flag = format!("--{}", row.flag());
            assert!(help.contains(&flag), "{flag} is missing from the help of {command}");
            let variable = format!("Environment: {}", row.environment());
            assert!(help.contains(&variable), "{variable} is missing from the help of {command}");
        }
    }
}

#[test]
fn the_command_line_is_well_formed() {
    flags::command().debug_assert();
    assert!(rows().any(|row| row.shape() == Shape::Switch));
}

#[test]
fn asking_for_nothing_or_for_unknown_flags_is_a_mistake_in_usage() {
    for (args, code) in [
        (&[][..], 2),
        (&["serve", "--no-such-flag"][..], 2),
        (&["no-such-command"][..], 2),
        (&["--help"][..], 0),
        (&["--version"][..], 0),
    ] {
        assert_eq!(given(args).complaint().exit_code(), code, "of {args:?}");
    }
}
