//! Automatic persisted queries.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{Gateway, HttpAnswer};

fn hash(document: &str) -> String {
    hex::encode(Sha256::digest(document.as_bytes()))
}

async fn ask(gateway: &Gateway, query: Option<&str>, hash: &str) -> HttpAnswer {
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
    let mut body = json!({ "extensions": extensions });
    if let Some(query) = query {
        body["query"] = query.into();
    }
    let request = gateway.http().post(gateway.url()).body(body.to_string());
    HttpAnswer::of(request.header("content-type", "application/json").send().await.unwrap()).await
}

fn code(answer: &HttpAnswer) -> &Value {
    &answer.json["errors"][0]["extensions"]["code"]
}

#[tokio::test]
async fn a_document_is_sent_once_and_then_found_by_its_hash() {
    let gateway = Gateway::answering(200, json!({})).await;
    let document = "{ __typename }";

    let unknown = ask(&gateway, None, &hash(document)).await;
    let sent_along = ask(&gateway, Some(document), &hash(document)).await;
    let known = ask(&gateway, None, &hash(document)).await;
    let extensions =
        format!(r#"{{"persistedQuery":{{"version":1,"sha256Hash":"{}"}}}}"#, hash(document));
    let mut url: url::Url = gateway.url().parse().unwrap();
    url.query_pairs_mut().append_pair("extensions", &extensions);
    let by_get = HttpAnswer::of(gateway.http().get(url).send().await.unwrap()).await;

    assert_eq!(code(&unknown), "PERSISTED_QUERY_NOT_FOUND");
    assert_eq!(unknown.json["errors"][0]["message"], "PersistedQueryNotFound");
    for answer in [sent_along, known, by_get] {
        assert_eq!(answer.json, json!({ "data": { "__typename": "Query" } }));
    }
}

#[tokio::test]
async fn a_document_under_another_hash_is_refused_and_not_stored() {
    let gateway = Gateway::answering(200, json!({})).await;
    let wanted = hash("{ __typename }");

    let wrong = ask(&gateway, Some("{ other: __typename }"), &wanted).await;
    let afterwards = ask(&gateway, None, &wanted).await;

    assert_eq!(code(&wrong), "BAD_REQUEST");
    assert_eq!(code(&afterwards), "PERSISTED_QUERY_NOT_FOUND");
}

#[tokio::test]
async fn an_invalid_document_is_not_stored() {
    let gateway = Gateway::answering(200, json!({})).await;
    let document = "{ nothing }";

    ask(&gateway, Some(document), &hash(document)).await;
    let afterwards = ask(&gateway, None, &hash(document)).await;

    assert_eq!(code(&afterwards), "PERSISTED_QUERY_NOT_FOUND");
}

#[tokio::test]
async fn a_malformed_hash_is_refused() {
    let gateway = Gateway::answering(200, json!({})).await;

    let answer = ask(&gateway, None, "abc").await;

    assert_eq!((answer.status, code(&answer)), (400, &json!("BAD_REQUEST")));
}
