//! A request that comes again is answered from the response cache, and every rule holds for it as for the
//! first: rights, freshness, rates, headers and the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use screen_record_gateway::config::{Config, InboundAuth, Rate};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{
    Gateway, HttpAnswer, PROJECT, RECORD, Reply, ScriptedUpstream, TOKEN, TestFile, keep_log, log,
};

const MY_TOKEN: (&str, &str) = ("x-auth-token", TOKEN);

/// An upstream whose every answer has another number in it.
async fn numbering(adjust: impl FnOnce(&mut Config)) -> Gateway {
    let number = Arc::new(AtomicUsize::new(0));
    let upstream = ScriptedUpstream::start(move |seen| {
        let number = number.fetch_add(1, Ordering::SeqCst);
        let path = seen.path.split('?').next().unwrap_or_default().to_owned();
        let id = path.rsplit('/').next().unwrap_or_default();
        if id == "screen-records" {
            let row = json!({ "id": "listed", "size": number, "status": "UPLOAD_COMPLETED" });
            return Reply::json(200, &json!({ "screen_records": [row], "total_count": 1 }));
        }
        Reply::json(200, &json!({ "id": id, "size": number, "status": "UPLOAD_COMPLETED" }))
    });
    Gateway::configured(upstream.await, adjust).await
}

