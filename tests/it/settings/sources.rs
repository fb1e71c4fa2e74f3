//! Every setting from every source, their order, and the defaults.

use std::num::NonZeroU32;
use std::time::Duration;

use screen_record_gateway::config::{
    CacheConfig, GraphqlConfig, InboundConfig, LimitsConfig, LogConfig, UpstreamConfig,
};

use super::*;

#[test]
fn every_setting_is_read_from_its_flag_its_variable_and_its_key() {
    for command in ["serve", "simulate"] {
        let rows = documented(command);
        // No setting allows this value, and its refusal names where it came from.
        let nonsense = "\u{1}?";
        let file: String = rows.iter().map(|row| row.key.clone() + " = \"\\u0001?\"\n").collect();
        let by_file = given(&[command]).settings_file(&file);
        let by_flag = rows
            .iter()
            .fold(given(&[command]), |given, row| given.arg(format!("{}={nonsense}", row.flag)));
        let by_variable = rows
            .iter()
            .fold(given(&[command]), |given, row| given.variables(&[(&row.variable, nonsense)]));
        let lines = (1..=rows.len()).map(|line| format!("gateway.toml:{line}"));
        let flags = rows.iter().map(|row| row.flag.clone());
        let variables = rows.iter().map(|row| row.variable.clone());

        for (given, origins) in [
            (by_file, lines.collect::<Vec<_>>()),
            (by_flag, flags.collect()),
            (by_variable, variables.collect()),
        ] {
            let refusals = given.refusals();

            assert_eq!(refusals.len(), rows.len(), "{refusals:#?}");
            assert!(refusals.iter().all(|line| !line.contains(['\u{1}', '\n'])), "{refusals:#?}");
            for (row, origin) in rows.iter().zip(origins) {
                let (name, origin) = (format!("{} is ", row.key), format!("({origin}): "));
                let is_named = |line: &&String| line.starts_with(&name) && line.contains(&origin);
                assert_eq!(refusals.iter().filter(is_named).count(), 1, "{name}: {refusals:#?}");
            }
        }
    }
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let file = "listen = '127.0.0.1:3'\nadmin_listen = '127.0.0.1:13'\nlog = 'trace'\n";
    let settings = serve()
        .settings_file(file)
        .variables(&[("GATEWAY_LISTEN", "127.0.0.1:2"), ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:12")])
        // Empty variables count as not set.
        .variables(&[("GATEWAY_LOG", ""), ("GATEWAY_NO_SUCH_SETTING", "")])
        .arg("--listen=127.0.0.1:1");
    let other_file =
        settings.clone().file("other.toml", "log = 'debug'").arg("--config=other.toml");

    let config = settings.config();

    assert_eq!((config.listen.port(), config.admin_listen.port()), (1, 12));
    assert_eq!(config.log.filter, "trace");
    assert_eq!(other_file.config().log.filter, "debug");
}

#[test]
fn the_demo_needs_nothing_and_ignores_the_upstream_that_is_set_for_serve() {
    let settings = given(&["demo"]).variables(&[
        ("GATEWAY_UPSTREAM__REGION", "ap-southeast-1"),
        ("GATEWAY_UPSTREAM__CREDENTIALS", "aksk"),
        ("GATEWAY_CACHE__TTL_FINAL", "7s"),
    ]);

    let config = settings.demo();

    assert!(config.graphql.introspection && config.graphql.graphiql && config.graphql.console);
    assert!(config.listen.ip().is_loopback());
    assert_eq!(config.upstream.default, None);
    assert_eq!(config.cache.ttl_final, Duration::from_secs(7));
    for flag in ["--upstream-region=x", "--upstream-endpoint=x", "--upstream-credentials=aksk"] {
        let complaint = given(&["demo", flag]).complaint();
        assert_eq!(complaint.kind(), clap::error::ErrorKind::UnknownArgument, "of {flag}");
    }
}

#[test]
fn values_may_be_lists_numbers_and_truth_values_in_the_file_and_on_the_command_line() {
    let file = serve().settings_file(
        "limits.max_depth = 12\nupstream.max_body_bytes = 2097152\nupstream.max_concurrency = 0x10\n\
         upstream.breaker_failure_rate = 0.25\ngraphql.introspection = true\n\
         inbound.projects = ['p1', 'p2']\n",
    );
    let flags = serve()
        .arg("--inbound-projects=p1,p2")
        .arg("--inbound-projects=p3")
        .arg("--cors-allow-origins=https://A.example:443")
        .arg("--graphql-introspection");
    let off = given(&["demo", "--graphql-introspection=false"]);

    let (file, flags) = (file.config(), flags.config());

    assert_eq!((file.limits.max_depth, file.upstream.max_body_bytes), (12, 2_097_152));
    assert_eq!(
        (file.upstream.max_concurrency.get(), file.upstream.breaker.failure_rate),
        (16, 0.25)
    );
    assert_eq!(file.inbound.projects.map(|projects| projects.len()), Some(2));
    assert_eq!(flags.inbound.projects.map(|projects| projects.len()), Some(3));
    assert_eq!(flags.graphql.allow_origins, ["https://a.example"]);
    assert!(file.graphql.introspection && flags.graphql.introspection);
    assert!(!off.demo().graphql.introspection);
}

#[test]
fn what_is_not_set_has_the_default_of_its_section() {
    let config = serve().config();

    let upstream = UpstreamConfig::at(ENDPOINT.1.parse().unwrap());
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
fn the_endpoint_wins_over_the_sdks_address_of_a_region_and_that_over_the_public_one() {
    const SDK: &str = "HUAWEICLOUD_SDK_REGION_WORKSPACE_AP_SOUTHEAST_1";
    let region = || given(&["serve", "--upstream-region=ap-southeast-1"]);
    let sdk = || region().variables(&[(SDK, "https://first.example, https://second.example")]);
    for (given, endpoint, origin) in [
        (region(), "https://workspace.ap-southeast-1.myhuaweicloud.com/", "the region"),
        (sdk(), "https://first.example/", SDK),
        (sdk().variables(&[ENDPOINT]), "http://127.0.0.1:8090/", ENDPOINT.0),
    ] {
        let loaded = given.loaded();

        let shown = loaded.shown.iter().find(|shown| shown.name == "upstream.endpoint").unwrap();
        let target = loaded.settings.upstream.default.as_ref().unwrap();
        assert_eq!(target.endpoint.as_str(), endpoint);
        assert_eq!(shown.origin, origin);
    }
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
    assert_eq!(args.projects[0].as_str(), "p1");
    assert_eq!(args.tokens.len(), 2);
    assert_eq!(args.access_keys[0].secret.expose(), "secret-key");
    assert!(!format!("{args:?}").contains("secret-"), "{args:?}");
}

#[test]
fn every_flag_is_in_the_help_of_its_command_with_its_variable() {
    for command in ["serve", "simulate"] {
        let help = given(&[command, "--help"]).complaint().to_string();

        for Row { flag, variable, default, .. } in documented(command) {
            for part in [&flag, &format!("Environment: {variable}"), &default] {
                assert!(
                    help.contains(part.as_str()),
                    "{part} is missing from the help of {command}"
                );
            }
        }
    }
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
