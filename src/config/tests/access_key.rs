//! The gateway's own access key: where it is looked for, and what is refused.

use super::*;
use crate::domain::Secret;

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
fn a_missing_key_is_refused_with_both_ways_to_give_one() {
    for settings in [
        aksk(),
        aksk().file(PROFILE, ""),
        aksk().file(PROFILE, "[global]\nak = AKID\nsk = SKEY\n"),
        serve().variables(&[("GATEWAY_UPSTREAM__CREDENTIALS", "aksk")]),
    ] {
        let refusals = settings.refusals();

        assert_eq!(refusals.len(), 1, "{refusals:#?}");
        for way in ["HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "~/.huaweicloud/credentials"] {
            assert!(refusals[0].contains(way), "{way} is not named: {refusals:#?}");
        }
    }
}

#[test]
fn half_a_pair_is_refused_whatever_the_other_source_has() {
    for (variable, missing) in [
        ("HUAWEICLOUD_SDK_AK", &["HUAWEICLOUD_SDK_SK is not set"][..]),
        ("HUAWEICLOUD_SDK_SK", &["HUAWEICLOUD_SDK_AK is not set"]),
        (
            "HUAWEICLOUD_SDK_SECURITY_TOKEN",
            &["HUAWEICLOUD_SDK_AK is not set", "HUAWEICLOUD_SDK_SK is not set"],
        ),
    ] {
        let refusals = aksk()
            .file(PROFILE, "[basic]\nak = AKID\nsk = SKEY\n")
            .variables(&[(variable, "canary")])
            .refusals();

        assert_eq!(refusals.len(), missing.len(), "of {variable}: {refusals:#?}");
        for (refusal, start) in refusals.iter().zip(missing) {
            assert!(refusal.starts_with(start), "of {variable}: {refusals:#?}");
            assert!(refusal.contains(variable), "of {variable}: {refusals:#?}");
            assert!(!refusal.contains("canary"), "of {variable}: {refusals:#?}");
        }
    }
}

#[test]
fn half_a_pair_in_the_profile_file_is_refused() {
    let refusals = aksk().file(PROFILE, "[basic]\nak = canary\n").refusals();

    let expected = format!("sk in [basic] of {PROFILE} is not set");
    assert_eq!(refusals.len(), 1);
    assert!(refusals[0].starts_with(&expected), "{refusals:#?}");
    assert!(!refusals[0].contains("canary"), "{refusals:#?}");
}

#[test]
fn a_key_that_could_not_be_sent_is_refused_without_being_shown() {
    let refusals = aksk()
        .variables(&[
            ("HUAWEICLOUD_SDK_AK", "canary,AKID"),
            ("HUAWEICLOUD_SDK_SK", "canary\n"),
            ("HUAWEICLOUD_SDK_PROJECT_ID", "a/b"),
        ])
        .refusals();

    assert_eq!(refusals.len(), 3, "{refusals:#?}");
    assert!(refusals[0].starts_with("HUAWEICLOUD_SDK_AK is (redacted): must be"), "{refusals:#?}");
    assert!(refusals[1].starts_with("HUAWEICLOUD_SDK_SK is (redacted): must be"), "{refusals:#?}");
    assert!(refusals[2].starts_with("HUAWEICLOUD_SDK_PROJECT_ID is a/b: must be"), "{refusals:#?}");
    assert!(!refusals.concat().contains("canary"), "{refusals:#?}");
}

#[test]
fn a_named_profile_file_has_to_be_there() {
    let refusals = aksk()
        .variables(&[("HUAWEICLOUD_SDK_CREDENTIALS_FILE", "/nowhere")])
        .file(PROFILE, "[basic]\nak = AKID\nsk = SKEY\n")
        .refusals();

    assert_eq!(refusals.len(), 1);
    assert!(
        refusals[0].starts_with("HUAWEICLOUD_SDK_CREDENTIALS_FILE is /nowhere: the file cannot be"),
        "{refusals:#?}"
    );
}

#[test]
fn a_profile_file_that_is_not_ini_is_refused_without_its_content() {
    let refusals = aksk().file(PROFILE, "[basic\nak = canary\n").refusals();

    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert!(refusals[0].contains(" is not INI: "), "{refusals:#?}");
    assert!(!refusals[0].contains("canary"), "{refusals:#?}");
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

    let shown: Vec<String> = loaded.shown.iter().map(ToString::to_string).collect();
    for line in [
        "access key = (redacted) (the environment)",
        "secret key = (redacted) (the environment)",
        "security token = (redacted) (the environment)",
        "project id = p1 (HUAWEICLOUD_SDK_PROJECT_ID)",
        "upstream.credentials = aksk (GATEWAY_UPSTREAM__CREDENTIALS)",
        "listen = 127.0.0.1:8080 (default)",
    ] {
        assert!(shown.iter().any(|shown| shown == line), "{line} is missing: {shown:#?}");
    }
    assert!(!format!("{loaded:?} {shown:?}").contains("canary"));
}

#[test]
fn keys_are_not_looked_at_where_callers_bring_their_tokens() {
    let settings = serve().variables(&[("HUAWEICLOUD_SDK_AK", "half a pair")]);

    assert_eq!(settings.refusals(), [""; 0]);
}
