//! What a login needs.

use super::{given, serve};
use crate::config::{CredentialsMode, IamLogin, ProjectScope};

pub(super) const COMPLETE: [(&str, &str); 5] = [
    ("GATEWAY_UPSTREAM__CREDENTIALS", "password"),
    ("GATEWAY_UPSTREAM__REGION", "eu-west-101"),
    ("GATEWAY_IAM__USER", "user"),
    ("GATEWAY_IAM__PASSWORD", "canary"),
    ("GATEWAY_IAM__DOMAIN", "account"),
];

fn login_of(variables: &[(&str, &str)]) -> IamLogin {
    match given(&["serve"]).variables(variables).config().upstream.credentials {
        CredentialsMode::Password(login) => login,
        other => panic!("expected a login, got {other:?}"),
    }
}

#[test]
fn a_region_gives_iams_address_and_the_tokens_project() {
    let login = login_of(&COMPLETE);

    assert_eq!(login.endpoint.as_str(), "https://iam.eu-west-101.myhuaweicloud.com/");
    assert_eq!(login.scope, ProjectScope::Name("eu-west-101".to_owned()));
    assert_eq!(login.password.expose(), "canary");
    assert!(!format!("{login:?}").contains("canary"), "{login:?}");
}

#[test]
fn the_official_sdks_names_come_before_what_the_region_gives() {
    let more = [
        ("HUAWEICLOUD_SDK_IAM_ENDPOINT", "https://iam.example.com"),
        ("HUAWEICLOUD_SDK_PROJECT_ID", "project"),
    ];

    let login = login_of(&[&COMPLETE[..], &more].concat());

    assert_eq!(login.endpoint.as_str(), "https://iam.example.com/");
    assert_eq!(login.scope, ProjectScope::Id("project".to_owned()));
}

#[test]
fn all_that_is_missing_is_refused_at_once() {
    let refusals = serve().variables(&[("GATEWAY_UPSTREAM__CREDENTIALS", "password")]).refusals();

    assert_eq!(refusals.len(), 5, "{refusals:#?}");
    for (refusal, part) in refusals.iter().zip([
        "iam.user is not set: needed",
        "iam.domain is not set: needed",
        "iam.password is not set: it or iam.password_file is needed",
        "IAM's address is not known: set HUAWEICLOUD_SDK_IAM_ENDPOINT, or upstream.region",
        "the token's project is not known: set HUAWEICLOUD_SDK_PROJECT_ID, or upstream.region",
    ]) {
        assert!(refusal.contains(part), "{part}: {refusals:#?}");
    }
}

#[test]
fn a_password_is_given_once() {
    let both = [&COMPLETE[..], &[("GATEWAY_IAM__PASSWORD_FILE", "/etc/password")]].concat();

    let refusals = given(&["serve"]).variables(&both).refusals();

    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert!(refusals[0].contains("give one of them"), "{refusals:#?}");
    assert!(!refusals[0].contains("canary"), "{refusals:#?}");
}

#[test]
fn a_password_file_is_read_to_the_end_of_its_first_line() {
    let variables: Vec<_> =
        COMPLETE.into_iter().filter(|(name, _)| *name != "GATEWAY_IAM__PASSWORD").collect();
    let file = ("GATEWAY_IAM__PASSWORD_FILE", "/run/secrets/iam");
    let settings = given(&["serve"]).variables(&[&variables[..], &[file]].concat());

    let login = settings.file("/run/secrets/iam", "from a file\n").config().upstream.credentials;

    assert!(
        matches!(login, CredentialsMode::Password(login) if login.password.expose() == "from a file")
    );
}

#[test]
fn a_region_that_is_none_is_refused_once() {
    let variables: Vec<_> = COMPLETE
        .into_iter()
        .map(|(name, value)| (name, if name.ends_with("REGION") { "No Region" } else { value }))
        .collect();

    let refusals = given(&["serve"]).variables(&variables).refusals();

    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert!(refusals[0].starts_with("upstream.region is No Region"), "{refusals:#?}");
}
