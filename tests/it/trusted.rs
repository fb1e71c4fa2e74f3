//! Trusted documents.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use screen_record_gateway::app::App;
use screen_record_gateway::clock::Clock;
use serde_json::{Value, json};

use crate::support::{Gateway, HttpAnswer, Reply, ScriptedUpstream, config_for};

/// A manifest in its own file, removed at the end.
struct Manifest(PathBuf);

impl Manifest {
    fn of(name: &str, documents: &Value) -> Self {
        let path = std::env::temp_dir().join(format!("{name}-{}.json", std::process::id()));
        fs::write(&path, documents.to_string()).unwrap();
        Self(path)
    }
}

impl Drop for Manifest {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

async fn gateway(manifest: &Manifest, only: bool) -> Gateway {
    let upstream = ScriptedUpstream::start(|_| Reply::json(200, &json!({}))).await;
    Gateway::configured(upstream, |config| {
        config.graphql.documents_file = Some(manifest.0.clone());
        config.graphql.documents_only = only;
    })
    .await
}

async fn send(gateway: &Gateway, body: &Value) -> HttpAnswer {
    let request = gateway.http().post(gateway.url()).body(body.to_string());
    HttpAnswer::of(request.header("content-type", "application/json").send().await.unwrap()).await
}

fn code(answer: &HttpAnswer) -> &Value {
    &answer.json["errors"][0]["extensions"]["code"]
}

#[tokio::test]
async fn a_trusted_document_is_found_by_its_id_under_every_name() {
    let of_apollo = json!({
        "format": "apollo-persisted-query-manifest",
        "version": 1,
        "operations": [{ "id": "abc", "body": "{ __typename }", "name": "A", "type": "query" }],
    });
    for documents in [json!({ "abc": "{ __typename }" }), of_apollo] {
        let manifest = Manifest::of("named", &documents);
        let gateway = gateway(&manifest, false).await;

        for name in ["documentId", "doc_id", "id"] {
            let answer = send(&gateway, &json!({ name: "abc" })).await;

            assert_eq!(answer.json, json!({ "data": { "__typename": "Query" } }), "by {name}");
        }
        let unknown = send(&gateway, &json!({ "documentId": "xyz" })).await;
        assert_eq!(code(&unknown), "PERSISTED_QUERY_NOT_FOUND");
    }
}

#[tokio::test]
async fn what_is_no_manifest_stops_the_start_with_what_is_wrong() {
    for documents in [json!([]), json!({ "abc": 1 }), json!({ "operations": [{ "id": "abc" }] })] {
        let manifest = Manifest::of("wrong", &documents);
        let mut config = config_for("127.0.0.1:1".parse().unwrap());
        config.graphql.documents_file = Some(manifest.0.clone());

        let refusal = App::build(&config, Clock::default()).await.err().unwrap().to_string();

        let start = format!("graphql.documents_file {} cannot be used: ", manifest.0.display());
        assert!(refusal.starts_with(&start), "{refusal}");
        assert!(refusal.contains("it is no manifest, which is {\"ID\": \"DOCUMENT\""), "{refusal}");
    }
}

#[tokio::test]
async fn with_documents_only_every_other_document_is_refused() {
    let manifest = Manifest::of("only", &json!({ "abc": "{ __typename }" }));
    let gateway = gateway(&manifest, true).await;

    let by_id = send(&gateway, &json!({ "documentId": "abc" })).await;
    let by_text = send(&gateway, &json!({ "query": "{ __typename }" })).await;
    let other = send(&gateway, &json!({ "query": "{ x: __typename }" })).await;

    assert_eq!((by_id.status, by_id.json["errors"].is_null()), (200, true));
    assert_eq!((by_text.status, by_text.json["errors"].is_null()), (200, true));
    assert_eq!(code(&other), "QUERY_NOT_IN_SAFELIST");
}

#[tokio::test]
async fn a_changed_manifest_is_read_again_and_a_broken_one_ignored() {
    let manifest = Manifest::of("changing", &json!({ "abc": "{ __typename }" }));
    let gateway = gateway(&manifest, false).await;

    fs::write(&manifest.0, "no manifest").unwrap();
    let during = send(&gateway, &json!({ "documentId": "abc" })).await;
    fs::write(&manifest.0, json!({ "new": "{ x: __typename }" }).to_string()).unwrap();
    let known = async {
        while send(&gateway, &json!({ "documentId": "new" })).await.json["data"].is_null() {
            tokio::task::yield_now().await;
        }
    };

    assert_eq!(during.json["data"]["__typename"], "Query");
    tokio::time::timeout(Duration::from_secs(10), known).await.expect("it was never read again");
}
