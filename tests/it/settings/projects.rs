//! `[projects.<id>]`: the projects of the settings file.

use screen_record_gateway::config::{LoginTarget, ProjectConfig, ProjectScope, Target};
use screen_record_gateway::domain::ProjectId;

use super::*;

/// `serve` with the projects of a settings file.
fn with(text: &str) -> Given {
    given(&["serve"]).settings_file(text)
}

/// Id, name, region, endpoint and time zone of a project.
fn summary(project: &ProjectConfig) -> [String; 5] {
    let ProjectConfig { id, name, target } = project;
    let Target { region, endpoint, time_zone, .. } = target;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let zone = time_zone.iana_name().unwrap_or_default().to_owned();
    [id.to_string(), text(name), text(region), endpoint.to_string(), zone]
}

#[test]
fn projects_are_read_in_the_order_of_the_file_and_take_the_rest_from_the_upstream() {
    let config = with(
        "[upstream]\nregion = 'ap-southeast-1'\ntime_zone = 'Asia/Shanghai'\n\
         [projects.zz]\nname = 'Last letter, first table'\nregion = 'ap-southeast-3'\n\
         time_zone = 'Asia/Singapore'\n[projects.bb]\n\
         [projects]\naa = { endpoint = 'http://127.0.0.1:9', region = 'shown' }\n",
    )
    .config();

    let projects: Vec<_> = config.upstream.projects.iter().map(summary).collect();
    let texts: Vec<Vec<&str>> =
        projects.iter().map(|texts| texts.iter().map(String::as_str).collect()).collect();
    let (three, one) = (
        "https://workspace.ap-southeast-3.myhuaweicloud.com/",
        "https://workspace.ap-southeast-1.myhuaweicloud.com/",
    );
    assert_eq!(
        texts,
        [
            ["zz", "Last letter, first table", "ap-southeast-3", three, "Asia/Singapore"],
            ["bb", "", "ap-southeast-1", one, "Asia/Shanghai"],
            ["aa", "", "shown", "http://127.0.0.1:9/", "Asia/Shanghai"],
        ]
    );
}

#[test]
fn projects_can_be_all_that_the_gateway_serves() {
    let config = with("[projects.aa]\nregion = 'ap-southeast-3'\n").config();

    assert_eq!(config.upstream.default, None);
    let target = |id| config.upstream.target(&ProjectId::parse(id).unwrap()).cloned();
    assert_eq!(target("A-a").unwrap().region.as_deref(), Some("ap-southeast-3"));
    assert_eq!(target("bb"), None);
}

#[test]
fn each_project_has_a_login_at_the_iam_of_its_region() {
    let login = |more: &[(&str, &str)]| {
        let config = given(&["serve"])
            .variables(&LOGIN)
            .variables(more)
            .settings_file("[projects.aa]\nregion = 'ap-southeast-3'\n")
            .config();
        config.upstream.projects[0].target.login.clone().unwrap()
    };

    let by_region = login(&[]);
    let by_sdk = login(&[
        ("HUAWEICLOUD_SDK_IAM_ENDPOINT", "https://iam.example.com"),
        ("HUAWEICLOUD_SDK_PROJECT_ID", "another"),
    ]);

    assert_eq!(by_region.endpoint.as_str(), "https://iam.ap-southeast-3.myhuaweicloud.com/");
    assert_eq!(by_sdk.endpoint.as_str(), "https://iam.example.com/");
    for LoginTarget { scope, .. } in [by_region, by_sdk] {
        assert_eq!(scope, ProjectScope::Id("aa".to_owned()));
    }
}

#[test]
fn wrong_projects_are_refused_with_key_line_and_what_is_allowed() {
    for (text, refusals) in [
        (
            "[projects.aa]\nname = ''\nregion = 'No'\nendpoint = 'http://u:canary@a'\n\
             time_zone = 'Mars'\nregoin = 'x'\n",
            &[
                "projects.aa.regoin (gateway.toml:6) is not a setting: ",
                "projects.aa.name is \"\" (gateway.toml:2): must be a text of 1 to 100 characters",
                "projects.aa.region is No (gateway.toml:3): must be a region's name",
                "projects.aa.endpoint is (redacted) (gateway.toml:4): must be an http or https",
                "projects.aa.time_zone is Mars (gateway.toml:5): must be an IANA time zone",
            ][..],
        ),
        (
            "[projects.\"a/b\"]\nregion = 'r-1'\n",
            &["projects.a/b (gateway.toml:1) names no project: must be an id of 1 to 64"],
        ),
        (
            "[projects.a-a]\nregion = 'r-1'\n[projects.AA]\nregion = 'r-2'\n",
            &["projects.AA (gateway.toml:3) is the project of projects.a-a again"],
        ),
        (
            "[projects.aa]\nname = 'A'\n",
            &[
                "projects.aa.region is not set: the project has neither region nor endpoint: set one",
            ],
        ),
        (
            "upstream.region = 'r-1'\n[projects]\naa = 3\n",
            &["projects.aa (gateway.toml:3) is not a setting: "],
        ),
        (
            "projects = 3\nupstream.region = 'r-1'\n",
            &["projects (gateway.toml:1) is not a setting: "],
        ),
        (
            "[projects.aa.region]\nx = 1\n",
            &[
                "projects.aa.region.x (gateway.toml:2) is not a setting",
                "projects.aa.region is not set: the project has neither region nor endpoint: set one",
            ],
        ),
    ] {
        with(text).assert_refused(refusals);
    }
}
