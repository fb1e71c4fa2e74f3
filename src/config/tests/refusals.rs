//! What is wrong with single settings, told all at once.

use std::os::unix::ffi::OsStringExt as _;

use proptest::prelude::*;

use super::*;
use crate::config::settings::Role;

#[test]
fn a_refusal_names_every_wrong_setting_with_value_origin_and_what_is_allowed() {
    let refusals = serve()
        .settings_file("[cache]\nttl_final = 60\n")
        .variables(&[("GATEWAY_LIMITS__MAX_DEPTH", "0"), ("GATEWAY_UPSTREAM__TIME_ZONE", "Mars")])
        .variables(&[("GATEWAY_UPSTREAM__CREDENTIALS", "AKSK")])
        .arg("--listen=localhost")
        .refusals();

    assert_eq!(
        refusals,
        [
            "upstream.credentials is AKSK (GATEWAY_UPSTREAM__CREDENTIALS): must be passthrough, \
             aksk, password or metadata",
            "upstream.time_zone is Mars (GATEWAY_UPSTREAM__TIME_ZONE): must be an IANA time zone, \
             such as UTC or Asia/Shanghai",
            "listen is localhost (--listen): must be an IP address with a port, such as \
             127.0.0.1:8080 or [::1]:0",
            "cache.ttl_final is 60 (gateway.toml:2): needs a unit: must be a duration from 0s to \
             7d, such as 250ms, 5s or 1m30s",
            "limits.max_depth is 0 (GATEWAY_LIMITS__MAX_DEPTH): must be a whole number from 1 to \
             100",
        ]
    );
}

#[test]
fn every_setting_refuses_nonsense_and_none_hides_behind_another() {
    let settings = settings_of(Role::Serve);
    let given = settings.iter().fold(given(&["serve"]), |given, setting| {
        given.variables(&[(&setting.variable(), "\u{1}?")])
    });

    let refusals = given.refusals();

    assert_eq!(refusals.len(), settings.len(), "{refusals:#?}");
    for setting in settings {
        let name = format!("{} is ", setting.key);
        assert!(refusals.iter().any(|line| line.starts_with(&name)), "{name}: {refusals:#?}");
    }
    assert!(refusals.iter().all(|line| !line.contains(['\u{1}', '\n'])), "{refusals:#?}");
}

