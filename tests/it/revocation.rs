//! Refused data is dropped from the cache, and loads in progress do not restore it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{Gateway, PROJECT, Reply, ScriptedUpstream, Seen, TOKEN};

fn record(id: &str) -> String {
    format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "{id}") {{ id }} }}"#)
}

fn link(id: &str) -> String {
    format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "{id}") {{ downloadUrl }} }}"#)
}

fn operations(id: &str) -> String {
    format!(
        r#"{{ screenRecord(projectId: "{PROJECT}", id: "{id}") {{ operations {{ totalCount }} }} }}"#
    )
}

fn list() -> String {
    format!(r#"{{ screenRecords(projectId: "{PROJECT}") {{ nodes {{ id }} }} }}"#)
}

/// Answers every call: records by their id, and a list of one.
fn good(seen: &Seen) -> Reply {
    let path = seen.path.split('?').next().unwrap_or_default();
    if path.ends_with("/download-address") {
        let link = json!({ "id": "one", "download_url": "https://video.example/v.mp4" });
        return Reply::json(200, &json!({ "address": [link] }));
    }
    if path.ends_with("/os-operations") {
        return seen.page_of("operations", &[json!({ "id": "o" })]);
    }
    if path.ends_with("/screen-records") {
        return seen.page_of("screen_records", &[json!({ "id": "listed" })]);
    }
    Reply::json(200, &json!({ "id": path.rsplit('/').next(), "status": "UPLOAD_COMPLETED" }))
}

fn is_for(seen: &Seen, id: &str) -> bool {
    seen.path.ends_with(&format!("/screen-records/{id}"))
}

async fn gateway() -> Gateway {
    Gateway::before(ScriptedUpstream::start(good).await).await
}

fn code(answer: &Value) -> &Value {
    &answer["errors"][0]["extensions"]["code"]
}

#[tokio::test]
async fn a_refused_token_gets_none_of_its_cached_records() {
    let gateway = gateway().await;
    let documents = [record("one"), record("two"), link("one"), operations("one"), list()];
    for document in &documents {
        for token in [TOKEN, "another"] {
            assert_eq!(gateway.query_as(token, document).await.get("errors"), None, "{document}");
        }
    }

    gateway.upstream.answer_with(|_| Reply::json(401, &json!({ "error_code": "APIGW.0301" })));
    let refused = gateway.query(&record("three")).await;
    gateway.upstream.answer_with(|_| Reply::json(503, &json!({})));

    assert_eq!(code(&refused), "UNAUTHENTICATED");
    for document in &documents {
        let answer = gateway.query(document).await;
        assert_eq!(code(&answer), "UPSTREAM_UNAVAILABLE", "{document}: {answer}");
        let others = gateway.query_as("another", document).await;
        assert_eq!(others.get("errors"), None, "{document}: {others}");
    }
}

#[tokio::test]
async fn a_token_whose_list_or_link_is_refused_gets_no_record_either() {
    for refusing in [list(), link("two"), operations("two")] {
        let gateway = gateway().await;
        gateway.query(&record("one")).await;
        gateway.query(&record("two")).await;

        gateway.upstream.answer_with(|_| Reply::json(401, &json!({ "error_code": "APIGW.0301" })));
        gateway.query(&refusing).await;
        gateway.upstream.answer_with(|_| Reply::json(503, &json!({})));
        let answer = gateway.query(&record("one")).await;

        assert_eq!(code(&answer), "UPSTREAM_UNAVAILABLE", "after {refusing}");
    }
}

#[tokio::test]
async fn a_denied_record_drops_no_other_record() {
    let gateway = gateway().await;
    gateway.query(&record("one")).await;

    gateway.upstream.answer_with(|_| Reply::json(403, &json!({})));
    gateway.query(&record("two")).await;
    let answer = gateway.query(&record("one")).await;

    assert_eq!(answer.get("errors"), None);
    assert_eq!(gateway.upstream_requests(), 2);
}

/// A gateway whose upstream holds lists back and answers `status` for the record in them.
async fn holding_lists(status: u16) -> (Gateway, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let upstream = ScriptedUpstream::start(move |seen| {
        if is_for(seen, "listed") {
            return Reply::json(status, &json!({ "error_code": "X" }));
        }
        Reply::Held(Arc::clone(&held), Box::new(good(seen)))
    });
    let gateway = Gateway::configured(upstream.await, |config| {
        // The test must not see a cached absence.
        config.cache.ttl_not_found = Duration::ZERO;
    });
    (gateway.await, gate)
}

#[tokio::test]
async fn a_list_in_progress_does_not_restore_a_record_denied_meanwhile() {
    for status in [401, 403, 404] {
        let (gateway, gate) = holding_lists(status).await;
        let list = list();

        let (listed, ()) = tokio::join!(gateway.query(&list), async {
            gateway.upstream.arrived(1).await;
            gateway.query(&record("listed")).await;
            gate.add_permits(1);
        });
        let calls = gateway.upstream_requests();
        let answer = gateway.query(&record("listed")).await;

        assert_eq!(listed.get("errors"), None, "who waited was not answered");
        assert!(answer["errors"].is_array(), "after {status}: {answer}");
        assert_eq!(gateway.upstream_requests(), calls + 1, "after {status}");
    }
}

#[tokio::test]
async fn a_list_in_progress_during_a_refusal_is_not_joined() {
    let (gateway, gate) = holding_lists(403).await;
    let list = list();

    tokio::join!(gateway.query(&list), async {
        gateway.upstream.arrived(1).await;
        gateway.query(&record("listed")).await;
        tokio::join!(gateway.query(&list), async {
            gateway.upstream.arrived(3).await;
            gate.add_permits(1);
        });
    });
    gateway.query(&list).await;

    assert_eq!(gateway.upstream_requests(), 3);
}

#[tokio::test]
async fn stale_data_replaces_no_error_if_the_token_is_refused_meanwhile() {
    let gateway = gateway().await;
    gateway.query(&record("old")).await;
    gateway.query(&list()).await;
    // Neither fresh nor refreshed in the background, but kept to replace an error.
    gateway.advance(Duration::from_mins(3));
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    gateway.upstream.answer_with(move |seen| {
        if is_for(seen, "other") {
            return Reply::json(401, &json!({ "error_code": "APIGW.0301" }));
        }
        Reply::Held(Arc::clone(&held), Box::new(Reply::json(503, &json!({}))))
    });

    let (old_record, old_list) = (record("old"), list());
    let (of_record, of_list, ()) =
        tokio::join!(gateway.query(&old_record), gateway.query(&old_list), async {
            gateway.upstream.arrived(4).await;
            gateway.query(&record("other")).await;
            gate.add_permits(1);
        });

    assert_eq!(code(&of_record), "UPSTREAM_UNAVAILABLE", "{of_record}");
    assert_eq!(code(&of_list), "UPSTREAM_UNAVAILABLE", "{of_list}");
}
