//! Answers that are given again as they were written: only while all they were made of is still so.
//!
//! Each rule is held for both ways: lists, whose bytes are kept, and records, whose bytes are written
//! anew from the record.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Gateway, HttpAnswer, PROJECT, RECORD, Reply, ScriptedUpstream, TOKEN};

/// An upstream whose every answer has another number in it, and two fields that are as they were.
async fn numbering() -> Gateway {
    let number = Arc::new(AtomicUsize::new(0));
    let upstream = ScriptedUpstream::start(move |seen| {
        let number = number.fetch_add(1, Ordering::SeqCst);
        let path = seen.path.split('?').next().unwrap_or_default().to_owned();
        let id = path.rsplit('/').next().unwrap_or_default();
        let record = json!({ "id": id, "size": number, "status": "UPLOAD_COMPLETED" });
        if id == "screen-records" {
            let row = json!({ "id": "listed", "size": number, "status": "UPLOAD_COMPLETED" });
            return Reply::json(200, &json!({ "screen_records": [row], "total_count": 1 }));
        }
        Reply::json(200, &record)
    });
    Gateway::before(upstream.await).await
}

fn list_of(project: &str) -> String {
    format!(r#"{{ screenRecords(projectId: "{project}", first: 1) {{ nodes {{ id size }} }} }}"#)
}

fn record_of(id: &str) -> String {
    format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "{id}") {{ id size }} }}"#)
}

async fn send(gateway: &Gateway, token: &str, body: &Value) -> HttpAnswer {
    let request = gateway.http().post(gateway.url()).header("content-type", "application/json");
    let request = request.header("x-auth-token", token).body(body.to_string());
    HttpAnswer::of(request.send().await.unwrap()).await
}

