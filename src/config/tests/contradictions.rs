//! Settings that are fine alone but not together.

use std::time::Duration;

use super::login::COMPLETE;
use super::*;

/// Variables, and how each refusal begins and what it has to name.
type Case = (&'static [(&'static str, &'static str)], &'static [(&'static str, &'static str)]);

const KEY: [(&str, &str); 2] = [("HUAWEICLOUD_SDK_AK", "AKID"), ("HUAWEICLOUD_SDK_SK", "SKEY")];

fn aksk() -> Given {
    serve().variables(&KEY).variables(&[("GATEWAY_UPSTREAM__CREDENTIALS", "aksk")])
}

#[test]
fn a_contradiction_names_both_settings() {
    let cases: &[Case] = &[
        (
            &[("GATEWAY_UPSTREAM__ATTEMPT_TIMEOUT", "12s")],
            &[(
                "upstream.attempt_timeout is 12s (GATEWAY_UPSTREAM__ATTEMPT_TIMEOUT): ",
                "must not exceed upstream.deadline, which is 10s",
            )],
        ),
        (
            &[("GATEWAY_UPSTREAM__CONNECT_TIMEOUT", "6s")],
            &[("upstream.connect_timeout is 6s", "upstream.attempt_timeout, which is 5s")],
        ),
        (
            &[
                ("GATEWAY_UPSTREAM__CONNECT_TIMEOUT", "3s"),
                ("GATEWAY_UPSTREAM__ATTEMPT_TIMEOUT", "2s"),
                ("GATEWAY_UPSTREAM__DEADLINE", "1s"),
            ],
            &[("upstream.attempt_timeout is 2s", "upstream.deadline, which is 1s")],
        ),
        (
            &[("GATEWAY_ADMIN_LISTEN", "127.0.0.1:8080")],
            &[("admin_listen is 127.0.0.1:8080", "listen, which is 127.0.0.1:8080")],
        ),
        (
            &[("GATEWAY_LISTEN", "0.0.0.0:8081")],
            &[("admin_listen is 127.0.0.1:8081 (default)", "listen, which is 0.0.0.0:8081")],
        ),
    ];
    for (variables, expected) in cases {
        let refusals = serve().variables(variables).refusals();

        assert_eq!(refusals.len(), expected.len(), "of {variables:?}: {refusals:#?}");
        for (refusal, (start, part)) in refusals.iter().zip(*expected) {
            assert!(refusal.starts_with(start), "{refusal} does not start with {start}");
            assert!(refusal.contains(part), "{refusal} does not name {part}");
        }
    }
}

