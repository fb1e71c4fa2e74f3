//! One caller cannot use up what all callers share.

use std::fmt::Write as _;
use std::num::NonZeroU32;

use futures_util::future::join_all;
use screen_record_gateway::config::Config;
use serde_json::{Value, json};

use crate::support::{Gateway, PROJECT, Reply, ScriptedUpstream, TOKEN, screen_record};

/// A query for `count` recordings.
fn records(count: usize) -> String {
    let mut document = "{".to_owned();
    for number in 0..count {
        let record = format!(r#"screenRecord(projectId: "{PROJECT}", id: "r{number}")"#);
        write!(document, " a{number}: {record} {{ id }}").unwrap();
    }
    document + " }"
}

/// A gateway before an upstream that never answers one of two callers.
async fn half_hanging(adjust: impl FnOnce(&mut Config)) -> Gateway {
    let upstream = ScriptedUpstream::start(|seen| {
        if seen.headers["x-auth-token"] == "busy" {
            Reply::Hang
        } else {
            Reply::json(200, &json!({ "id": "r" }))
        }
    })
    .await;
    Gateway::configured(upstream, adjust).await
}

#[tokio::test]
async fn a_single_read_is_answered_while_a_burst_of_another_caller_waits_for_a_dead_upstream() {
    let gateway = half_hanging(|config| {
        config.upstream.max_concurrency = NonZeroU32::new(8).unwrap();
    })
    .await;
    let burst = records(50);

    let single = async {
        gateway.upstream.arrived(7).await;
        gateway.query_as("other", &screen_record("id")).await
    };
    let answer = tokio::select! {
        answer = single => answer,
        burst = gateway.query_as("busy", &burst) => panic!("the burst was answered: {burst}"),
    };

    assert_eq!(answer, json!({ "data": { "screenRecord": { "id": "r" } } }));
}

#[tokio::test]
async fn waiting_requests_of_one_caller_leave_permits_for_another() {
    let gateway = half_hanging(|config| config.limits.max_in_flight = 8).await;
    let one = |number: usize| {
        format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "r{number}") {{ id }} }}"#)
    };
    let documents: Vec<String> = (0..7).map(one).collect();
    let waiting = join_all(documents.iter().map(|document| gateway.query_as("busy", document)));

    let asking = async {
        gateway.upstream.arrived(7).await;
        let over = gateway.post(&one(7), &[("x-auth-token", "busy")]).await;
        let other = gateway.query_as("other", &screen_record("id")).await;
        (over, other)
    };
    let (over, other) = tokio::select! {
        answers = asking => answers,
        answers = waiting => panic!("the dead upstream has answered: {answers:?}"),
    };

    let error = &over.json["errors"][0]["extensions"];
    assert_eq!((over.status, &error["code"]), (503, &json!("OVERLOADED")));
    assert_eq!(over.header("retry-after"), "1");
    assert_eq!(other, json!({ "data": { "screenRecord": { "id": "r" } } }));
}

/// A gateway with room for little more than two answers of 15 MB, and a query that makes one.
async fn with_large_answers() -> (Gateway, String) {
    let record = json!({ "id": "r", "username": "x".repeat(900_000) });
    let upstream = ScriptedUpstream::start(move |_| Reply::json(200, &record)).await;
    let gateway = Gateway::configured(upstream, |config| {
        config.limits.max_unsent_bytes = 34_000_000;
    });
    let names: Vec<String> = (0..17).map(|number| format!("a{number}: username")).collect();
    (gateway.await, screen_record(&names.join(" ")))
}

/// Sends a query and reads only the head of its answer.
async fn unread(gateway: &Gateway, document: &str) -> reqwest::Response {
    let request = gateway.http().post(gateway.url()).header("content-type", "application/json");
    let body = json!({ "query": document }).to_string();
    request.header("x-auth-token", TOKEN).body(body).send().await.unwrap()
}

#[tokio::test]
async fn unread_answers_of_one_caller_leave_room_for_another() {
    let (gateway, document) = with_large_answers().await;
    let unread_answers = [unread(&gateway, &document).await, unread(&gateway, &document).await];

    let over = gateway.post(&document, &[("x-auth-token", TOKEN)]).await;
    let small = gateway.query(&screen_record("id")).await;
    let other = gateway.query_as("other", &screen_record("username")).await;
    let before: Vec<u16> = unread_answers.iter().map(|answer| answer.status().as_u16()).collect();
    drop(unread_answers);

    assert_eq!((before, over.status), (vec![200, 200], 503));
    assert_eq!(over.json["errors"][0]["extensions"]["code"], "OVERLOADED");
    assert_eq!((small.get("errors"), other.get("errors")), (None, None));
    gateway.until(&document, |answer| answer.get("errors").is_none()).await;
}

#[tokio::test]
async fn unread_events_count_as_unread_answers() {
    let (gateway, document) = with_large_answers().await;
    let _unread = [unread(&gateway, &document).await, unread(&gateway, &document).await];

    let request = gateway.http().post(gateway.url()).header("content-type", "application/json");
    let request = request.header("x-auth-token", TOKEN).header("accept", "text/event-stream");
    let body = json!({ "query": document }).to_string();
    let text = request.body(body).send().await.unwrap().text().await.unwrap();

    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let answer: Value = serde_json::from_str(data).unwrap();
    assert_eq!(answer["data"], Value::Null);
    assert_eq!(answer["errors"][0]["extensions"]["code"], "OVERLOADED", "{answer}");
}
