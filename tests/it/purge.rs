//! Purges: cached data is dropped for all callers, and loads in progress do not restore it.

use serde_json::{Value, json};

use crate::support::{
    Gateway, HttpAnswer, PROJECT, RECORD, Reply, ScriptedUpstream, screen_record,
};

async fn echoing() -> Gateway {
    let upstream = ScriptedUpstream::start(|seen| {
        if seen.path.contains("limit=") {
            return seen.page_of("screen_records", &[json!({ "id": "listed" })]);
        }
        Reply::json(200, &json!({ "id": seen.path.rsplit('/').next() }))
    })
    .await;
    Gateway::before(upstream).await
}

async fn purge(gateway: &Gateway, body: &Value) -> HttpAnswer {
    let address = format!("http://{}/purge", gateway.admin);
    let request = gateway.http().post(address).header("content-type", "application/json");
    HttpAnswer::of(request.body(body.to_string()).send().await.unwrap()).await
}

fn other_record() -> String {
    format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "other") {{ id }} }}"#)
}

#[tokio::test]
async fn a_purged_record_is_read_again_for_every_caller_and_others_are_not() {
    let gateway = echoing().await;
    gateway.query(&screen_record("id")).await;
    gateway.query_as("another-token", &screen_record("id")).await;
    gateway.query(&other_record()).await;

    // In another form of the same id.
    let id = RECORD.replace('-', "").to_uppercase();
    let purged = purge(&gateway, &json!({ "projectId": PROJECT, "id": id })).await;
    gateway.query(&screen_record("id")).await;
    gateway.query_as("another-token", &screen_record("id")).await;
    gateway.query(&other_record()).await;

    assert_eq!((purged.status, &purged.json["purged"]), (200, &json!("record")));
    assert_eq!(gateway.upstream_requests(), 5);
}

#[tokio::test]
async fn a_purge_of_a_project_or_of_all_drops_its_lists() {
    let list =
        format!(r#"{{ screenRecords(projectId: "{PROJECT}") {{ totalCount nodes {{ id }} }} }}"#);
    for (body, scope) in
        [(json!({ "projectId": PROJECT }), "project"), (json!({ "all": true }), "all")]
    {
        let gateway = echoing().await;
        gateway.query(&list).await;
        gateway.query(&screen_record("id")).await;

        let purged = purge(&gateway, &body).await;
        gateway.query(&list).await;
        gateway.query(&screen_record("id")).await;

        assert_eq!(purged.json["purged"], scope);
        assert_eq!(gateway.upstream_requests(), 4, "{scope}");
        let line = format!(r#"gateway_cache_purges_total{{scope="{scope}"}} 1"#);
        gateway.until_metric(&line).await;
    }
}

#[tokio::test]
async fn a_purge_of_one_project_keeps_the_records_of_others() {
    let gateway = echoing().await;
    gateway.query(&screen_record("id")).await;

    purge(&gateway, &json!({ "projectId": "another-project" })).await;
    gateway.query(&screen_record("id")).await;

    assert_eq!(gateway.upstream_requests(), 1);
}

#[tokio::test]
async fn a_load_in_progress_does_not_restore_a_purged_record() {
    let gateway = echoing().await;
    gateway.upstream.hold();
    let document = screen_record("id");

    let after_the_purge = async {
        gateway.upstream.arrived(1).await;
        purge(&gateway, &json!({ "all": true })).await;
        // This one must not get the answer of the load that was in progress.
        let (answer, ()) = tokio::join!(gateway.query(&document), async {
            gateway.upstream.arrived(2).await;
            gateway.upstream.release();
        });
        answer
    };
    let (before, after) = tokio::join!(gateway.query(&document), after_the_purge);

    assert_eq!(before["data"]["screenRecord"]["id"], RECORD, "who waited was not answered");
    assert_eq!(after["data"]["screenRecord"]["id"], RECORD);
    assert_eq!(gateway.upstream_requests(), 2);
}

#[tokio::test]
async fn loads_in_progress_during_a_purge_are_not_cached() {
    let gateway = echoing().await;
    gateway.upstream.hold();
    let document = screen_record("id");

    tokio::join!(gateway.query(&document), async {
        gateway.upstream.arrived(1).await;
        purge(&gateway, &json!({ "projectId": PROJECT, "id": RECORD })).await;
        gateway.upstream.release();
    });
    gateway.query(&document).await;

    assert_eq!(gateway.upstream_requests(), 2);
}

#[tokio::test]
async fn a_list_in_progress_during_a_purge_is_not_cached() {
    let gateway = echoing().await;
    gateway.upstream.hold();
    let list = format!(r#"{{ screenRecords(projectId: "{PROJECT}") {{ nodes {{ id }} }} }}"#);
    let listed = format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "listed") {{ id }} }}"#);

    tokio::join!(gateway.query(&list), async {
        gateway.upstream.arrived(1).await;
        purge(&gateway, &json!({ "projectId": PROJECT, "id": "listed" })).await;
        gateway.upstream.release();
    });
    gateway.query(&listed).await;
    gateway.query(&list).await;

    assert_eq!(gateway.upstream_requests(), 3);
}

#[tokio::test]
async fn links_in_progress_during_a_purge_are_not_cached() {
    let upstream = ScriptedUpstream::start(|seen| {
        if seen.path.ends_with("/download-address") {
            let link = json!({ "id": RECORD, "download_url": "https://obs.example/v.mp4" });
            return Reply::json(200, &json!({ "address": [link] }));
        }
        Reply::json(200, &json!({ "id": RECORD }))
    })
    .await;
    let gateway = Gateway::before(upstream).await;
    gateway.query(&screen_record("id")).await;
    gateway.upstream.hold();
    let document = screen_record("downloadUrl");

    tokio::join!(gateway.query(&document), async {
        gateway.upstream.arrived(2).await;
        purge(&gateway, &json!({ "all": true })).await;
        gateway.upstream.release();
    });
    gateway.query(&document).await;

    let calls = gateway.upstream.seen();
    let calls = calls.iter().filter(|seen| seen.path.ends_with("/download-address"));
    assert_eq!(calls.count(), 2);
}

#[tokio::test]
async fn a_purge_that_names_nothing_or_too_much_is_refused() {
    let gateway = echoing().await;
    for body in [
        json!({}),
        json!({ "id": RECORD }),
        json!({ "all": false }),
        json!({ "all": true, "projectId": PROJECT }),
        json!({ "projectId": "a/b" }),
        json!({ "project": PROJECT }),
        json!([]),
    ] {
        let refused = purge(&gateway, &body).await;

        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.json["error"].is_string(), "{body}: {}", refused.json);
    }
}

#[tokio::test]
async fn a_page_of_another_site_cannot_purge() {
    let gateway = echoing().await;
    let address = format!("http://{}/purge", gateway.admin);

    let sent = gateway.http().post(address).header("content-type", "text/plain");
    let refused = HttpAnswer::of(sent.body(r#"{"all":true}"#).send().await.unwrap()).await;

    assert_eq!(refused.status, 415);
}
