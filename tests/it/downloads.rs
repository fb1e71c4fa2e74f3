//! Links to videos: one call for a whole operation, cached for seconds and for one caller.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Gateway, PROJECT, Reply, ScriptedUpstream};

/// An upstream with a link for every record whose id does not begin with `none`.
async fn linking() -> Gateway {
    let upstream = ScriptedUpstream::start(|seen| {
        if !seen.path.ends_with("/download-address") {
            let id = seen.path.rsplit('/').next().unwrap_or_default();
            return Reply::json(200, &json!({ "id": id, "status": "UPLOAD_COMPLETED" }));
        }
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        let link = |id: &Value| {
            let id = id.as_str().unwrap();
            json!({ "id": id.to_uppercase(), "download_url": format!("https://obs.example/{id}?sig=s") })
        };
        let ids = body["record_ids"].as_array().unwrap();
        let links: Vec<Value> =
            ids.iter().filter(|id| !id.as_str().unwrap().starts_with("none")).map(link).collect();
        Reply::json(200, &json!({ "address": links }))
    })
    .await;
    Gateway::before(upstream).await
}

fn document<'i>(ids: impl Iterator<Item = &'i str>) -> String {
    let mut document = "{".to_owned();
    for (alias, id) in ids.enumerate() {
        let record = format!(r#"screenRecord(projectId: "{PROJECT}", id: "{id}")"#);
        write!(document, " a{alias}: {record} {{ downloadUrl id }}").unwrap();
    }
    document + " }"
}

fn link_calls(gateway: &Gateway) -> Vec<usize> {
    let seen = gateway.upstream.seen();
    let calls = seen.iter().filter(|seen| seen.path.ends_with("/download-address"));
    calls
        .map(|seen| {
            let body: Value = serde_json::from_slice(&seen.body).unwrap();
            body["record_ids"].as_array().unwrap().len()
        })
        .collect()
}

#[tokio::test]
async fn all_links_of_an_operation_come_in_one_call() {
    let gateway = linking().await;

    let answer = gateway.query(&document(["r1", "r2", "none3", "r1"].into_iter())).await;

    assert_eq!(answer.get("errors"), None, "{answer}");
    assert_eq!(
        answer["data"]["a1"],
        json!({ "downloadUrl": "https://obs.example/r2?sig=s", "id": "r2" })
    );
    assert_eq!(answer["data"]["a2"]["downloadUrl"], Value::Null);
    assert_eq!(link_calls(&gateway), [3]);
}

#[tokio::test]
async fn links_of_records_that_arrive_at_different_times_share_one_call() {
    let gateway = linking().await;
    // One is in the cache, the other must be read.
    gateway
        .query(&format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "r1") {{ id }} }}"#))
        .await;

    gateway.query(&document(["r1", "r2"].into_iter())).await;

    assert_eq!(link_calls(&gateway), [2]);
}

#[tokio::test]
async fn requests_that_ask_for_a_link_at_the_same_time_share_one_call() {
    let gateway = linking().await;
    gateway
        .query(&format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "r1") {{ id }} }}"#))
        .await;
    gateway.upstream.hold();
    let document = document(["r1"].into_iter());

    let (answers, ()) = tokio::join!(join_all((0..10).map(|_| gateway.query(&document))), async {
        gateway.upstream.arrived(2).await;
        gateway.upstream.release();
    });

    for answer in answers {
        assert_eq!(answer["data"]["a0"]["downloadUrl"], "https://obs.example/r1?sig=s");
    }
    assert_eq!(link_calls(&gateway), [1]);
}

#[tokio::test]
async fn more_than_a_hundred_ids_are_split() {
    let gateway = linking().await;
    let rows: Vec<Value> = (0..150).map(|n| json!({ "id": format!("r{n}") })).collect();
    gateway.upstream.answer_with(move |seen| {
        if seen.path.ends_with("/download-address") {
            return Reply::json(200, &json!({ "address": [] }));
        }
        seen.page_of("screen_records", &rows)
    });

    let list = format!(
        r#"{{ screenRecords(projectId: "{PROJECT}", first: 150) {{ nodes {{ downloadUrl }} }} }}"#
    );
    let answer = gateway.query(&list).await;

    assert_eq!(answer.get("errors"), None, "{answer}");
    let mut calls = link_calls(&gateway);
    calls.sort_unstable();
    assert_eq!(calls, [50, 100]);
}

