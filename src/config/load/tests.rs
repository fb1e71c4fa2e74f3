use proptest::prelude::*;

use std::collections::HashMap;

use super::*;

fn pairs(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn from_environment(variables: &[(&str, &str)]) -> Result<Loaded, Refusals> {
    load(Purpose::Serve, &HashMap::new(), &pairs(variables))
}

fn problems(variables: &[(&str, &str)]) -> Vec<String> {
    from_environment(variables).expect_err("the settings were accepted").0
}

const REGION: (&str, &str) = ("GATEWAY_UPSTREAM__REGION", "ap-southeast-1");

#[test]
fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    let file = std::env::temp_dir().join(format!("settings-{}.toml", std::process::id()));
    std::fs::write(
        &file,
        "listen = \"127.0.0.1:1\"\n[upstream]\nregion = \"cn-north-4\"\ndeadline = \"9s\"\n[limits]\nmax_batch = 3\nmax_depth = 7\n[inbound]\nprojects = [\"a\", \"b\"]\n",
    )
    .unwrap();
    let flags = pairs(&[("config", file.to_str().unwrap()), ("limits-max-batch", "5")]);
    let environment =
        pairs(&[("GATEWAY_LIMITS__MAX_BATCH", "4"), ("GATEWAY_LIMITS__MAX_DEPTH", "8")]);

    let config = load(Purpose::Serve, &flags, &environment).unwrap().config;

    std::fs::remove_file(&file).unwrap();
    assert_eq!((config.limits.max_batch, config.limits.max_depth), (5, 8));
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.upstream.deadline, Duration::from_secs(9));
    assert_eq!(
        config.upstream.endpoint.as_str(),
        "https://workspace.cn-north-4.myhuaweicloud.com/"
    );
    assert_eq!(config.inbound.projects.unwrap().len(), 2);
}

#[test]
fn every_default_of_the_table_is_what_the_settings_are() {
    let written: Vec<(String, String)> = SETTINGS
        .iter()
        .filter(|setting| setting.default != "–" && setting.key != "log_format")
        .map(|setting| (setting.environment(), setting.default.to_owned()))
        .collect();
    let mut written: HashMap<String, String> = written.into_iter().collect();
    written.insert(REGION.0.to_owned(), REGION.1.to_owned());

    let spelled_out = load(Purpose::Serve, &HashMap::new(), &written).unwrap().config;

    let defaults = from_environment(&[REGION]).unwrap().config;
    assert_eq!(format!("{spelled_out:?}"), format!("{defaults:?}"));
}

#[test]
fn a_refusal_lists_every_wrong_setting_with_its_value_and_what_is_allowed() {
    let found = problems(&[
        REGION,
        ("GATEWAY_LISTEN", "nowhere"),
        ("GATEWAY_CACHE__TTL_FINAL", "60"),
        ("GATEWAY_LIMITS__MAX_BODY_BYTES", "lots"),
        ("GATEWAY_LIMITS__MAX_BATCH", "0"),
        ("GATEWAY_UPSTREAM__CREDENTIALS", "password"),
        ("GATEWAY_UPSTREAM__ATTEMPT_TIMEOUT", "12s"),
        ("GATEWAY_GRAPHQL__GRAPHIQL", "yes"),
        ("GATEWAY_CORS__ALLOW_ORIGINS", "https://app.example/path"),
        ("GATEWAY_CACHE__TTL_FINALE", "1s"),
    ]);

    for expected in [
        "listen is \"nowhere\" (GATEWAY_LISTEN): it has to be an address and a port, such as 127.0.0.1:8080; port 0 picks a free one",
        "cache.ttl_final is \"60\" (GATEWAY_CACHE__TTL_FINAL): it has to be a duration, such as 250ms, 5s or 10m",
        "limits.max_body_bytes is \"lots\" (GATEWAY_LIMITS__MAX_BODY_BYTES): it has to be a size, such as 64KiB, 256MiB or a number of bytes",
        "limits.max_batch is \"0\" (GATEWAY_LIMITS__MAX_BATCH): it has to be a whole number from 1",
        "upstream.credentials is \"password\" (GATEWAY_UPSTREAM__CREDENTIALS): it has to be passthrough or aksk",
        "upstream.attempt_timeout is 12s (GATEWAY_UPSTREAM__ATTEMPT_TIMEOUT): must not exceed upstream.deadline, which is 10s",
        "graphql.graphiql is \"yes\" (GATEWAY_GRAPHQL__GRAPHIQL): it has to be true or false",
        "cors.allow_origins is \"https://app.example/path\" (GATEWAY_CORS__ALLOW_ORIGINS): an origin is a scheme, a host and perhaps a port, without a path",
        "GATEWAY_CACHE__TTL_FINALE is no setting: did you mean GATEWAY_CACHE__TTL_FINAL?",
    ] {
        assert!(found.iter().any(|problem| problem == expected), "missing: {expected}\n{found:#?}");
    }
    assert_eq!(found.len(), 9, "{found:#?}");
}

