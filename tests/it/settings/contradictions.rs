//! Settings that are valid alone but not together.

use std::time::Duration;

use screen_record_gateway::config::{InboundAuth, JwksSource, JwtConfig};

use super::*;

const KEY: [(&str, &str); 2] = [("HUAWEICLOUD_SDK_AK", "AKID"), ("HUAWEICLOUD_SDK_SK", "SKEY")];
const OPEN: &str = "--listen=0.0.0.0:8080";
const ANY_ORIGIN: &str = "--cors-allow-origins=*";

fn aksk() -> Given {
    serve().variables(&KEY).variables(&[("GATEWAY_UPSTREAM__CREDENTIALS", "aksk")])
}

/// Flags, and how they are refused.
const CONTRADICTIONS: &[(&[&str], &[&str])] = &[
    (
        &["--upstream-attempt-timeout=12s"],
        &["upstream.attempt_timeout is 12s (--upstream-attempt-timeout): must not exceed \
               upstream.deadline, which is 10s"],
    ),
    (
        &["--upstream-connect-timeout=6s"],
        &["upstream.connect_timeout is 6s (--upstream-connect-timeout): must not exceed \
               upstream.attempt_timeout, which is 5s"],
    ),
    (
        &[
            "--upstream-connect-timeout=3s",
            "--upstream-attempt-timeout=2s",
            "--upstream-deadline=1s",
        ],
        &["upstream.attempt_timeout is 2s (--upstream-attempt-timeout): must not exceed \
               upstream.deadline, which is 1s"],
    ),
    // A wrong value is not compared with others.
    (
        &["--upstream-attempt-timeout=12s", "--upstream-deadline=soon"],
        &["upstream.deadline is soon (--upstream-deadline): must be a duration from 1ms to 1h, \
               such as 250ms, 5s or 1m30s"],
    ),
    (
        &["--admin-listen=127.0.0.1:8080"],
        &["admin_listen is 127.0.0.1:8080 (--admin-listen): must be another port than that of \
               listen, which is 127.0.0.1:8080"],
    ),
    (
        &["--listen=0.0.0.0:8081"],
        &["admin_listen is 127.0.0.1:8081 (default): must be another port than that of \
               listen, which is 0.0.0.0:8081"],
    ),
    (&["--listen=127.0.0.1:9000", "--admin-listen=127.0.0.2:9000"], &[]),
    (&["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"], &[]),
    (&["--listen=0.0.0.0:9000", "--admin-listen=0.0.0.0:9001"], &[]),
    (
        &["--limits-max-response-bytes=256MiB"],
        &["limits.max_unsent_bytes is 128MiB (default): must not be less than \
               limits.max_response_bytes"],
    ),
    (
        &["--inbound-auth=api-key"],
        &["inbound.api_keys_file is not set: must be set with inbound.auth=api-key"],
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
        &["inbound.api_keys_file is keys.toml (--inbound-api-keys-file): does nothing without \
               inbound.auth=api-key: set that, or leave this out"],
    ),
    (
        &["--inbound-auth=api-key", "--inbound-api-keys-file=f", "--inbound-jwt-usernames-claim=u"],
        &["inbound.jwt_usernames_claim is u (--inbound-jwt-usernames-claim): does nothing \
               without inbound.auth=jwt: set that, or leave this out"],
    ),
    (
        &["--inbound-auth=api-key", "--inbound-api-keys-file=f", "--inbound-allow-anonymous"],
        &["inbound.allow_anonymous is true (--inbound-allow-anonymous): must be false where \
               inbound.auth asks callers who they are"],
    ),
    (
        &["--audit-required"],
        &["audit.required is true (--audit-required): must be false where audit.log is off"],
    ),
    (
        &["--graphql-documents-only"],
        &["graphql.documents_only is true (--graphql-documents-only): needs \
               graphql.documents_file: without it every document is refused"],
    ),
    (
        &["--tls-cert-file=c"],
        &["tls.key_file is not set: must be set with the other settings of tls, which do nothing \
               without it"],
    ),
    (
        &["--tls-key-file=k", "--tls-client-ca-file=a"],
        &[
            "tls.cert_file is not set: must be set with the other settings of tls, which do nothing \
               without it",
        ],
    ),
    (
        &["--tls-client-ca-file=a"],
        &[
            "tls.cert_file is not set: must be set with the other settings of tls, which do \
             nothing without it",
            "tls.key_file is not set: must be set with the other settings of tls, which do \
             nothing without it",
        ],
    ),
    (
        &["--cache-redis-url=redis://cache.example"],
        &["cache.key_secret is not set: it or cache.key_secret_file is needed where \
               cache.redis_url is set and upstream.credentials is passthrough: callers are known \
               there by a hash of their token"],
    ),
];