/// How many answers were given again.
async fn given_again(gateway: &Gateway) -> String {
    let page = gateway.admin_get("/metrics").await.1;
    let line = page.lines().find(|line| line.starts_with("gateway_cache_answers_reused_total"));
    line.and_then(|line| line.rsplit(' ').next()).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_cached_list_has_the_same_body_and_current_headers() {
    let gateway = numbering().await;
    let first = gateway.post(&list_of(PROJECT), &[("x-auth-token", TOKEN)]).await;
    gateway.advance(Duration::from_secs(2));

    let headers = [("x-auth-token", TOKEN), ("x-request-id", "second")];
    let again = gateway.post(&list_of(PROJECT), &headers).await;

    assert_eq!(again.json, first.json);
    assert_eq!(given_again(&gateway).await, "1");
    assert_eq!(again.header("x-request-id"), "second");
    assert_eq!(again.header("age"), "2");
    assert_eq!(again.header("cache-control"), "private, max-age=2");
    assert_eq!(again.header("cache-status"), "screen-record-gateway; hit; ttl=2");
    assert_eq!(first.header("cache-control"), "private, max-age=4");
}

#[tokio::test]
async fn a_cached_response_expires_with_its_page() {
    let gateway = numbering().await;
    let first = gateway.query(&list_of(PROJECT)).await;

    gateway.advance(Duration::from_secs(6));
    let later = gateway.query(&list_of(PROJECT)).await;

    assert_ne!(later, first);
    assert_eq!(given_again(&gateway).await, "0");
}

#[tokio::test]
async fn a_purge_between_two_hits_invalidates_the_cached_response() {
    let gateway = numbering().await;
    for document in [list_of(PROJECT), record_of(RECORD)] {
        let first = gateway.query(&document).await;
        assert_eq!(gateway.query(&document).await, first);

        let purge = gateway.http().post(format!("http://{}/purge", gateway.admin));
        let purge = purge.header("content-type", "application/json").body(r#"{"all":true}"#);
        assert_eq!(purge.send().await.unwrap().status(), 200);

        assert_ne!(gateway.query(&document).await, first, "{document}");
    }
}

#[tokio::test]
async fn two_callers_never_get_each_others_cached_response() {
    let gateway = numbering().await;
    for document in [list_of(PROJECT), record_of(RECORD)] {
        let body = json!({ "query": document });
        let mine = send(&gateway, "one", &body).await.json;

        let theirs = send(&gateway, "other", &body).await.json;

        assert_ne!(mine, theirs, "{document}");
        assert_eq!(send(&gateway, "one", &body).await.json, mine);
    }
}

#[tokio::test]
async fn the_same_document_with_other_variables_is_answered_separately() {
    let gateway = numbering().await;
    let of_list = "query($p: ID!, $n: Int) { screenRecords(projectId: $p, first: $n) { nodes { size } totalCount } }";
    let of_record = "query($p: ID!, $r: ID!) { screenRecord(projectId: $p, id: $r) { size } }";

    for (query, one, other) in [
        (of_list, json!({ "p": "a", "n": 1 }), json!({ "p": "b", "n": 1 })),
        (of_record, json!({ "p": "a", "r": "x" }), json!({ "p": "a", "r": "y" })),
        // A nested value takes another way in.
        (of_list, json!({ "p": "c", "n": 1, "x": {} }), json!({ "p": "d", "n": 1, "x": {} })),
    ] {
        let first = send(&gateway, TOKEN, &json!({ "query": query, "variables": one })).await.json;
        let second =
            send(&gateway, TOKEN, &json!({ "query": query, "variables": other })).await.json;

        assert_ne!(first, second, "{query} with {other}");
        assert_eq!(first.get("errors"), None);
    }
}

#[tokio::test]
async fn two_operations_of_one_document_are_answered_separately() {
    let gateway = numbering().await;
    let list = |project: &str, name: &str| format!("query {name} {}", list_of(project));
    let query = format!("{} {}", list("a", "A"), list("b", "B"));
    let named = |name: &str| json!({ "query": query, "operationName": name });

    let first = send(&gateway, TOKEN, &named("A")).await.json;
    let second = send(&gateway, TOKEN, &named("B")).await.json;

    assert_ne!(first, second);
    assert_eq!(send(&gateway, TOKEN, &named("A")).await.json, first);
    let none = send(&gateway, TOKEN, &json!({ "query": query })).await.json;
    assert_eq!(none["errors"][0]["extensions"]["code"], "OPERATION_RESOLUTION_FAILURE");
}

#[tokio::test]
async fn get_post_batch_and_both_media_types_give_the_same_bytes() {
    let gateway = numbering().await;
    let query = list_of(PROJECT);
    let first = gateway.query(&query).await;

    let url = format!("{}?query={}", gateway.url(), percent_encoded(&query));
    let get = gateway.http().get(url).header("x-auth-token", TOKEN).send().await.unwrap();
    let get = HttpAnswer::of(get).await;
    let body = json!([{ "query": query }, { "query": "{ __typename }" }]);
    let batch = send(&gateway, TOKEN, &body).await;
    let media = "application/graphql-response+json";
    let other = gateway.post(&query, &[("x-auth-token", TOKEN), ("accept", media)]).await;

    assert_eq!((&get.json, &other.json), (&first, &first));
    assert_eq!(batch.json, json!([first, { "data": { "__typename": "Query" } }]));
    assert_eq!(other.header("content-type"), format!("{media}; charset=utf-8"));
    assert_eq!(gateway.upstream_requests(), 1);
}

#[tokio::test]
async fn no_cache_and_max_age_read_from_the_upstream() {
    let gateway = numbering().await;
    let first = gateway.query(&list_of(PROJECT)).await;
    gateway.advance(Duration::from_secs(3));

    let ask = |wanted: &'static str| {
        let headers = [("x-auth-token", TOKEN), ("cache-control", wanted)];
        let gateway = &gateway;
        async move { gateway.post(&list_of(PROJECT), &headers).await.json }
    };
    let old_enough = ask("max-age=4").await;
    let too_old = ask("max-age=2").await;
    let anew = ask("no-cache").await;

    assert_eq!(old_enough, first);
    assert_ne!(too_old, first);
    assert_ne!(anew, too_old);
}

#[tokio::test]
async fn a_response_with_an_error_is_not_cached() {
    let upstream = ScriptedUpstream::start(|seen| {
        let rows = [json!({ "id": "r", "size": "no number" })];
        seen.page_of("screen_records", &rows)
    })
    .await;
    let gateway = Gateway::before(upstream).await;

    for _ in 0..2 {
        let answer = gateway.query(&list_of(PROJECT)).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "UPSTREAM_INVALID_RESPONSE");
    }

    assert_eq!(given_again(&gateway).await, "0");
}

#[tokio::test]
async fn a_response_with_a_link_is_not_cached() {
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

    let [first, second] = [gateway.query(&document).await, gateway.query(&document).await];

    assert_eq!(first, second);
    assert_eq!(first.get("errors"), None);
    assert_eq!(given_again(&gateway).await, "0");
}

fn percent_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