#[test]
fn without_an_upstream_it_says_what_to_set_and_points_to_the_demo() {
    let found = problems(&[]);

    assert_eq!(found.len(), 1);
    for part in ["upstream.region", "upstream.endpoint", "screen-record-gateway demo"] {
        assert!(found[0].contains(part), "{part} is not in {}", found[0]);
    }
}

#[test]
fn an_unknown_key_of_the_file_is_refused_with_the_nearest_known_one() {
    let file = std::env::temp_dir().join(format!("unknown-{}.toml", std::process::id()));
    std::fs::write(&file, "[upstream]\nregion = \"r\"\ntimezone = \"UTC\"\n").unwrap();
    let flags = pairs(&[("config", file.to_str().unwrap())]);

    let found = load(Purpose::Serve, &flags, &HashMap::new()).unwrap_err().0;

    std::fs::remove_file(&file).unwrap();
    assert!(found[0].ends_with("is no setting: did you mean upstream.time_zone?"), "{found:?}");
}

#[test]
fn the_gateways_own_key_comes_from_the_environment_or_a_profile_file() {
    let aksk = ("GATEWAY_UPSTREAM__CREDENTIALS", "aksk");
    let file = std::env::temp_dir().join(format!("profile-{}", std::process::id()));
    std::fs::write(&file, "[basic]\nak = FILEAK\nsk = a/b\\c=\nproject_id = p\n").unwrap();
    let key = |variables: &[(&str, &str)]| match from_environment(variables)
        .unwrap()
        .config
        .upstream
        .credentials
    {
        CredentialsMode::AkSk(key) => {
            (key.access.expose().to_owned(), key.secret.expose().to_owned())
        }
        CredentialsMode::Passthrough => panic!("no key"),
    };

    let from_file = [REGION, aksk, ("HUAWEICLOUD_SDK_CREDENTIALS_FILE", file.to_str().unwrap())];
    let from_both =
        [&from_file[..], &[("HUAWEICLOUD_SDK_AK", "ENVAK"), ("HUAWEICLOUD_SDK_SK", "s")]].concat();

    assert_eq!(key(&from_file), ("FILEAK".to_owned(), "a/b\\c=".to_owned()));
    assert_eq!(key(&from_both), ("ENVAK".to_owned(), "s".to_owned()));
    std::fs::remove_file(&file).unwrap();
    let half = problems(&[REGION, aksk, ("HUAWEICLOUD_SDK_AK", "ENVAK")]);
    assert_eq!(half, ["HUAWEICLOUD_SDK_AK is set and HUAWEICLOUD_SDK_SK is not: both are needed"]);
    let none = problems(&[REGION, aksk]);
    assert!(none[0].contains("HUAWEICLOUD_SDK_AK") && none[0].contains("[basic]"), "{none:?}");
}

#[test]
fn the_gateways_own_key_is_never_open_to_everybody_by_accident() {
    let open = [
        REGION,
        ("GATEWAY_UPSTREAM__CREDENTIALS", "aksk"),
        ("HUAWEICLOUD_SDK_AK", "ak"),
        ("HUAWEICLOUD_SDK_SK", "sk"),
        ("GATEWAY_LISTEN", "0.0.0.0:8080"),
    ];

    let found = problems(&open);
    let meant = [&open[..], &[("GATEWAY_INBOUND__ALLOW_ANONYMOUS", "true")]].concat();

    assert!(found[0].contains("inbound.allow_anonymous"), "{found:?}");
    assert!(from_environment(&meant).is_ok());
}

#[test]
fn what_is_shown_holds_no_secret() {
    let loaded = from_environment(&[
        REGION,
        ("GATEWAY_UPSTREAM__CREDENTIALS", "aksk"),
        ("HUAWEICLOUD_SDK_AK", "canary-ak"),
        ("HUAWEICLOUD_SDK_SK", "canary-sk"),
        ("HUAWEICLOUD_SDK_SECURITY_TOKEN", "canary-token"),
    ])
    .unwrap();

    let shown = format!("{:?}{:?}", loaded.shown, loaded.config);

    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn the_sdks_override_of_a_regions_endpoint_counts() {
    let variable =
        ("HUAWEICLOUD_SDK_REGION_WORKSPACE_AP_SOUTHEAST_1", "https://a.example,https://b.example");

    let config = from_environment(&[REGION, variable]).unwrap().config;

    assert_eq!(config.upstream.endpoint.as_str(), "https://a.example/");
}

#[test]
fn the_demo_takes_no_upstream_and_stays_on_loopback() {
    let environment = pairs(&[("GATEWAY_LISTEN", "0.0.0.0:1"), REGION]);

    let found = load(Purpose::Demo, &HashMap::new(), &environment).unwrap_err().0;
    let demo = load(Purpose::Demo, &HashMap::new(), &HashMap::new()).unwrap().config;

    assert_eq!(found.len(), 2, "{found:?}");
    assert!(demo.graphql.graphiql && demo.graphql.introspection);
}

proptest! {
    #[test]
    fn no_value_of_any_setting_panics(setting in 0..SETTINGS.len(), value in "\\PC{0,40}") {
        let name = SETTINGS[setting].environment();
        let _ = from_environment(&[REGION, (&name, &value)]);
    }
}