#[test]
fn a_contradiction_is_refused_with_both_settings_and_what_to_set() {
    for (flags, expected) in CONTRADICTIONS {
        let given = flags.iter().fold(serve(), |given, flag| given.arg(*flag));

        assert_eq!(given.refusals(), *expected, "of {flags:?}");
    }
}

#[test]
fn a_lowered_deadline_takes_the_defaults_below_it_along() {
    let loaded = serve().variables(&[("GATEWAY_UPSTREAM__DEADLINE", "1s")]).loaded();

    assert_eq!(loaded.settings.upstream.attempt_timeout, Duration::from_secs(1));
    assert_eq!(loaded.settings.upstream.connect_timeout, Duration::from_secs(1));
    let shown = shown(&loaded);
    let expected = "upstream.attempt_timeout = 1s (default, lowered to upstream.deadline)";
    assert!(shown.iter().any(|line| line == expected), "{shown:#?}");
}

#[test]
fn the_gateways_own_credentials_are_never_open_to_everybody() {
    for (word, settings) in [
        ("aksk", aksk()),
        ("password", given(&["serve"]).variables(&LOGIN)),
        ("metadata", serve().variables(&[("GATEWAY_UPSTREAM__CREDENTIALS", "metadata")])),
    ] {
        let refusals = settings.arg(OPEN).arg(ANY_ORIGIN).refusals();

        let [origins, listen] = refusals.as_slice() else { panic!("{word}: {refusals:#?}") };
        let names = |line: &String| line.contains(&format!("upstream.credentials={word}"));
        assert!(refusals.iter().all(names), "{word}: {refusals:#?}");
        assert!(origins.starts_with("cors.allow_origins is * (--cors-allow-origins)"), "{origins}");
        assert!(listen.starts_with("listen is 0.0.0.0:8080 (--listen): "), "{listen}");
        for remedy in
            ["loopback address", "inbound.auth", "GATEWAY_INBOUND__AUTH", "inbound.allow_anonymous"]
        {
            assert!(listen.contains(remedy), "{remedy} is not named: {listen}");
        }
    }
    assert_eq!(serve().arg(OPEN).arg(ANY_ORIGIN).config().graphql.allow_origins, ["*"]);
    aksk().arg(OPEN).arg("--inbound-allow-anonymous").assert_refused(&[]);
    aksk().arg("--listen=[::ffff:127.0.0.1]:8080").assert_refused(&[]);
}

#[test]
fn an_open_listener_is_accepted_where_callers_authenticate() {
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
    let jwks = JwksSource::Address("https://idp.example/keys".parse().unwrap());
    let expected = JwtConfig::new(jwks, "https://idp.example", "recordings");
    assert_eq!(by_token.config().inbound.auth, InboundAuth::Jwt(expected), "a token is asked for");
}

#[test]
fn tokens_are_never_signed_with_a_shared_secret_or_not_at_all() {
    for algorithm in ["HS256", "HS512", "none", "RS256,HS256"] {
        let given = serve().arg(format!("--inbound-jwt-algorithms={algorithm}"));

        given.assert_refused(&[&format!("inbound.jwt_algorithms is {algorithm} (")]);
    }
}

#[test]
fn the_demo_stays_on_this_machine() {
    for (flag, name) in
        [("--listen=0.0.0.0:8080", "listen"), ("--admin-listen=192.0.2.1:8081", "admin_listen")]
    {
        given(&["demo", flag]).assert_refused(&[&format!("{name} is ")]);
    }
}