#[tokio::test]
async fn a_link_is_cached_for_seconds_and_for_one_caller() {
    let gateway = linking().await;
    let document = document(["r1"].into_iter());

    gateway.query(&document).await;
    let kept = gateway.query(&document).await;
    assert_eq!(
        (link_calls(&gateway).len(), kept["data"]["a0"]["downloadUrl"].is_string()),
        (1, true)
    );

    gateway.query_as("another-token", &document).await;
    assert_eq!(link_calls(&gateway).len(), 2, "a link crossed callers");

    gateway.advance(Duration::from_secs(30));
    gateway.query(&document).await;
    assert_eq!(link_calls(&gateway).len(), 3, "a link was served past its life");
}

#[tokio::test]
async fn refused_links_leave_the_records_intact() {
    let gateway = linking().await;
    gateway.upstream.answer_with(|seen| {
        if seen.path.ends_with("/download-address") {
            return Reply::json(403, &json!({ "error_code": "WKS.00081102" }));
        }
        Reply::json(200, &json!({ "id": "r" }))
    });

    let answer = gateway.query(&document(["r1", "r2"].into_iter())).await;

    assert_eq!(answer["data"]["a0"], json!({ "downloadUrl": null, "id": "r" }));
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 2);
    assert!(errors.iter().all(|error| error["extensions"]["code"] == "FORBIDDEN"), "{answer}");
    assert_eq!(link_calls(&gateway).len(), 1);
}

#[tokio::test]
async fn a_link_that_is_not_http_is_an_error_that_does_not_repeat_it() {
    let gateway = linking().await;
    gateway.upstream.answer_with(|seen| {
        if seen.path.ends_with("/download-address") {
            let link = json!({ "id": "r1", "download_url": "javascript:alert(1)" });
            return Reply::json(200, &json!({ "address": [link] }));
        }
        Reply::json(200, &json!({ "id": "r1" }))
    });

    let answer = gateway.query(&document(["r1"].into_iter())).await;

    assert_eq!(answer["data"]["a0"]["downloadUrl"], Value::Null);
    assert_eq!(answer["errors"][0]["extensions"]["code"], "UPSTREAM_INVALID_RESPONSE");
    assert!(!answer.to_string().contains("javascript"), "{answer}");
}

/// An upstream whose links all have a query.
async fn linking_until(query: String) -> Gateway {
    let gateway = linking().await;
    gateway.upstream.answer_with(move |seen| {
        if seen.path.ends_with("/download-address") {
            let url = format!("https://obs.example/v?{query}");
            let link = json!({ "id": "r1", "download_url": url });
            return Reply::json(200, &json!({ "address": [link] }));
        }
        Reply::json(200, &json!({ "id": "r1" }))
    });
    gateway
}

#[tokio::test]
async fn a_link_says_when_it_expires_where_its_query_does() {
    for (query, expires_at) in [
        ("X-Amz-Date=20991015T100441Z&X-Amz-Expires=3600", json!("2099-10-15T11:04:41.000Z")),
        ("sig=s", Value::Null),
        ("Expires=soon", Value::Null),
    ] {
        let gateway = linking_until(query.to_owned()).await;
        let record = format!(r#"screenRecord(projectId: "{PROJECT}", id: "r1")"#);

        let answer = gateway
            .query(&format!("{{ {record} {{ downloadLink {{ url expiresAt }} downloadUrl }} }}"))
            .await;

        let url = format!("https://obs.example/v?{query}");
        let link = json!({ "url": url, "expiresAt": expires_at });
        let expected = json!({ "screenRecord": { "downloadLink": link, "downloadUrl": url } });
        assert_eq!(answer, json!({ "data": expected }));
        assert_eq!(link_calls(&gateway), [1], "for {query}");
    }
}

#[tokio::test]
async fn a_cached_link_is_valid_for_a_minute_at_least() {
    let expires_in = |seconds: u64| {
        let at = jiff::Timestamp::now() + Duration::from_secs(seconds);
        format!("Expires={}", at.as_second())
    };
    for (validity, age, calls) in [(900, 29, 1), (900, 30, 2), (75, 5, 1), (75, 20, 2), (59, 0, 2)]
    {
        let gateway = linking_until(expires_in(validity)).await;
        let document = document(["r1"].into_iter());

        gateway.query(&document).await;
        gateway.advance(Duration::from_secs(age));
        let answer = gateway.query(&document).await;

        assert!(answer["data"]["a0"]["downloadUrl"].is_string(), "{answer}");
        let made = link_calls(&gateway).len();
        assert_eq!(made, calls, "for a link of {validity} s after {age} s");
    }
}
