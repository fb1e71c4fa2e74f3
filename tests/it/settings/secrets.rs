//! The login of the gateway, and secrets in files of their own.

use screen_record_gateway::config::{IamLogin, LoginTarget, ProjectScope, RedisKind};

use super::*;

const URL_FILE: (&str, &str) = ("GATEWAY_CACHE__REDIS_URL_FILE", "/run/secrets/redis-url");
const KEY_FILE: (&str, &str) = ("GATEWAY_CACHE__KEY_SECRET_FILE", "/run/secrets/cache-key");
const PASSWORD_FILE: (&str, &str) = ("GATEWAY_IAM__PASSWORD_FILE", "/run/secrets/iam");

fn login() -> Given {
    given(&["serve"]).variables(&LOGIN)
}

fn login_without(name: &str) -> Given {
    let others: Vec<_> = LOGIN.into_iter().filter(|(other, _)| *other != name).collect();
    given(&["serve"]).variables(&others)
}

fn login_of(given: Given) -> IamLogin {
    match given.config().upstream.credentials {
        CredentialsMode::Password(login) => login,
        other => panic!("expected a login, got {other:?}"),
    }
}

fn login_target(given: Given) -> LoginTarget {
    given.config().upstream.default.unwrap().login.unwrap()
}

#[test]
fn iams_address_and_the_tokens_project_come_from_the_sdks_variables_else_from_the_region() {
    let account = login_of(login());
    let by_region = login_target(login());
    let by_sdk = login_target(login().variables(&[
        ("HUAWEICLOUD_SDK_IAM_ENDPOINT", "https://iam.example.com"),
        ("HUAWEICLOUD_SDK_PROJECT_ID", "project"),
    ]));

    assert_eq!(by_region.endpoint.as_str(), "https://iam.eu-west-101.myhuaweicloud.com/");
    assert_eq!(by_region.scope, ProjectScope::Name("eu-west-101".to_owned()));
    assert_eq!(account.password.expose(), "canary");
    assert!(!format!("{account:?}").contains("canary"), "{account:?}");
    assert_eq!(by_sdk.endpoint.as_str(), "https://iam.example.com/");
    assert_eq!(by_sdk.scope, ProjectScope::Id("project".to_owned()));
}

#[test]
fn a_login_that_cannot_be_made_is_refused_with_all_that_is_wrong() {
    let no_region = login_without("GATEWAY_UPSTREAM__REGION");
    for (given, refusals) in [
        (
            serve().variables(&[("GATEWAY_UPSTREAM__CREDENTIALS", "password")]),
            &[
                "upstream.region is not set: must be set with upstream.credentials=password, or \
                 else HUAWEICLOUD_SDK_IAM_ENDPOINT and HUAWEICLOUD_SDK_PROJECT_ID",
                "iam.user is not set: must be set with upstream.credentials=password",
                "iam.domain is not set: must be set with upstream.credentials=password",
                "iam.password is not set: it or iam.password_file must be set",
            ][..],
        ),
        (
            no_region.variables(&[("GATEWAY_UPSTREAM__REGION", "No Region")]),
            &["upstream.region is No Region"],
        ),
        (
            login().variables(&[
                ("HUAWEICLOUD_SDK_IAM_ENDPOINT", "https://user:canary@iam.example.com"),
                ("HUAWEICLOUD_SDK_PROJECT_ID", "a/b"),
            ]),
            &[
                "HUAWEICLOUD_SDK_IAM_ENDPOINT is (redacted) (the environment): must be an http or https address",
                "HUAWEICLOUD_SDK_PROJECT_ID is a/b (the environment): must be a project id",
            ],
        ),
    ] {
        given.assert_refused(refusals);
    }
}

#[test]
fn a_secret_in_a_file_is_its_first_line() {
    let settings = serve()
        .variables(&[URL_FILE, KEY_FILE])
        .file(URL_FILE.1, "redis://gateway:canary@cache.example\n# more\n")
        .file(KEY_FILE.1, "canary-key-secret \n")
        .loaded();
    let login = login_without("GATEWAY_IAM__PASSWORD").variables(&[PASSWORD_FILE]);
    let login = login_of(login.file(PASSWORD_FILE.1, "from a file\n"));

    let shown = shown(&settings);
    let cache = settings.settings.cache;
    let shared = cache.shared.unwrap();
    assert_eq!(shared.servers.kind, RedisKind::Single);
    assert_eq!(shared.servers.nodes[0].host, "cache.example");
    assert_eq!(shared.servers.password.unwrap().expose(), "canary");
    assert_eq!(cache.key_secret.unwrap().expose(), "canary-key-secret");
    assert!(!shown.concat().contains("canary"), "{shown:#?}");
    assert_eq!(login.password.expose(), "from a file");
}

#[test]
fn a_secret_that_is_given_twice_is_refused() {
    let cache = serve()
        .variables(&[URL_FILE, KEY_FILE])
        .file(URL_FILE.1, "redis://:canary@cache.example")
        .file(KEY_FILE.1, "canary-key-secret")
        .variables(&[
            ("GATEWAY_CACHE__REDIS_URL", "redis://:canary@cache.example"),
            ("GATEWAY_CACHE__KEY_SECRET", "canary-key-secret"),
        ]);

    cache.assert_refused(&[
        "cache.redis_url_file is /run/secrets/redis-url (GATEWAY_CACHE__REDIS_URL_FILE): must \
         not be set beside cache.redis_url: give one of them",
        "cache.key_secret_file is /run/secrets/cache-key (GATEWAY_CACHE__KEY_SECRET_FILE): must \
         not be set beside cache.key_secret: give one of them",
    ]);
    login().variables(&[PASSWORD_FILE]).assert_refused(&["iam.password_file is /run/secrets/iam"]);
}

#[test]
fn a_secret_file_that_is_missing_or_holds_something_else_is_refused_without_its_content() {
    for (url, secret, problem) in [
        (None, None, "cannot be used: the file cannot be read"),
        (Some("http://canary.example"), Some("canary"), "cannot be used: it must hold "),
        (Some(""), Some(""), "cannot be used: it must hold "),
        (
            Some("\nredis://canary.example"),
            Some("\ncanary-key-secret"),
            "cannot be used: it must hold ",
        ),
    ] {
        let settings = [(URL_FILE.1, url), (KEY_FILE.1, secret)]
            .into_iter()
            .filter_map(|(path, text)| Some((path, text?)))
            .fold(serve().variables(&[URL_FILE, KEY_FILE]), |settings, (path, text)| {
                settings.file(path, text)
            });

        settings.assert_refused(&[
            &format!("cache.redis_url_file is {} ({}): {problem}", URL_FILE.1, URL_FILE.0),
            &format!("cache.key_secret_file is {} ({}): {problem}", KEY_FILE.1, KEY_FILE.0),
        ]);
    }
}
