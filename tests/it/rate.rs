//! The rate of each caller.

use std::time::Duration;

use screen_record_gateway::config::{AccessKey, Config, CredentialsMode, InboundAuth, Rate};
use screen_record_gateway::domain::Secret;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{
    Gateway, HttpAnswer, Reply, ScriptedUpstream, Socket, TestFile, screen_record,
};

const DOCUMENT: &str = "{ __typename }";

async fn limited(rate: &str, adjust: impl FnOnce(&mut Config)) -> Gateway {
    let upstream = ScriptedUpstream::start(|_| Reply::json(200, &json!({}))).await;
    Gateway::configured(upstream, |config| {
        config.limits.rate = Some(Rate::parse(rate).unwrap());
        adjust(config);
    })
    .await
}

async fn ask(gateway: &Gateway, token: &str) -> HttpAnswer {
    gateway.post(DOCUMENT, &[("x-auth-token", token)]).await
}

async fn batch(gateway: &Gateway, operations: usize) -> HttpAnswer {
    let body = Value::from(vec![json!({ "query": DOCUMENT }); operations]);
    let request = gateway.http().post(gateway.url()).header("content-type", "application/json");
    HttpAnswer::of(request.body(body.to_string()).send().await.unwrap()).await
}

#[tokio::test]
async fn a_caller_over_the_rate_gets_retry_after_and_is_served_after_it() {
    let gateway = limited("2/m", |_| {}).await;

    let within = [ask(&gateway, "one").await.status, ask(&gateway, "one").await.status];
    let over = ask(&gateway, "one").await;
    gateway.advance(Duration::from_secs(30));
    let later = ask(&gateway, "one").await.status;

    assert_eq!((within, over.status, later), ([200, 200], 429, 200));
    assert_eq!(over.header("retry-after"), "30");
    let extensions = &over.json["errors"][0]["extensions"];
    assert_eq!(extensions["code"], "RATE_LIMITED");
    assert_eq!(extensions["retryable"], true);
    let wait = extensions["retryAfterMs"].as_u64().unwrap();
    assert!((25_000..=30_000).contains(&wait), "{wait}");
}

#[tokio::test]
async fn under_passthrough_each_token_has_its_own_rate() {
    let gateway = limited("1/h", |_| {}).await;

    let one = [ask(&gateway, "one").await.status, ask(&gateway, "one").await.status];
    let other = ask(&gateway, "other").await.status;

    assert_eq!((one, other), ([200, 429], 200));
}

#[tokio::test]
async fn under_the_gateways_key_callers_are_limited_by_address_not_by_token() {
    let gateway = limited("1/h", |config| {
        config.upstream.credentials = CredentialsMode::AkSk(AccessKey {
            access: Secret::new("FAKEAK0EXAMPLE000001"),
            secret: Secret::new("fakeSK"),
            security_token: None,
            project_id: None,
        });
    })
    .await;

    let statuses = [ask(&gateway, "one").await.status, ask(&gateway, "made-up").await.status];

    assert_eq!(statuses, [200, 429]);
}

#[tokio::test]
async fn named_callers_have_their_own_rates_and_refused_ones_use_none() {
    let hash = |key: &str| hex::encode(Sha256::digest(key));
    let key = |name| {
        format!("[[key]]\nname = \"{name}\"\nsha256 = \"{}\"\nprojects = [\"*\"]\n", hash(name))
    };
    let file = TestFile::of(&(key("one") + &key("other")));
    let gateway = limited("1/h", |config| {
        config.inbound.auth = InboundAuth::ApiKey(file.0.clone());
    })
    .await;

    let mut statuses = Vec::new();
    for key in ["wrong", "wrong", "one", "one", "other"] {
        statuses.push(gateway.post(DOCUMENT, &[("x-api-key", key)]).await.status);
    }

    assert_eq!(statuses, [401, 401, 200, 429, 200]);
}

#[tokio::test]
async fn each_operation_of_a_batch_counts() {
    let gateway = limited("5/h", |_| {}).await;

    let first = batch(&gateway, 3).await;
    let second = batch(&gateway, 3).await;
    let third = batch(&gateway, 2).await;
    let too_large = batch(&gateway, 6).await;

    assert_eq!((first.status, second.status, third.status), (200, 429, 200));
    assert_eq!(too_large.status, 400);
    assert_eq!(too_large.json["errors"][0]["extensions"]["code"], "QUERY_TOO_COMPLEX");
    let message = too_large.json["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("limits.rate allows 5"), "{message}");
}

#[tokio::test]
async fn operations_over_a_socket_count_and_over_the_rate_it_stays_open() {
    let gateway = limited("1/m", |_| {}).await;
    let (mut socket, said) = Socket::showing(&gateway, json!({ "x-auth-token": "one" })).await;
    assert_eq!(said.json()["type"], "connection_ack");

    socket.subscribe("1", DOCUMENT).await;
    let first = [socket.hear().await, socket.hear().await];
    socket.subscribe("2", &screen_record("id")).await;
    let second = socket.hear().await;
    gateway.advance(Duration::from_mins(1));
    socket.subscribe("3", DOCUMENT).await;
    let third = socket.hear().await;

    assert_eq!(first.map(|said| said.json()["type"].clone()), ["next", "complete"]);
    let error = &second.json()["payload"][0]["extensions"];
    assert_eq!((&second.json()["type"], &second.json()["id"]), (&json!("error"), &json!("2")));
    assert_eq!((&error["code"], &error["retryable"]), (&json!("RATE_LIMITED"), &json!(true)));
    assert!(error["retryAfterMs"].as_u64().is_some_and(|wait| wait <= 60_000), "{error}");
    assert_eq!(third.json()["type"], "next");
    assert_eq!(gateway.upstream_requests(), 0);
}

#[tokio::test]
async fn an_event_stream_counts_as_an_operation() {
    let gateway = limited("1/h", |_| {}).await;
    let headers = [("x-auth-token", "one"), ("accept", "text/event-stream")];

    let statuses = [
        gateway.post(DOCUMENT, &headers).await.status,
        gateway.post(DOCUMENT, &headers).await.status,
    ];

    assert_eq!(statuses, [200, 429]);
}