#[test]
fn zero_is_no_limit() {
    for setting in settings_of(Role::Serve).iter().filter(|setting| setting.section() == "limits") {
        let refusals = serve().variables(&[(&setting.variable(), "0")]).refusals();

        assert_eq!(refusals.len(), 1, "of {}", setting.key);
    }
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest_known_name() {
    for (variable, refusal) in [
        (
            "GATEWAY_UPSTREAM_ENDPOINT",
            "GATEWAY_UPSTREAM_ENDPOINT is not a setting: did you mean GATEWAY_UPSTREAM__ENDPOINT?",
        ),
        (
            "GATEWAY_CACHE__TTL_FINALE",
            "GATEWAY_CACHE__TTL_FINALE is not a setting: did you mean GATEWAY_CACHE__TTL_FINAL?",
        ),
        ("GATEWAY_X", "GATEWAY_X is not a setting: docs/SETTINGS.md and --help list them"),
    ] {
        assert_eq!(serve().variables(&[(variable, "1")]).refusals(), [refusal]);
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_name() {
    let file = "colour = 1\n[upstrem]\nendpoint = 'http://x'\n[[limits]]\nmax_depth = 3\n[extra]\n";

    let refusals = serve().settings_file(file).refusals();

    assert_eq!(
        refusals,
        [
            "colour (gateway.toml:1) is not a setting: docs/SETTINGS.md and --help list them",
            "extra (gateway.toml:6) is not a setting: docs/SETTINGS.md and --help list them",
            "limits (gateway.toml:4) is not a setting: docs/SETTINGS.md and --help list them",
            "upstrem.endpoint (gateway.toml:3) is not a setting: did you mean upstream.endpoint?",
        ]
    );
}

#[test]
fn variables_that_name_a_service_called_gateway_are_nobodys_mistake() {
    let settings = serve().variables(&[
        ("GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("GATEWAY_SERVICE_PORT", "8080"),
        ("GATEWAY_SERVICE_PORT_HTTP", "8080"),
        ("GATEWAY_PORT", "tcp://10.0.0.1:8080"),
        ("GATEWAY_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("GATEWAY_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("GATEWAY_REDIS_PORT_6379_TCP_PROTO", "tcp"),
    ]);

    assert_eq!(settings.refusals(), [""; 0]);
    assert_eq!(serve().variables(&[("GATEWAY_PORT", "8080")]).refusals().len(), 1);
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    for toml in [
        "listen = 8080",
        "listen = { port = 8080 }",
        "log = ['info']",
        "upstream.region = true",
        "upstream.deadline = 10.5",
        "limits.max_depth = 1.5",
        "limits.max_depth = -1",
        "limits.max_depth = 0xffffffffffffffffff",
        "limits.max_tokens = 1979-05-27",
        "graphql.introspection = 1",
        "inbound.projects = [1, 2]",
        "inbound.projects = []",
        "inbound.projects = 'p1,,p2'",
        "cors.allow_origins = ['*', 'https://a.example']",
        "limits = 5",
    ] {
        let refusals = serve().settings_file(toml).refusals();

        assert_eq!(refusals.len(), 1, "of {toml}: {refusals:#?}");
        assert!(refusals[0].contains("(gateway.toml:1)"), "of {toml}: {refusals:#?}");
    }
}

#[test]
fn a_file_that_is_not_toml_is_refused_line_by_line_along_with_the_rest() {
    let refusals = given(&["serve", "--listen=x"])
        .settings_file("log = \nlog_format = 'json'\nlisten = @\n")
        .refusals();

    assert!(refusals[0].starts_with("gateway.toml:1 is not TOML: "), "{refusals:#?}");
    assert!(refusals.iter().any(|line| line.starts_with("gateway.toml:3")), "{refusals:#?}");
    assert!(refusals.iter().any(|line| line.starts_with("listen is x")), "{refusals:#?}");
    // The endpoint may well be in the file.
    assert!(!refusals.iter().any(|line| line.contains("is not set")), "{refusals:#?}");
}

#[test]
fn a_missing_file_is_refused_by_its_name() {
    let refusals = serve().arg("--config=nowhere.toml").refusals();

    assert_eq!(refusals.len(), 1);
    assert!(
        refusals[0].starts_with("the settings file nowhere.toml (--config) cannot be read: "),
        "{refusals:?}"
    );
}

#[test]
fn a_password_of_the_shared_cache_is_neither_shown_nor_repeated_in_a_refusal() {
    let address = |text: &'static str| {
        serve().variables(&[
            ("GATEWAY_CACHE__REDIS_URL", text),
            ("GATEWAY_CACHE__KEY_SECRET", "canary of the hash"),
        ])
    };

    let loaded = address("rediss://user:canary@cache.example").loaded();
    let refusals = address("redis://user:canary@cache.example/no-number").refusals();

    let shown: Vec<String> = loaded.shown.iter().map(ToString::to_string).collect();
    let line = "cache.redis_url = (redacted) (GATEWAY_CACHE__REDIS_URL)";
    assert!(shown.iter().any(|shown| shown == line), "{shown:#?}");
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert!(refusals[0].contains("cache.redis_url"), "{refusals:#?}");
    assert!(!format!("{loaded:?} {shown:?} {refusals:?}").contains("canary"));
}

#[test]
fn serving_without_an_upstream_says_what_to_set_and_points_to_the_demo() {
    let refusals = given(&["serve"]).refusals();

    assert_eq!(
        refusals,
        ["upstream.region is not set: set upstream.region (--upstream-region, \
          GATEWAY_UPSTREAM__REGION), for example to ap-southeast-1, or upstream.endpoint \
          (--upstream-endpoint, GATEWAY_UPSTREAM__ENDPOINT); without an account, try the command \
          `demo`"]
    );
}

#[test]
fn a_variable_that_is_not_unicode_is_refused_if_it_is_a_setting() {
    let mut settings = serve();
    let value = OsString::from_vec(vec![0xff]);
    settings.environment.push(("GATEWAY_LOG".into(), value.clone()));
    settings.environment.push(("UNRELATED".into(), value.clone()));
    settings.environment.push((OsString::from_vec(b"GATEWAY_\xff".to_vec()), value));

    let refusals = settings.refusals();

    assert_eq!(refusals.len(), 2, "{refusals:?}");
    assert!(refusals[0].starts_with("GATEWAY_\u{fffd} is not a setting"), "{refusals:?}");
    assert!(refusals[1].starts_with("log is not UTF-8 (GATEWAY_LOG): must be"), "{refusals:?}");
}

#[test]
fn secrets_are_redacted_from_refusals() {
    let refusals = given(&["simulate"])
        .variables(&[
            ("GATEWAY_SIMULATOR__ACCESS_KEYS", "canary-access:,canary-secret"),
            ("GATEWAY_SIMULATOR__TOKENS", "canary token"),
        ])
        .refusals();
    let unquoted = given(&["simulate"]).settings_file("simulator.tokens = canary\n").refusals();
    let endpoint = given(&["serve"])
        .variables(&[("GATEWAY_UPSTREAM__ENDPOINT", "https://user:canary@example.com")])
        .refusals();

    assert_eq!(refusals.len(), 2);
    assert!(refusals.iter().all(|line| line.contains(" is (redacted) (GATEWAY_")), "{refusals:?}");
    let all = [refusals, unquoted, endpoint].concat();
    assert_eq!(all.len(), 4, "{all:#?}");
    assert!(!all.concat().contains("canary"), "{all:#?}");
}

#[test]
fn a_secret_flag_of_the_simulator_is_not_repeated_in_a_complaint() {
    let complaint = given(&["simulate", "--access-key=AK:canary", "--no-such-flag"]).complaint();

    assert!(!complaint.to_string().contains("canary"), "{complaint}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_text_for_any_setting_is_read_or_refused_on_one_line(
        at in 0..all_settings().len(),
        text in "\\PC{0,40}|[0-9a-zA-Z:/.,=@ \\-\\[\\]\n\t]{0,40}",
    ) {
        let setting = all_settings()[at];
        let given = if setting.is_for(Role::Serve) { serve() } else { given(&["simulate"]) };

        let refusals = given.variables(&[(&setting.variable(), &text)]).refusals();

        prop_assert!(refusals.iter().all(|line| !line.contains('\n')), "{refusals:?}");
    }

    #[test]
    fn any_text_in_the_settings_file_is_read_or_refused(text in "(\\PC|\n){0,200}") {
        let _ = serve().settings_file(&text).refusals();
    }

    #[test]
    fn any_number_with_any_unit_is_read_or_refused(
        numbers in prop::collection::vec((any::<u64>(), "[a-zA-Z.]{0,3}"), 1..4)
    ) {
        let parts: Vec<String> =
            numbers.iter().map(|(number, unit)| format!("{number}{unit}")).collect();
        let text = parts.concat();

        let _ = serve()
            .variables(&[("GATEWAY_CACHE__TTL_FINAL", &text), ("GATEWAY_CACHE__MAX_BYTES", &text)])
            .refusals();
    }
}