#[test]
fn listeners_may_share_a_port_on_different_addresses_and_both_may_take_any() {
    for (listen, admin) in [
        ("127.0.0.1:9000", "127.0.0.2:9000"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("0.0.0.0:9000", "0.0.0.0:9001"),
    ] {
        let settings =
            serve().variables(&[("GATEWAY_LISTEN", listen), ("GATEWAY_ADMIN_LISTEN", admin)]);

        assert_eq!(settings.refusals(), [""; 0], "of {listen} and {admin}");
    }
}

#[test]
fn a_lowered_deadline_takes_the_defaults_below_it_along() {
    let loaded = serve().variables(&[("GATEWAY_UPSTREAM__DEADLINE", "1s")]).loaded();

    assert_eq!(loaded.settings.upstream.attempt_timeout, Duration::from_secs(1));
    assert_eq!(loaded.settings.upstream.connect_timeout, Duration::from_secs(1));
    let shown: Vec<String> = loaded.shown.iter().map(ToString::to_string).collect();
    let expected = "upstream.attempt_timeout = 1s (default, lowered to upstream.deadline)";
    assert!(shown.iter().any(|line| line == expected), "{shown:#?}");
}

#[test]
fn a_wrong_value_is_not_measured_against_others() {
    let refusals = serve()
        .variables(&[
            ("GATEWAY_UPSTREAM__ATTEMPT_TIMEOUT", "12s"),
            ("GATEWAY_UPSTREAM__DEADLINE", "soon"),
        ])
        .refusals();

    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert!(refusals[0].starts_with("upstream.deadline is soon"), "{refusals:#?}");
}

#[test]
fn an_open_listener_with_the_gateways_own_key_is_refused_with_both_remedies() {
    let refusals = aksk().arg("--listen=0.0.0.0:8080").refusals();

    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert!(refusals[0].starts_with("listen is 0.0.0.0:8080 (--listen): "), "{refusals:#?}");
    for remedy in
        ["loopback address", "inbound.auth", "GATEWAY_INBOUND__AUTH", "inbound.allow_anonymous"]
    {
        assert!(refusals[0].contains(remedy), "{remedy} is not named: {refusals:#?}");
    }
}

#[test]
fn no_credentials_of_the_gateways_own_are_open_to_everybody() {
    for (word, settings) in [
        ("aksk", aksk()),
        ("password", given(&["serve"]).variables(&COMPLETE)),
        ("metadata", serve().variables(&[("GATEWAY_UPSTREAM__CREDENTIALS", "metadata")])),
    ] {
        let refusals =
            settings.arg("--listen=0.0.0.0:8080").arg("--cors-allow-origins=*").refusals();

        assert_eq!(refusals.len(), 2, "{word}: {refusals:#?}");
        let names = |line: &String| line.contains(&format!("upstream.credentials={word}"));
        assert!(refusals.iter().all(names), "{word}: {refusals:#?}");
    }
}

#[test]
fn an_open_listener_is_fine_for_callers_with_tokens_or_when_anonymous_callers_are_wanted() {
    let open = "--listen=0.0.0.0:8080";

    assert_eq!(serve().arg(open).refusals(), [""; 0]);
    assert_eq!(aksk().arg(open).arg("--inbound-allow-anonymous").refusals(), [""; 0]);
    assert_eq!(aksk().arg("--listen=[::ffff:127.0.0.1]:8080").refusals(), [""; 0]);
}

#[test]
fn an_open_listener_is_fine_where_callers_are_asked_who_they_are() {
    let open = aksk().arg("--listen=0.0.0.0:8080");
    let jwt = [
        ("GATEWAY_INBOUND__AUTH", "jwt"),
        ("GATEWAY_INBOUND__JWT_JWKS", "https://idp.example/keys"),
        ("GATEWAY_INBOUND__JWT_ISSUER", "https://idp.example"),
        ("GATEWAY_INBOUND__JWT_AUDIENCE", "recordings"),
    ];

    let by_key =
        open.clone().arg("--inbound-auth=api-key").arg("--inbound-api-keys-file=keys.toml");
    let by_token = open.variables(&jwt);

    assert_eq!(
        by_key.config().inbound.auth,
        InboundAuth::ApiKey("keys.toml".into()),
        "a key is asked for"
    );
    let jwks = JwksSource::Address(Url::parse("https://idp.example/keys").unwrap());
    let expected = JwtConfig::new(jwks, "https://idp.example", "recordings");
    assert_eq!(by_token.config().inbound.auth, InboundAuth::Jwt(expected), "a token is asked for");
}

#[test]
fn one_answer_must_find_room_among_those_that_are_not_read() {
    let given = serve().arg("--limits-max-response-bytes=256MiB");

    assert_eq!(
        given.refusals(),
        ["limits.max_unsent_bytes is 128MiB (default): must not be less than \
          limits.max_response_bytes"]
    );
}

#[test]
fn a_setting_that_needs_another_is_refused_with_what_to_set() {
    for (flags, expected) in [
        (
            &["--inbound-auth=api-key"][..],
            &["inbound.api_keys_file is not set: must be set with inbound.auth=api-key"][..],
        ),
        (
            &["--inbound-auth=jwt", "--inbound-jwt-jwks=keys.json"],
            &[
                "inbound.jwt_issuer is not set: must be set with inbound.auth=jwt",
                "inbound.jwt_audience is not set: must be set with inbound.auth=jwt",
            ],
        ),
        (
            &["--inbound-api-keys-file=keys.toml"],
            &[
                "inbound.api_keys_file is keys.toml (--inbound-api-keys-file): does nothing without \
               inbound.auth=api-key: set that, or leave this out",
            ],
        ),
        (
            &["--inbound-auth=api-key", "--inbound-api-keys-file=f", "--inbound-allow-anonymous"],
            &["inbound.allow_anonymous is true (--inbound-allow-anonymous): must be false where \
               inbound.auth asks callers who they are"],
        ),
        (
            &["--limits-rate-burst=5"],
            &[
                "limits.rate_burst is 5 (--limits-rate-burst): does nothing without limits.rate: set \
               that as well",
            ],
        ),
        (
            &["--graphql-documents-only"],
            &["graphql.documents_only is true (--graphql-documents-only): needs \
               graphql.documents_file: without it every document is refused"],
        ),
        (&["--tls-cert-file=c"], &["tls.key_file is not set: must be set beside tls.cert_file"]),
        (
            &["--tls-key-file=k", "--tls-client-ca-file=a"],
            &["tls.cert_file is not set: must be set beside tls.key_file"],
        ),
        (
            &["--tls-client-ca-file=a"],
            &[
                "tls.client_ca_file is a (--tls-client-ca-file): does nothing without tls.cert_file \
               and tls.key_file: set both, or leave this out",
            ],
        ),
        (
            &["--cache-redis-url=redis://cache.example"],
            &["cache.key_secret is not set: it or cache.key_secret_file is needed where \
               cache.redis_url is set and upstream.credentials is passthrough: callers are known \
               there by a hash of their token"],
        ),
    ] {
        let given = flags.iter().fold(serve(), |given, flag| given.arg(*flag));

        assert_eq!(given.refusals(), expected, "of {flags:?}");
    }
}

#[test]
fn tokens_are_never_signed_with_a_shared_secret_or_not_at_all() {
    for algorithm in ["HS256", "HS512", "none", "RS256,HS256"] {
        let refusals = serve().arg(format!("--inbound-jwt-algorithms={algorithm}")).refusals();

        assert_eq!(refusals.len(), 1, "of {algorithm}: {refusals:#?}");
        assert!(refusals[0].contains("must be RS256, RS384"), "of {algorithm}: {refusals:#?}");
    }
}

#[test]
fn every_page_of_the_web_may_read_answers_only_with_a_callers_token() {
    let any = "--cors-allow-origins=*";

    let refusals = aksk().arg(any).refusals();

    assert_eq!(serve().arg(any).config().graphql.allow_origins, ["*"]);
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert!(refusals[0].starts_with("cors.allow_origins is * (--cors-allow-origins)"));
}

#[test]
fn the_demo_stays_on_this_machine() {
    for flag in ["--listen=0.0.0.0:8080", "--admin-listen=192.0.2.1:8081"] {
        let refusals = given(&["demo", flag]).refusals();

        assert_eq!(refusals.len(), 1, "of {flag}: {refusals:#?}");
        assert!(refusals[0].contains("must be a loopback address"), "of {flag}: {refusals:#?}");
    }
}