fn list_of(project: &str) -> String {
    format!(r#"{{ screenRecords(projectId: "{project}", first: 1) {{ nodes {{ id size }} }} }}"#)
}

fn record_of(id: &str) -> String {
    format!(r#"query Shown {{ screenRecord(projectId: "{PROJECT}", id: "{id}") {{ id size }} }}"#)
}

async fn send(gateway: &Gateway, body: &Value, headers: &[(&str, &str)]) -> HttpAnswer {
    let request = gateway.http().post(gateway.url()).header("content-type", "application/json");
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    HttpAnswer::of(request.body(body.to_string()).send().await.unwrap()).await
}

async fn get(gateway: &Gateway, query: &str) -> HttpAnswer {
    let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let url = format!("{}?query={query}", gateway.url());
    let (name, value) = MY_TOKEN;
    HttpAnswer::of(gateway.http().get(url).header(name, value).send().await.unwrap()).await
}

/// Sends a document three times: the first answer comes from the upstream, the second from cached data,
/// and the third from the response cache.
async fn until_cached(gateway: &Gateway, document: &str) -> HttpAnswer {
    let body = json!({ "query": document });
    let first = send(gateway, &body, &[MY_TOKEN]).await;
    let second = send(gateway, &body, &[MY_TOKEN]).await;
    let third = send(gateway, &body, &[MY_TOKEN]).await;
    assert_eq!([&second.json, &third.json], [&first.json; 2], "{document}");
    third
}

async fn purge_all(gateway: &Gateway) {
    let purge = gateway.http().post(format!("http://{}/purge", gateway.admin));
    let purge = purge.header("content-type", "application/json").body(r#"{"all":true}"#);
    assert_eq!(purge.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_request_that_comes_again_gets_the_same_bytes_with_headers_of_its_own() {
    let gateway = numbering(|_| {}).await;
    for (document, max_age) in [(list_of(PROJECT), "2"), (record_of(RECORD), "57")] {
        let body = json!({ "query": document });
        let first = until_cached(&gateway, &document).await;
        gateway.advance(Duration::from_secs(2));

        let again = send(&gateway, &body, &[MY_TOKEN, ("x-request-id", "second")]).await;

        assert_eq!(again.json, first.json);
        assert_eq!(again.header("x-request-id"), "second");
        assert_eq!(again.header("age"), "2");
        assert_eq!(again.header("cache-control"), format!("private, max-age={max_age}"));
        let status = format!("screen-record-gateway; hit; ttl={max_age}");
        assert_eq!(again.header("cache-status"), status);
        gateway.until_metric("gateway_http_graphql_operations_total{outcome=\"failed\"} 0").await;
    }
    gateway.until_metric("gateway_cache_answers_reused_total 4").await;
    gateway.until_metric("gateway_cache_reads_total{outcome=\"hit\"} 6").await;
    gateway.until_metric("gateway_http_graphql_operations_total{outcome=\"ok\"} 8").await;
    assert_eq!(gateway.upstream_requests(), 2);
}

#[tokio::test]
async fn a_response_ends_with_the_freshness_of_its_record_or_page() {
    let gateway = numbering(|_| {}).await;
    for document in [list_of(PROJECT), record_of(RECORD)] {
        let before = until_cached(&gateway, &document).await;

        gateway.advance(Duration::from_mins(2));

        assert_ne!(gateway.query(&document).await, before.json, "{document}");
    }
}

#[tokio::test]
async fn a_purge_ends_the_responses() {
    let gateway = numbering(|_| {}).await;
    for document in [list_of(PROJECT), record_of(RECORD)] {
        let before = until_cached(&gateway, &document).await;

        purge_all(&gateway).await;

        assert_ne!(gateway.query(&document).await, before.json, "{document}");
    }
}

#[tokio::test]
async fn callers_who_send_the_same_body_in_turns_get_each_their_own() {
    let gateway = numbering(|_| {}).await;
    for document in [list_of(PROJECT), record_of(RECORD)] {
        let body = json!({ "query": document });
        let as_caller = async |token| send(&gateway, &body, &[("x-auth-token", token)]).await.json;
        let mine = until_cached(&gateway, &document).await.json;

        let theirs = as_caller("another").await;
        let without = send(&gateway, &body, &[]).await.json;

        assert_ne!(theirs, mine, "{document}");
        for _ in 0..2 {
            assert_eq!(as_caller("another").await, theirs);
            assert_eq!(as_caller(TOKEN).await, mine);
        }
        assert_eq!(without["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn a_caller_without_a_key_gets_no_response_of_another() {
    let sha256 = hex::encode(Sha256::digest("key"));
    let keys = format!("[[key]]\nname = \"one\"\nsha256 = \"{sha256}\"\nprojects = [\"*\"]\n");
    let file = TestFile::of(&keys);
    let gateway =
        numbering(|config| config.inbound.auth = InboundAuth::ApiKey(file.0.clone())).await;
    let body = json!({ "query": record_of(RECORD) });
    for _ in 0..3 {
        assert_eq!(send(&gateway, &body, &[MY_TOKEN, ("x-api-key", "key")]).await.status, 200);
    }

    let stranger = send(&gateway, &body, &[MY_TOKEN]).await;

    assert_eq!(stranger.status, 401);
}

#[tokio::test]
async fn another_document_variable_or_operation_is_another_request() {
    let gateway = numbering(|_| {}).await;
    let of_list = "query($p: ID!, $n: Int) { screenRecords(projectId: $p, first: $n) { nodes { size } totalCount } }";
    let of_record = "query($p: ID!, $r: ID!) { screenRecord(projectId: $p, id: $r) { size } }";
    let list = |project: &str, name: &str| format!("query {name} {}", list_of(project));
    let two = format!("{} {}", list("a", "A"), list("b", "B"));

    for (one, other) in [
        (json!({ "query": record_of("one") }), json!({ "query": record_of("two") })),
        (
            json!({ "query": of_list, "variables": { "p": "a", "n": 1 } }),
            json!({ "query": of_list, "variables": { "p": "b", "n": 1 } }),
        ),
        (
            json!({ "query": of_record, "variables": { "p": "a", "r": "x" } }),
            json!({ "query": of_record, "variables": { "p": "a", "r": "y" } }),
        ),
        (
            json!({ "query": two, "operationName": "A" }),
            json!({ "query": two, "operationName": "B" }),
        ),
    ] {
        let first = send(&gateway, &one, &[MY_TOKEN]).await.json;
        let second = send(&gateway, &other, &[MY_TOKEN]).await.json;

        assert_ne!(first, second, "{other}");
        assert_eq!(first.get("errors"), None);
        for _ in 0..2 {
            assert_eq!(send(&gateway, &one, &[MY_TOKEN]).await.json, first);
            assert_eq!(send(&gateway, &other, &[MY_TOKEN]).await.json, second);
        }
    }
    let none = send(&gateway, &json!({ "query": two }), &[MY_TOKEN]).await.json;
    assert_eq!(none["errors"][0]["extensions"]["code"], "OPERATION_RESOLUTION_FAILURE");
}

#[tokio::test]
async fn get_post_batch_and_both_media_types_give_the_same_answer() {
    let gateway = numbering(|_| {}).await;
    let query = list_of(PROJECT);
    let first = until_cached(&gateway, &query).await.json;

    let by_get = [get(&gateway, &query).await, get(&gateway, &query).await];
    let body = json!([{ "query": query }, { "query": "{ __typename }" }]);
    let batch = send(&gateway, &body, &[MY_TOKEN]).await;
    let media = "application/graphql-response+json";
    let other = gateway.post(&query, &[MY_TOKEN, ("accept", media)]).await;
    let refused = gateway.post(&query, &[MY_TOKEN, ("accept", "image/png")]).await;

    assert_eq!([&by_get[0].json, &by_get[1].json, &other.json], [&first; 3]);
    assert_eq!(by_get[0].header("etag"), by_get[1].header("etag"));
    assert_eq!(batch.json, json!([first, { "data": { "__typename": "Query" } }]));
    assert_eq!(other.header("content-type"), format!("{media}; charset=utf-8"));
    assert_eq!(refused.status, 406);
    assert_eq!(gateway.upstream_requests(), 1);
}

#[tokio::test]
async fn a_request_may_demand_a_newer_answer() {
    let gateway = numbering(|_| {}).await;
    for document in [list_of(PROJECT), record_of(RECORD)] {
        let first = until_cached(&gateway, &document).await.json;
        gateway.advance(Duration::from_secs(3));

        let with = async |directive| {
            gateway.post(&document, &[MY_TOKEN, ("cache-control", directive)]).await.json
        };

        assert_eq!(with("max-age=4").await, first);
        let anew = with("max-age=2").await;
        assert_ne!(anew, first);
        assert_ne!(with("no-cache").await, anew);
    }
}

#[tokio::test]
async fn each_request_counts_against_the_rate() {
    let gateway = numbering(|config| config.limits.rate = Some(Rate::parse("4/h").unwrap())).await;
    until_cached(&gateway, &record_of(RECORD)).await;
    let body = json!({ "query": record_of(RECORD) });

    let within = send(&gateway, &body, &[MY_TOKEN]).await;
    let over = send(&gateway, &body, &[MY_TOKEN]).await;

    assert_eq!((within.status, over.status), (200, 429));
}

#[tokio::test]
async fn an_operation_that_is_refused_is_refused_again() {
    let file = TestFile::of(&json!({ "id": "{ __typename }" }).to_string());
    let only_trusted = numbering(|config| {
        config.graphql.documents_file = Some(file.0.clone());
        config.graphql.documents_only = true;
    })
    .await;
    let gateway = numbering(|_| {}).await;

    for (gateway, id, code) in
        [(&only_trusted, RECORD, "QUERY_NOT_IN_SAFELIST"), (&gateway, "a/b", "BAD_USER_INPUT")]
    {
        let answer = until_cached(gateway, &record_of(id)).await.json;

        assert_eq!(answer["errors"][0]["extensions"]["code"], code);
        assert_eq!(gateway.upstream_requests(), 0);
    }
}

#[tokio::test]
async fn a_document_that_comes_with_its_hash_is_persisted_each_time() {
    let gateway = numbering(|_| {}).await;
    let document = record_of(RECORD);
    let hash = hex::encode(Sha256::digest(&document));
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
    let by_hash = json!({ "extensions": extensions });

    let unknown = send(&gateway, &by_hash, &[MY_TOKEN]).await.json;
    let with_text = json!({ "query": document, "extensions": extensions });
    let first = send(&gateway, &with_text, &[MY_TOKEN]).await.json;

    assert_eq!(unknown["errors"][0]["extensions"]["code"], "PERSISTED_QUERY_NOT_FOUND");
    assert_eq!(first.get("errors"), None);
    for body in [&by_hash, &by_hash, &with_text, &by_hash, &with_text] {
        assert_eq!(send(&gateway, body, &[MY_TOKEN]).await.json, first);
    }
}

#[tokio::test]
async fn a_response_with_an_error_is_made_anew() {
    let upstream = ScriptedUpstream::start(|seen| {
        let rows = [json!({ "id": "r", "size": "no number" })];
        seen.page_of("screen_records", &rows)
    })
    .await;
    let gateway = Gateway::before(upstream).await;

    let answer = until_cached(&gateway, &list_of(PROJECT)).await;

    assert_eq!(answer.json["errors"][0]["extensions"]["code"], "UPSTREAM_INVALID_RESPONSE");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_response_with_a_link_is_made_anew() {
    let upstream = ScriptedUpstream::start(|seen| {
        if seen.path.ends_with("download-address") {
            let link =
                json!({ "id": "r", "download_url": "https://obs.example/video?signature=s" });
            return Reply::json(200, &json!({ "address": [link] }));
        }
        seen.page_of("screen_records", &[json!({ "id": "r" })])
    })
    .await;
    let gateway = Gateway::before(upstream).await;
    let document = format!(
        r#"{{ screenRecords(projectId: "{PROJECT}", first: 1) {{ nodes {{ downloadUrl }} }} }}"#
    );

    let answer = until_cached(&gateway, &document).await;

    assert_eq!(answer.json.get("errors"), None);
    gateway.until_metric("gateway_cache_answers_reused_total 0").await;
}

#[tokio::test]
async fn the_log_names_the_operation_each_time() {
    keep_log();
    let gateway = numbering(|_| {}).await;
    let body = json!({ "query": record_of(RECORD), "operationName": "Shown" });

    for _ in 0..4 {
        send(&gateway, &body, &[MY_TOKEN]).await;
    }

    let lines = log().lines().filter(|line| line.contains("graphql.operation=\"Shown\"")).count();
    assert_eq!(lines, 4);
}
