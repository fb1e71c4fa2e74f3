//! How long a cached record is served.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Gateway, RECORD, Reply, ScriptedUpstream, TOKEN, screen_record};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

async fn gateway_for(status: &str) -> Gateway {
    Gateway::answering(200, json!({ "id": RECORD, "status": status })).await
}

fn missing() -> Value {
    json!({ "error_code": "WKS.00211902", "error_msg": "does not exist" })
}

#[tokio::test]
async fn a_record_in_a_final_status_is_fresh_for_a_minute() {
    let gateway = gateway_for("UPLOAD_COMPLETED").await;

    gateway.query(&screen_record("id")).await;
    gateway.advance(secs(59));
    gateway.query(&screen_record("id")).await;

    assert_eq!(gateway.upstream_requests(), 1);
}

#[tokio::test]
async fn an_active_record_is_read_again_once_it_is_neither_fresh_nor_stale() {
    let gateway = gateway_for("RECORDING").await;

    gateway.query(&screen_record("id")).await;
    gateway.advance(secs(5 + 30));
    gateway.query(&screen_record("id")).await;

    assert_eq!(gateway.upstream_requests(), 2);
}

#[tokio::test]
async fn a_stale_record_is_served_at_once_and_refreshed_in_the_background() {
    let gateway = gateway_for("RECORDING").await;
    gateway.query(&screen_record("rawStatus")).await;
    gateway.advance(secs(6));
    gateway.upstream.answer_with(|_| Reply::json(200, &json!({ "status": "UPLOADING" })));
    gateway.upstream.hold();

    let stale = gateway.query(&screen_record("rawStatus")).await;
    gateway.upstream.arrived(2).await;
    gateway.upstream.release();

    assert_eq!(stale["data"]["screenRecord"]["rawStatus"], "RECORDING");
    gateway
        .until(&screen_record("rawStatus"), |answer| {
            answer["data"]["screenRecord"]["rawStatus"] == "UPLOADING"
        })
        .await;
    assert_eq!(gateway.upstream_requests(), 2);
}

#[tokio::test]
async fn no_cache_reads_from_the_upstream_and_refreshes_the_entry() {
    let gateway = gateway_for("UPLOAD_COMPLETED").await;
    gateway.query(&screen_record("username")).await;
    gateway.upstream.answer_with(|_| Reply::json(200, &json!({ "username": "new" })));

    let headers = [("x-auth-token", TOKEN), ("cache-control", "no-cache")];
    let bypassing = gateway.post(&screen_record("username"), &headers).await;
    let cached = gateway.query(&screen_record("username")).await;

    assert_eq!(bypassing.json["data"]["screenRecord"]["username"], "new");
    assert_eq!(cached["data"]["screenRecord"]["username"], "new");
    assert_eq!(gateway.upstream_requests(), 2);
}

#[tokio::test]
async fn a_request_with_max_age_gets_no_older_data() {
    let gateway = gateway_for("UPLOAD_COMPLETED").await;
    gateway.query(&screen_record("id")).await;
    gateway.advance(secs(20));
    let at_most = |seconds: &'static str| [("x-auth-token", TOKEN), ("cache-control", seconds)];

    let enough = gateway.post(&screen_record("id"), &at_most("max-age=30")).await;
    let too_old = gateway.post(&screen_record("id"), &at_most("max-age=10")).await;

    assert_eq!((enough.header("age"), too_old.header("age")), ("20", "0"));
    assert_eq!(enough.header("cache-control"), "private, max-age=39");
    assert_eq!(enough.header("cache-status"), "screen-record-gateway; hit; ttl=39");
    assert!(too_old.header("cache-status").contains("fwd=stale"), "{:?}", too_old.headers);
    assert_eq!(gateway.upstream_requests(), 2);
}

#[tokio::test]
async fn not_found_is_cached_for_two_seconds() {
    let gateway = Gateway::answering(404, missing()).await;

    let first = gateway.query(&screen_record("id")).await;
    gateway.advance(Duration::from_millis(1900));
    let remembered = gateway.query(&screen_record("id")).await;
    gateway.advance(Duration::from_millis(200));
    gateway.query(&screen_record("id")).await;

    assert_eq!(first["errors"][0]["extensions"]["code"], "NOT_FOUND");
    assert_eq!(remembered["errors"][0]["extensions"], first["errors"][0]["extensions"]);
    assert_eq!(gateway.upstream_requests(), 2);
}

#[tokio::test]
async fn other_errors_are_never_cached() {
    for status in [400, 401, 403, 429, 500, 503] {
        let upstream = ScriptedUpstream::start(move |_| Reply::json(status, &json!({}))).await;
        let gateway = Gateway::before(upstream).await;

        gateway.query(&screen_record("id")).await;
        gateway.query(&screen_record("id")).await;

        assert_eq!(gateway.upstream_requests(), 2, "with status {status}");
    }
}
