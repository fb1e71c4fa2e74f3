//! Health and metrics.

use serde_json::json;

use crate::support::{Gateway, screen_record};

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
        r#"gateway_upstream_attempts_total{outcome="200"} 1"#,
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
        r#"gateway_upstream_attempts_total{outcome="timeout"} 0"#,
        r#"gateway_shared_cache_reads_total{outcome="failed"} 0"#,
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
    }
    assert!(page.ends_with("# EOF\n"), "{page}");
}
