//! Concurrent requests for a record share one upstream call.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Gateway, PROJECT, RECORD, Reply, ScriptedUpstream, patient, screen_record};

/// An upstream that answers every record with its own id.
async fn echoing() -> ScriptedUpstream {
    ScriptedUpstream::start(|seen| {
        let id = seen.path.rsplit('/').next().unwrap_or_default();
        Reply::json(
            200,
            &json!({ "id": id, "username": seen.headers["x-auth-token"].to_str().unwrap() }),
        )
    })
    .await
}

/// A document of `aliases` fields over `ids` records.
fn aliased(aliases: usize, ids: usize) -> String {
    let mut document = "{".to_owned();
    for alias in 0..aliases {
        let id = alias % ids;
        write!(
            document,
            r#" a{alias}: screenRecord(projectId: "{PROJECT}", id: "r{id}") {{ id }}"#
        )
        .unwrap();
    }
    document + " }"
}

#[tokio::test]
async fn fifty_aliases_over_ten_records_make_ten_calls() {
    let gateway = Gateway::before(echoing().await).await;

    let answer = gateway.query(&aliased(50, 10)).await;

    assert_eq!(gateway.upstream_requests(), 10);
    assert_eq!(answer.get("errors"), None);
    for alias in 0..50 {
        assert_eq!(answer["data"][format!("a{alias}")]["id"], format!("r{}", alias % 10));
    }
}

#[tokio::test]
async fn the_calls_of_one_operation_run_together() {
    let gateway = Gateway::before(echoing().await).await;
    gateway.upstream.hold();

    let document = aliased(50, 10);
    let (answer, ()) = tokio::join!(gateway.query(&document), async {
        // All ten are in progress before the first is answered.
        gateway.upstream.arrived(10).await;
        gateway.upstream.release();
    });

    assert_eq!(answer["data"]["a49"]["id"], "r9");
    let paths: BTreeSet<_> = gateway.upstream.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths.len(), 10);
}

#[tokio::test]
async fn a_thousand_cold_requests_for_one_record_make_one_call() {
    let gateway = Gateway::configured(echoing().await, patient).await;
    gateway.upstream.hold();
    let document = screen_record("id");

    let asking = join_all((0..1000).map(|_| gateway.query(&document)));
    let (answers, ()) = tokio::join!(asking, async {
        gateway.upstream.arrived(1).await;
        gateway.upstream.release();
    });

    assert_eq!(gateway.upstream_requests(), 1);
    assert!(answers.iter().all(|answer| answer["data"]["screenRecord"]["id"] == RECORD));
}

#[tokio::test]
async fn two_callers_of_one_record_make_two_calls() {
    let gateway = Gateway::before(echoing().await).await;
    gateway.upstream.hold();
    let document = screen_record("username");

    let (one, other, ()) = tokio::join!(
        gateway.query_as("token-one", &document),
        gateway.query_as("token-other", &document),
        async {
            // Neither waits for the other's call.
            gateway.upstream.arrived(2).await;
            gateway.upstream.release();
        }
    );
    let again = gateway.query_as("token-one", &document).await;

    assert_eq!(one["data"]["screenRecord"]["username"], "token-one");
    assert_eq!(other["data"]["screenRecord"]["username"], "token-other");
    assert_eq!(again["data"]["screenRecord"]["username"], "token-one");
    assert_eq!(gateway.upstream_requests(), 2);
}

#[tokio::test]
async fn a_load_continues_for_other_callers_when_the_first_hangs_up() {
    let gateway = Gateway::before(echoing().await).await;
    gateway.upstream.hold();
    let document = screen_record("id");
    let mut first = Box::pin(gateway.query(&document));
    tokio::select! {
        _ = &mut first => panic!("the upstream holds its answer back"),
        () = gateway.upstream.arrived(1) => {}
    }

    let mut second = Box::pin(gateway.query(&document));
    tokio::select! {
        _ = &mut second => panic!("the upstream holds its answer back"),
        () = gateway.in_flight(2) => {}
    }
    drop(first);
    gateway.upstream.release();
    let answer = second.await;

    assert_eq!(answer["data"]["screenRecord"]["id"], RECORD);
    assert_eq!(gateway.upstream_requests(), 1);
}

#[tokio::test]
async fn a_load_stops_when_every_caller_has_hung_up() {
    let gateway = Gateway::before(echoing().await).await;
    gateway.upstream.hold();
    let document = screen_record("id");
    let only = Box::pin(gateway.query(&document));
    tokio::select! {
        _ = only => panic!("the upstream holds its answer back"),
        () = gateway.upstream.arrived(1) => {}
    }

    gateway.until_metric("gateway_cache_abandoned_loads_total 1").await;
    gateway.until_metric(r#"gateway_http_requests_total{status="499"} 1"#).await;
}

#[tokio::test]
async fn the_callers_token_and_request_id_go_upstream() {
    let gateway = Gateway::before(echoing().await).await;

    let headers = [("authorization", "Bearer abc"), ("x-request-id", "my-request-1")];
    let answer = gateway.post(&screen_record("id"), &headers).await;

    let seen = gateway.upstream.seen();
    assert_eq!(answer.header("x-request-id"), "my-request-1");
    assert_eq!(seen[0].headers["x-request-id"], "my-request-1");
    assert_eq!(seen[0].headers["x-auth-token"], "abc");
    assert_eq!(seen[0].method, "GET");
    assert_eq!(seen[0].path, format!("/v2/{PROJECT}/screen-records/{RECORD}"));
}
