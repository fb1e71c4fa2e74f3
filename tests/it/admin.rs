//! Health and metrics.

use reqwest::Method;
use serde_json::json;

use crate::support::{Gateway, HttpAnswer, PROJECT, RECORD, screen_record};

#[tokio::test]
async fn a_running_gateway_is_alive_and_ready() {
    let gateway = Gateway::answering(200, json!({})).await;

    assert_eq!(gateway.admin_get("/livez").await.0, 200);
    assert_eq!(gateway.admin_get("/readyz").await.0, 200);
    assert_eq!(gateway.admin_get("/nothing").await.0, 404);
}

#[tokio::test]
async fn metrics_count_requests_reads_and_attempts() {
    let gateway = Gateway::answering(200, json!({})).await;
    gateway.query(&screen_record("id")).await;
    gateway.query(&screen_record("id")).await;
    gateway.query("{ nonsense }").await;

    let (status, page) = gateway.admin_get("/metrics").await;

    assert_eq!(status, 200);
    for line in [
        r#"gateway_http_requests_total{status="200"} 3"#,
        r#"gateway_http_graphql_errors_total{code="GRAPHQL_VALIDATION_FAILED"} 1"#,
        r#"gateway_cache_reads_total{outcome="miss"} 1"#,
        r#"gateway_cache_reads_total{outcome="hit"} 1"#,
        r#"gateway_upstream_attempts_total{region="test-1",outcome="200"} 1"#,
        r#"gateway_cache_entries{content="records"} 1"#,
        "gateway_http_requests_in_flight 0",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
    }
}

#[tokio::test]
async fn metrics_say_whether_the_gateway_is_ready_and_what_is_watched_reads_zero_at_first() {
    let gateway = Gateway::answering(200, json!({})).await;

    let (_, page) = gateway.admin_get("/metrics").await;

    for line in [
        "gateway_ready 1",
        r#"gateway_not_ready{reason="draining"} 0"#,
        r#"gateway_not_ready{reason="upstream_credentials"} 0"#,
        r#"gateway_not_ready{reason="caller_keys"} 0"#,
        r#"gateway_http_requests_total{status="503"} 0"#,
        r#"gateway_http_graphql_errors_total{code="UPSTREAM_UNAVAILABLE"} 0"#,
        r#"gateway_cache_reads_total{outcome="collapsed"} 0"#,
        r#"gateway_upstream_attempts_total{region="test-1",outcome="timeout"} 0"#,
        r#"gateway_shared_cache_reads_total{outcome="failed"} 0"#,
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
    }
}

async fn metrics_for(gateway: &Gateway, accept: Option<&str>) -> (String, String) {
    let mut request = gateway.http().get(format!("http://{}/metrics", gateway.admin));
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    let response = request.send().await.unwrap();
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    (content_type, response.text().await.unwrap())
}

#[tokio::test]
async fn the_metrics_page_is_in_the_format_that_the_scraper_prefers() {
    let gateway = Gateway::answering(200, json!({})).await;
    let classic = "text/plain; version=0.0.4; charset=utf-8";
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    for (accept, expected) in [
        (None, classic),
        (Some("*/*"), classic),
        (Some("text/plain;version=0.0.4"), classic),
        (Some("text/html,application/xhtml+xml,*/*;q=0.8"), classic),
        (Some("application/vnd.google.protobuf;q=0.7,text/plain;version=0.0.4;q=0.3"), classic),
        (Some("application/openmetrics-text"), openmetrics),
        // Prometheus 2 and 3.
        (
            Some(
                "application/openmetrics-text;version=1.0.0;q=0.5,\
                 application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            ),
            openmetrics,
        ),
        (
            Some(
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,\
                 */*;q=0.1",
            ),
            openmetrics,
        ),
        (Some("application/openmetrics-text;q=0.1,text/plain;q=0.9"), classic),
    ] {
        let (content_type, page) = metrics_for(&gateway, accept).await;

        assert_eq!(content_type, expected, "for {accept:?}");
        assert_eq!(page.ends_with("# EOF\n"), expected == openmetrics, "for {accept:?}");
    }
}

#[tokio::test]
async fn the_classic_metrics_page_has_no_openmetrics_syntax() {
    let gateway = Gateway::answering(200, json!({})).await;
    gateway.query(&screen_record("id")).await;

    let (_, page) = metrics_for(&gateway, Some("text/plain;version=0.0.4")).await;
    let (_, openmetrics) = metrics_for(&gateway, Some("application/openmetrics-text")).await;

    for line in [
        "# TYPE gateway_build_info gauge",
        "# TYPE gateway_http_requests_total counter",
        "# HELP gateway_http_requests_total GraphQL requests, by HTTP status.",
        "# TYPE gateway_ready gauge",
        "# TYPE gateway_http_request_duration_seconds histogram",
        r#"gateway_http_requests_total{status="200"} 1"#,
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
    }
    assert!(!page.contains("# UNIT") && !page.contains("# EOF"), "{page}");
    let samples = |page: &str| page.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(samples(&page), samples(&openmetrics));
}

#[tokio::test]
async fn the_admin_listener_answers_errors_in_json() {
    let gateway = Gateway::answering(200, json!({})).await;
    let json_type = ("content-type", "application/json");
    let large = format!("{{\"projectId\": \"{}\"}}", "p".repeat(10_000));
    for (method, path, headers, body, status) in [
        (Method::GET, "/nothing", &[][..], "", 404),
        (Method::GET, "/purge", &[], "", 405),
        (Method::POST, "/metrics", &[], "", 405),
        (Method::POST, "/purge", &[], "{}", 415),
        (Method::POST, "/purge", &[("content-type", "text/plain")], "{}", 415),
        (Method::POST, "/purge", &[json_type, ("content-encoding", "gzip")], "{}", 415),
        (
            Method::POST,
            "/purge",
            &[("content-type", "application/json; charset=utf-16")],
            "{}",
            415,
        ),
        (Method::POST, "/purge", &[json_type], "{", 400),
        (Method::POST, "/purge", &[json_type], &large, 413),
    ] {
        let url = format!("http://{}{path}", gateway.admin);
        let mut request = gateway.http().request(method, url).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = HttpAnswer::of(request.send().await.unwrap()).await;

        assert_eq!(answer.status, status, "{path} {headers:?}");
        assert!(answer.json["error"].is_string(), "{path} {headers:?}: {}", answer.json);
    }
}

#[tokio::test]
async fn a_purge_names_the_tags_of_what_a_router_has_cached_of_it() {
    let gateway = Gateway::answering(200, json!({})).await;
    let (recording, lists) = (format!("recording-{PROJECT}-{RECORD}"), format!("lists-{PROJECT}"));
    for (body, tags) in [
        (json!({ "projectId": PROJECT, "id": RECORD }), json!([recording, lists, "projects"])),
        (json!({ "projectId": PROJECT }), json!([format!("project-{PROJECT}"), "projects"])),
        (json!({ "all": true }), json!(null)),
    ] {
        let request = gateway.http().post(format!("http://{}/purge", gateway.admin));
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = HttpAnswer::of(request.send().await.unwrap()).await;

        assert_eq!(answer.status, 200, "{body}");
        assert_eq!(answer.json.get("cacheTags"), Some(&tags), "{body}");
    }
}
