//! Stale data that replaces errors.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Gateway, RECORD, Reply, TOKEN, keep_log, log, screen_record};

/// A gateway with a cached record that is too old to be served without a call.
async fn with_a_spare() -> Gateway {
    let gateway = Gateway::answering(200, json!({ "id": RECORD, "status": "RECORDING" })).await;
    gateway.query(&screen_record("id")).await;
    gateway.advance(Duration::from_mins(1));
    gateway
}

fn code(answer: &Value) -> &Value {
    &answer["errors"][0]["extensions"]["code"]
}

#[tokio::test]
async fn during_an_outage_a_cached_record_replaces_the_error() {
    for status in [429, 500, 502, 503, 504] {
        let gateway = with_a_spare().await;
        gateway.upstream.answer_with(move |_| Reply::json(status, &json!({})));

        let answer = gateway.query(&screen_record("id")).await;

        assert_eq!(answer["data"]["screenRecord"]["id"], RECORD, "with status {status}");
        assert_eq!(answer.get("errors"), None, "with status {status}");
        assert_eq!(answer["extensions"]["stale"], true, "with status {status}");
    }
}

#[tokio::test]
async fn the_log_names_the_request_whose_error_a_cached_record_replaced() {
    keep_log();
    let gateway = with_a_spare().await;
    gateway.upstream.answer_with(|_| Reply::json(503, &json!({})));

    let headers = [("x-auth-token", TOKEN), ("x-request-id", "request-1")];
    gateway.post(&screen_record("id"), &headers).await;

    let log = log();
    let line = log.lines().find(|line| line.contains("served stale")).unwrap();
    assert!(line.contains(r#"request.id="request-1""#), "{line}");
}

#[tokio::test]
async fn a_cached_record_replaces_the_error_of_a_cut_connection() {
    let gateway = with_a_spare().await;
    gateway.upstream.answer_with(|_| Reply::CutMidway);

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(answer["data"]["screenRecord"]["id"], RECORD);
    assert_eq!(answer["extensions"]["stale"], true);
}

#[tokio::test]
async fn a_refusal_is_shown_and_drops_the_cached_record() {
    for (status, expected) in [(401, "UNAUTHENTICATED"), (403, "FORBIDDEN"), (404, "NOT_FOUND")] {
        let gateway = with_a_spare().await;
        gateway.upstream.answer_with(move |_| Reply::json(status, &json!({})));
        let refused = gateway.query(&screen_record("id")).await;
        gateway.advance(Duration::from_secs(3));
        gateway.upstream.answer_with(|_| Reply::json(503, &json!({})));

        let afterwards = gateway.query(&screen_record("id")).await;

        assert_eq!(code(&refused), expected);
        assert_eq!(code(&afterwards), "UPSTREAM_UNAVAILABLE", "after {status} a copy was served");
    }
}

#[tokio::test]
async fn a_refused_background_refresh_drops_the_record() {
    let gateway = Gateway::answering(200, json!({ "id": RECORD, "status": "RECORDING" })).await;
    gateway.query(&screen_record("id")).await;
    gateway.advance(Duration::from_secs(6));
    gateway.upstream.answer_with(|_| Reply::json(403, &json!({})));

    let stale = gateway.query(&screen_record("id")).await;

    assert_eq!(stale["data"]["screenRecord"]["id"], RECORD);
    gateway.until(&screen_record("id"), |answer| code(answer) == "FORBIDDEN").await;
}

#[tokio::test]
async fn a_record_that_is_too_old_does_not_replace_an_error() {
    let gateway = with_a_spare().await;
    gateway.upstream.answer_with(|_| Reply::json(503, &json!({})));
    gateway.advance(Duration::from_mins(10));

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(code(&answer), "UPSTREAM_UNAVAILABLE");
}

#[tokio::test]
async fn after_a_failed_refresh_the_record_is_not_refreshed_for_a_second() {
    let gateway = with_a_spare().await;
    gateway.upstream.answer_with(|_| Reply::json(503, &json!({})));
    gateway.query(&screen_record("id")).await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(answer["extensions"]["stale"], true);
    assert_eq!(gateway.upstream_requests(), 2);
}
