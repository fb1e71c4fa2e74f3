//! Wrong settings: one error names all of them.

use std::os::unix::ffi::OsStringExt as _;

use proptest::prelude::*;

use super::*;

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
            "cache.ttl_final is 60 (gateway.toml:2): must be a duration from 0s to 7d, such as \
             250ms, 5s or 1m30s",
            "limits.max_depth is 0 (GATEWAY_LIMITS__MAX_DEPTH): must be a whole number from 1 to \
             100",
        ]
    );
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    for toml in [
        "limits.max_in_flight = 0",
        "listen = 8080",
        "listen = { port = 8080 }",
        "upstream.deadline = 10.5",
        "limits.max_depth = 1.5",
        "limits.max_depth = -1",
        "limits.max_depth = 0xffffffffffffffffff",
        "limits.max_tokens = 1979-05-27",
        "graphql.introspection = 1",
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
fn an_unknown_name_is_refused() {
    let file = "colour = 1\n[upstrem]\nendpoint = 'http://x'\n[[limits]]\nmax_depth = 3\n[extra]\n";
    serve().settings_file(file).assert_refused(&[
        "colour (gateway.toml:1) is not a setting: docs/SETTINGS.md and --help list them",
        "upstrem.endpoint (gateway.toml:3) is not a setting: docs/SETTINGS.md and --help list them",
        "limits (gateway.toml:4) is not a setting: docs/SETTINGS.md and --help list them",
        "extra (gateway.toml:6) is not a setting: docs/SETTINGS.md and --help list them",
    ]);
    for variable in ["GATEWAY_UPSTREAM_ENDPOINT", "GATEWAY_X", "GATEWAY_PORT"] {
        let refusal = format!("{variable} is not a setting: docs/SETTINGS.md and --help list them");
        serve().variables(&[(variable, "1")]).assert_refused(&[&refusal]);
    }
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_called_gateway_are_ignored() {
    let settings = serve().variables(&[
        ("GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("GATEWAY_SERVICE_PORT", "8080"),
        ("GATEWAY_SERVICE_PORT_HTTP", "8080"),
        ("GATEWAY_PORT", "tcp://10.0.0.1:8080"),
        ("GATEWAY_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("GATEWAY_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("GATEWAY_REDIS_PORT_6379_TCP_PROTO", "tcp"),
    ]);

    settings.assert_refused(&[]);
}

#[test]
fn text_that_is_not_unicode_is_refused_where_it_is_a_setting() {
    let bytes = OsString::from_vec(vec![0xff]);
    let mut settings = serve();
    settings.environment.push(("GATEWAY_LOG".into(), bytes.clone()));
    settings.environment.push(("UNRELATED".into(), bytes.clone()));
    settings.environment.push((OsString::from_vec(b"GATEWAY_\xff".to_vec()), bytes.clone()));
    let mut named = serve();
    named.environment.push(("GATEWAY_CONFIG".into(), bytes));

    settings.assert_refused(&["GATEWAY_LOG is not UTF-8", "GATEWAY_\u{fffd} is not a setting"]);
    named.assert_refused(&["the settings file \u{fffd} (GATEWAY_CONFIG) cannot be read: "]);
    let missing = "the settings file nowhere.toml (--config) cannot be read: ";
    serve().arg("--config=nowhere.toml").assert_refused(&[missing]);
}

#[test]
fn secrets_are_neither_shown_nor_repeated_in_refusals() {
    let redacted = |key: &str| format!("{key} is (redacted) (GATEWAY_");
    for (command, variable, value, key) in [
        ("simulate", "GATEWAY_SIMULATOR__ACCESS_KEYS", "canary:,canary", "simulator.access_keys"),
        ("simulate", "GATEWAY_SIMULATOR__TOKENS", "canary token", "simulator.tokens"),
        (
            "serve",
            "GATEWAY_UPSTREAM__ENDPOINT",
            "https://a:canary@example.com",
            "upstream.endpoint",
        ),
    ] {
        given(&[command]).variables(&[(variable, value)]).assert_refused(&[&redacted(key)]);
    }
    let unquoted = given(&["simulate"]).settings_file("simulator.tokens = canary\n");
    unquoted.assert_refused(&["gateway.toml:1 is not TOML: "]);
    let complaint = given(&["simulate", "--access-key=AK:canary", "--no-such-flag"]).complaint();
    assert!(!complaint.to_string().contains("canary"), "{complaint}");
    let shared = |address| {
        let secret = ("GATEWAY_CACHE__KEY_SECRET", "canary of the hash");
        serve().variables(&[("GATEWAY_CACHE__REDIS_URL", address), secret])
    };
    let address = "redis://user:canary@cache.example/no-number";
    shared(address).assert_refused(&[&redacted("cache.redis_url")]);

    let loaded = shared("rediss://user:canary@cache.example").loaded();

    let shown = shown(&loaded);
    let line = "cache.redis_url = (redacted) (GATEWAY_CACHE__REDIS_URL)";
    assert!(shown.iter().any(|shown| shown == line), "{shown:#?}");
    assert!(!format!("{loaded:?} {shown:?}").contains("canary"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_text_for_any_setting_is_read_or_refused_on_one_line(
        row in prop::sample::select([documented("serve"), documented("simulate")].concat()),
        text in "\\PC{0,40}|[0-9a-zA-Z:/.,=@ \\-\\[\\]\n\t]{0,40}",
    ) {
        let given = if row.key.starts_with("simulator.") { given(&["simulate"]) } else { serve() };

        let refusals = given.variables(&[(&row.variable, &text)]).refusals();

        prop_assert!(refusals.iter().all(|line| !line.contains('\n')), "{refusals:?}");
    }
}
