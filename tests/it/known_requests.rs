//! Requests that came before, byte for byte: what they ask for is known without reading them, and every
//! rule holds for them as it does for the first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use screen_record_gateway::config::{Config, InboundAuth, Rate};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{
    Gateway, HttpAnswer, PROJECT, RECORD, Reply, ScriptedUpstream, TOKEN, TestFile, keep_log, log,
};

/// A body is known from its third time on; this is one more.
const TIMES: usize = 4;

fn body_of(id: &str) -> String {
    let query = "query Shown($p: ID!, $r: ID!) { screenRecord(projectId: $p, id: $r) { id size } }";
    let variables = json!({ "p": PROJECT, "r": id });
    json!({ "query": query, "variables": variables, "operationName": "Shown" }).to_string()
}

/// An upstream whose every answer has another number in it.
async fn numbering(adjust: impl FnOnce(&mut Config)) -> Gateway {
    let number = Arc::new(AtomicUsize::new(0));
    let upstream = ScriptedUpstream::start(move |seen| {
        let id = seen.path.rsplit('/').next().unwrap_or_default();
        let number = number.fetch_add(1, Ordering::SeqCst);
        Reply::json(200, &json!({ "id": id, "size": number, "status": "UPLOAD_COMPLETED" }))
    });
    Gateway::configured(upstream.await, adjust).await
}

async fn send(gateway: &Gateway, body: &str, headers: &[(&str, &str)]) -> HttpAnswer {
    let request = gateway.http().post(gateway.url()).header("content-type", "application/json");
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    HttpAnswer::of(request.body(body.to_owned()).send().await.unwrap()).await
}

/// Sends a body so often that it is known.
async fn known(gateway: &Gateway, body: &str) -> HttpAnswer {
    let mut last = send(gateway, body, &[("x-auth-token", TOKEN)]).await;
    for _ in 1..TIMES {
        last = send(gateway, body, &[("x-auth-token", TOKEN)]).await;
    }
    last
}

