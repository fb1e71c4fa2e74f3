//! The gateway's own access key: where it is looked for, and what is refused.

use screen_record_gateway::domain::Secret;

use super::*;

const HOME: (&str, &str) = ("HOME", "/home/someone");
const PROFILE: &str = "/home/someone/.huaweicloud/credentials";

fn aksk() -> Given {
    serve().variables(&[("GATEWAY_UPSTREAM__CREDENTIALS", "aksk"), HOME])
}

#[test]
fn the_key_comes_from_the_environment_else_from_the_profile_file() {
    let pair = "[basic]\nak = AKID\nsk = SKEY\nproject_id = p1\n";
    let odd = "\u{feff}; keys of the team\n[global]\nak = other\n\n[basic]\nak = AKID\nsk=S\\K'E\"Y=#\n\
               security_token : STOKEN\nproject_id = p1\n";
    let capitals = "[DEFAULT]\nProject_Id = p1\nsk = other\n[basic]\nAK=AKID\nSk = SKEY\n\
                    SECURITY_TOKEN: STOKEN\n";
    let variables = [
        ("HUAWEICLOUD_SDK_AK", "AK"),
        ("HUAWEICLOUD_SDK_SK", "SK"),
        ("HUAWEICLOUD_SDK_SECURITY_TOKEN", "TOKEN"),
    ];
    let named = ("HUAWEICLOUD_SDK_CREDENTIALS_FILE", "/run/secrets/key");
    let project = ("HUAWEICLOUD_SDK_PROJECT_ID", "p2");
    let at_home = |profile| aksk().file(PROFILE, profile);
    for (what, given, key) in [
        ("the file alone", at_home(pair), ("AKID", "SKEY", None, Some("p1"))),
        ("odd characters", at_home(odd), ("AKID", "S\\K'E\"Y=#", Some("STOKEN"), Some("p1"))),
        ("capitals", at_home(capitals), ("AKID", "SKEY", Some("STOKEN"), Some("p1"))),
        ("both", at_home(pair).variables(&variables), ("AK", "SK", Some("TOKEN"), None)),
        (
            "a named file",
            at_home("[basic]\nak = home\nsk = home\n").file(named.1, pair).variables(&[named]),
            ("AKID", "SKEY", None, Some("p1")),
        ),
        (
            "a project in the environment",
            at_home(pair).variables(&[project]),
            ("AKID", "SKEY", None, Some("p2")),
        ),
    ] {
        let credentials = given.config().upstream.credentials;

        let CredentialsMode::AkSk(found) = &credentials else { panic!("{what}: no key") };
        let token = found.security_token.as_ref().map(Secret::expose);
        let found =
            (found.access.expose(), found.secret.expose(), token, found.project_id.as_deref());
        assert_eq!(found, key, "{what}");
    }
}

#[test]
fn a_missing_or_incomplete_key_is_refused_without_being_shown() {
    let pair = "[basic]\nak = AKID\nsk = SKEY\n";
    let missing = "upstream.credentials is aksk, but there is no access key: set HUAWEICLOUD_SDK_AK \
                   and HUAWEICLOUD_SDK_SK, or write ak and sk into section [basic] of \
                   ~/.huaweicloud/credentials";
    let with = |name, value| aksk().file(PROFILE, pair).variables(&[(name, value)]);
    let no_access = "HUAWEICLOUD_SDK_AK is not set: ";
    let no_secret = "HUAWEICLOUD_SDK_SK is not set: ";
    for (settings, refusals) in [
        (aksk(), &[missing][..]),
        (aksk().file(PROFILE, ""), &[missing]),
        (aksk().file(PROFILE, "[global]\nak = AKID\nsk = SKEY\n"), &[missing]),
        (serve().variables(&[("GATEWAY_UPSTREAM__CREDENTIALS", "aksk")]), &[missing]),
        (with("HUAWEICLOUD_SDK_AK", "canary"), &[no_secret]),
        (with("HUAWEICLOUD_SDK_SK", "canary"), &[no_access]),
        (with("HUAWEICLOUD_SDK_SECURITY_TOKEN", "canary"), &[no_access, no_secret]),
        (
            aksk().file(PROFILE, "[basic]\nak = canary\n"),
            &["sk in [basic] of /home/someone/.huaweicloud/credentials is not set"],
        ),
        (
            aksk().file(PROFILE, "[basic\nak = canary\n"),
            &["/home/someone/.huaweicloud/credentials:3 is not INI: "],
        ),
        (
            with("HUAWEICLOUD_SDK_CREDENTIALS_FILE", "/nowhere"),
            &["HUAWEICLOUD_SDK_CREDENTIALS_FILE is /nowhere: the file cannot be"],
        ),
        (
            with("HUAWEICLOUD_SDK_AK", "canary,AKID").variables(&[
                ("HUAWEICLOUD_SDK_SK", "canary of two\n"),
                ("HUAWEICLOUD_SDK_PROJECT_ID", "a/b"),
            ]),
            &[
                "access key is (redacted) (HUAWEICLOUD_SDK_AK): must be",
                "secret key is (redacted) (HUAWEICLOUD_SDK_SK): must be",
                "HUAWEICLOUD_SDK_PROJECT_ID is a/b (the environment): must be",
            ],
        ),
    ] {
        settings.assert_refused(refusals);
    }
}

#[test]
fn nothing_that_is_shown_or_debugged_holds_a_secret() {
    let loaded = aksk()
        .variables(&[
            ("HUAWEICLOUD_SDK_AK", "canary-access"),
            ("HUAWEICLOUD_SDK_SK", "canary-secret"),
            ("HUAWEICLOUD_SDK_SECURITY_TOKEN", "canary-token"),
            ("HUAWEICLOUD_SDK_PROJECT_ID", "p1"),
        ])
        .loaded();

    let shown = shown(&loaded);
    for line in [
        "access key = (redacted) (HUAWEICLOUD_SDK_AK)",
        "secret key = (redacted) (HUAWEICLOUD_SDK_SK)",
        "security token = (redacted) (HUAWEICLOUD_SDK_SECURITY_TOKEN)",
        "HUAWEICLOUD_SDK_PROJECT_ID = p1 (the environment)",
        "upstream.credentials = aksk (GATEWAY_UPSTREAM__CREDENTIALS)",
        "listen = 127.0.0.1:8080 (default)",
    ] {
        assert!(shown.iter().any(|shown| shown == line), "{line} is missing: {shown:#?}");
    }
    assert!(!format!("{loaded:?} {shown:?}").contains("canary"));
}

#[test]
fn the_gateways_key_is_ignored_where_callers_bring_their_tokens() {
    serve().variables(&[("HUAWEICLOUD_SDK_AK", "half a pair")]).assert_refused(&[]);
}
