//! The console at `/`, where `web.console` is on.

use reqwest::Response;
use serde_json::json;

use crate::support::{Gateway, RECORD, Reply, ScriptedUpstream};

async fn gateway(console: bool) -> Gateway {
    let upstream = ScriptedUpstream::start(|_| Reply::json(200, &json!({ "id": RECORD }))).await;
    Gateway::configured(upstream, |config| config.graphql.console = console).await
}

async fn get(gateway: &Gateway, path: &str) -> Response {
    gateway.http().get(format!("http://{}/{path}", gateway.address)).send().await.unwrap()
}

#[tokio::test]
async fn the_console_loads_its_own_files_and_videos_over_https_only() {
    let gateway = gateway(true).await;

    let page = get(&gateway, "").await;

    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"),
        "{policy}"
    );
    assert!(policy.ends_with("; media-src https:") && !policy.contains("unsafe"), "{policy}");
    let html = page.text().await.unwrap();
    assert!(!html.contains("http://") && !html.contains("https://"), "{html}");
    let files: Vec<&str> =
        html.split('"').filter_map(|part| part.strip_prefix("./assets/")).collect();
    assert_eq!(files, ["icon.svg", "console.js", "console.css"]);
    for file in files.into_iter().chain(["notices.txt"]) {
        assert_eq!(get(&gateway, &format!("assets/{file}")).await.status(), 200, "{file}");
    }
}

#[tokio::test]
async fn a_console_outside_the_demo_is_given_neither_project_nor_token() {
    let gateway = gateway(true).await;

    let html = get(&gateway, "").await.text().await.unwrap();

    let defaults = "content=\"{&quot;query&quot;:null,&quot;headers&quot;:null,\
                    &quot;projectId&quot;:null,&quot;token&quot;:null}\"";
    assert!(html.contains(defaults), "{html}");
}

#[tokio::test]
async fn without_the_setting_there_is_no_console() {
    let gateway = gateway(false).await;

    for path in ["", "assets/console.js", "assets/console.css"] {
        assert_eq!(get(&gateway, path).await.status(), 404, "/{path}");
    }
}