async fn requests_known(gateway: &Gateway) -> String {
    let page = gateway.admin_get("/metrics").await.1;
    let line = page.lines().find(|line| line.starts_with("gateway_http_known_requests "));
    line.and_then(|line| line.rsplit(' ').next()).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_repeated_body_is_answered_like_the_first() {
    let gateway = numbering(|_| {}).await;

    let first = send(&gateway, &body_of(RECORD), &[("x-auth-token", TOKEN)]).await;
    let last = known(&gateway, &body_of(RECORD)).await;

    assert_eq!(requests_known(&gateway).await, "1");
    assert_eq!(last.json, first.json);
    assert!(last.header("cache-status").starts_with("screen-record-gateway; hit; ttl="));
    assert_eq!(gateway.upstream_requests(), 1);
}

#[tokio::test]
async fn another_caller_with_the_same_body_gets_its_own_record() {
    let gateway = numbering(|_| {}).await;
    let mine = known(&gateway, &body_of(RECORD)).await;

    let theirs = send(&gateway, &body_of(RECORD), &[("x-auth-token", "another")]).await;
    let nobodys = send(&gateway, &body_of(RECORD), &[]).await;

    assert_ne!(theirs.json, mine.json);
    assert_eq!(nobodys.json["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_body_that_differs_in_one_byte_is_answered_separately() {
    let gateway = numbering(|_| {}).await;
    let one = known(&gateway, &body_of("one")).await;

    let other = send(&gateway, &body_of("two"), &[("x-auth-token", TOKEN)]).await;

    assert_eq!(one.json["data"]["screenRecord"]["id"], "one");
    assert_eq!(other.json["data"]["screenRecord"]["id"], "two");
}

#[tokio::test]
async fn a_repeated_body_respects_cache_control_and_accept() {
    let gateway = numbering(|_| {}).await;
    let kept = known(&gateway, &body_of(RECORD)).await;
    let token = ("x-auth-token", TOKEN);

    let anew = send(&gateway, &body_of(RECORD), &[token, ("cache-control", "no-cache")]).await;
    let accept = ("accept", "application/graphql-response+json");
    let form = send(&gateway, &body_of(RECORD), &[token, accept]).await;
    let refused = send(&gateway, &body_of(RECORD), &[token, ("accept", "image/png")]).await;

    assert_ne!(anew.json, kept.json);
    assert!(form.header("content-type").starts_with("application/graphql-response+json"));
    assert_eq!(refused.status, 406);
}

#[tokio::test]
async fn a_repeated_body_reads_a_stale_record_again() {
    let gateway = numbering(|_| {}).await;
    let before = known(&gateway, &body_of(RECORD)).await;

    gateway.advance(Duration::from_mins(2));
    let after = send(&gateway, &body_of(RECORD), &[("x-auth-token", TOKEN)]).await;

    assert_ne!(after.json, before.json);
}

#[tokio::test]
async fn callers_who_alternate_with_one_body_get_their_own_records() {
    let gateway = numbering(|_| {}).await;
    let body = body_of(RECORD);
    let mut answers = Vec::new();

    for caller in [TOKEN, TOKEN, TOKEN, TOKEN, "another", TOKEN, "another", "another", "another"] {
        answers.push(send(&gateway, &body, &[("x-auth-token", caller)]).await.json.to_string());
    }

    let (mine, theirs) = (&answers[0], &answers[4]);
    assert_ne!(mine, theirs);
    let expected = [mine, mine, mine, mine, theirs, mine, theirs, theirs, theirs];
    assert_eq!(answers.iter().collect::<Vec<_>>(), expected);
    assert_eq!(gateway.upstream_requests(), 2);
}

#[tokio::test]
async fn a_repeated_body_gets_no_purged_record() {
    let gateway = numbering(|_| {}).await;
    let before = known(&gateway, &body_of(RECORD)).await;

    let purge = gateway.http().post(format!("http://{}/purge", gateway.admin));
    let purge = purge.header("content-type", "application/json").body(r#"{"all":true}"#);
    assert_eq!(purge.send().await.unwrap().status(), 200);
    let after = send(&gateway, &body_of(RECORD), &[("x-auth-token", TOKEN)]).await;

    assert_ne!(after.json, before.json);
    assert_eq!(gateway.upstream_requests(), 2);
}

#[tokio::test]
async fn every_repetition_of_a_body_counts_against_the_rate() {
    let gateway = numbering(|config| config.limits.rate = Some(Rate::parse("5/h").unwrap())).await;
    let within = known(&gateway, &body_of(RECORD)).await;

    let last = send(&gateway, &body_of(RECORD), &[("x-auth-token", TOKEN)]).await;
    let over = send(&gateway, &body_of(RECORD), &[("x-auth-token", TOKEN)]).await;

    assert_eq!((within.status, last.status, over.status), (200, 200, 429));
}

#[tokio::test]
async fn a_repeated_body_still_needs_a_key() {
    let sha256 = hex::encode(Sha256::digest("key"));
    let keys = format!("[[key]]\nname = \"one\"\nsha256 = \"{sha256}\"\nprojects = [\"*\"]\n");
    let file = TestFile::of(&keys);
    let gateway =
        numbering(|config| config.inbound.auth = InboundAuth::ApiKey(file.0.clone())).await;
    let key = [("x-api-key", "key"), ("x-auth-token", TOKEN)];
    for _ in 0..TIMES {
        assert_eq!(send(&gateway, &body_of(RECORD), &key).await.status, 200);
    }

    let stranger = send(&gateway, &body_of(RECORD), &[("x-auth-token", TOKEN)]).await;

    assert_eq!(stranger.status, 401);
}

#[tokio::test]
async fn a_repeated_untrusted_document_stays_refused() {
    let file = TestFile::of(&json!({ "id": "{ __typename }" }).to_string());
    let gateway = numbering(|config| {
        config.graphql.documents_file = Some(file.0.clone());
        config.graphql.documents_only = true;
    })
    .await;

    let answer = known(&gateway, &body_of(RECORD)).await;

    let code: &Value = &answer.json["errors"][0]["extensions"]["code"];
    assert_eq!((code, gateway.upstream_requests()), (&json!("QUERY_NOT_IN_SAFELIST"), 0));
}

#[tokio::test]
async fn a_repeated_body_with_an_error_keeps_its_error() {
    let gateway = numbering(|_| {}).await;

    let first = send(&gateway, &body_of("a/b"), &[("x-auth-token", TOKEN)]).await;
    let last = known(&gateway, &body_of("a/b")).await;

    assert_eq!(first.json["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    assert_eq!((&last.json, gateway.upstream_requests()), (&first.json, 0));
}

#[tokio::test]
async fn the_log_names_the_operation_of_every_repetition() {
    keep_log();
    let gateway = numbering(|_| {}).await;

    known(&gateway, &body_of(RECORD)).await;

    let lines = log().lines().filter(|line| line.contains("graphql.operation=\"Shown\"")).count();
    assert_eq!(lines, TIMES);
}
