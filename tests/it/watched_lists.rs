//! Watching a list of recordings.

use std::time::{Duration, Instant};

use screen_record_gateway::config::{Config, InboundAuth};
use serde_json::{Value, json};

use crate::grants::{key, own_credentials};
use crate::subscription::Events;
use crate::support::{Gateway, PROJECT, Reply, ScriptedUpstream, Seen, Socket, TOKEN, TestFile};

/// A row of the upstream's list.
fn row(id: &str, status: &str) -> Value {
    json!({ "id": id, "status": status, "username": "alice" })
}

fn listing(rows: Vec<Value>) -> impl Fn(&Seen) -> Reply + Send + Sync + 'static {
    move |seen| seen.page_of("screen_records", &rows)
}

async fn configured(rows: Vec<Value>, adjust: impl FnOnce(&mut Config)) -> Gateway {
    Gateway::configured(ScriptedUpstream::start(listing(rows)).await, |config| {
        config.subscriptions.poll_interval = Duration::from_millis(10);
        adjust(config);
    })
    .await
}

async fn gateway(rows: Vec<Value>) -> Gateway {
    configured(rows, |_| {}).await
}

fn document(filter: &str) -> String {
    let arguments = format!(r#"projectId: "{PROJECT}", filter: {{ {filter} }}"#);
    format!("subscription {{ screenRecords({arguments}) {{ kind id record {{ rawStatus }} }} }}")
}

async fn watch(gateway: &Gateway, filter: &str) -> Events {
    Events::of(gateway, ("x-auth-token", TOKEN), &document(filter)).await
}

/// The next change as `KIND id status`.
async fn change(events: &mut Events) -> String {
    let answer = events.answer().await;
    let change = &answer["data"]["screenRecords"];
    let text = |value: &Value| value.as_str().unwrap_or("null").to_owned();
    let status = text(&change["record"]["rawStatus"]);
    assert_eq!(answer["errors"], Value::Null);
    format!("{} {} {status}", text(&change["kind"]), text(&change["id"]))
}

#[tokio::test]
async fn a_watched_list_begins_with_each_row_and_then_has_each_change() {
    let gateway = gateway(vec![row("B", "RECORDING"), row("a-1", "UPLOADING")]).await;
    let mut events = watch(&gateway, "").await;

    let begun = [change(&mut events).await, change(&mut events).await];
    let rows = vec![row("c", "RECORDING"), row("b", "UPLOADING"), row("A1", "UPLOADING")];
    gateway.upstream.answer_with(listing(rows));
    let first = [change(&mut events).await, change(&mut events).await, change(&mut events).await];
    gateway.upstream.answer_with(listing(vec![row("b", "UPLOADING"), row("A1", "UPLOADING")]));
    let last = change(&mut events).await;

    assert_eq!(begun, ["ADDED B RECORDING", "ADDED a-1 UPLOADING"]);
    assert_eq!(first, ["ADDED c RECORDING", "CHANGED b UPLOADING", "CHANGED A1 UPLOADING"]);
    assert_eq!(last, "REMOVED c null");
}

#[tokio::test]
async fn a_row_that_leaves_the_filter_is_removed_and_one_that_enters_it_is_added() {
    let gateway = gateway(vec![row("a", "RECORDING"), row("b", "REC_COMPLETED")]).await;
    let mut events = watch(&gateway, "statuses: [RECORDING, UPLOADING]").await;
    let begun = change(&mut events).await;

    gateway.upstream.answer_with(listing(vec![row("a", "REC_FAILED"), row("b", "UPLOADING")]));
    let changes = [change(&mut events).await, change(&mut events).await];

    assert_eq!(begun, "ADDED a RECORDING");
    assert_eq!(changes, ["REMOVED a null", "ADDED b UPLOADING"]);
}

#[tokio::test]
async fn all_watchers_of_a_list_share_one_poller_which_ends_with_the_last() {
    let gateway = gateway(vec![row("a", "RECORDING")]).await;
    let mut watchers = Vec::new();
    for filter in ["", "", "statuses: [RECORDING, UPLOADING]", "minDuration: 0"] {
        let mut events = watch(&gateway, filter).await;
        if filter != "minDuration: 0" {
            assert_eq!(change(&mut events).await, "ADDED a RECORDING");
        }
        watchers.push(events);
    }
    gateway.until_metric("gateway_cache_pollers 1").await;
    let other = Events::of(&gateway, ("x-auth-token", "another"), &document("")).await;
    gateway.until_metric("gateway_cache_pollers 2").await;

    drop((watchers, other));

    gateway.until_metric("gateway_cache_pollers 0").await;
}

#[tokio::test]
async fn each_watcher_sees_the_rows_of_its_own_grant() {
    let of = |id: &str, username: &str| json!({ "id": id, "username": username });
    let keys = [("everything", ""), ("alice", "usernames = [\"alice\", \"bob\"]")];
    let file = TestFile::of(&keys.map(|(name, rights)| key(name, rights)).concat());
    let gateway = configured(vec![of("a", "alice"), of("c", "carol")], |config| {
        own_credentials(config);
        config.inbound.auth = InboundAuth::ApiKey(file.0.clone());
    })
    .await;
    let mut all = Events::of(&gateway, ("x-api-key", "everything"), &document("")).await;
    let mut own = Events::of(&gateway, ("x-api-key", "alice"), &document("")).await;
    let begun = [change(&mut all).await, change(&mut all).await, change(&mut own).await];

    gateway.until_metric("gateway_cache_pollers 1").await;
    gateway.upstream.answer_with(listing(vec![of("a", "carol"), of("c", "bob")]));

    let mut changes = [change(&mut own).await, change(&mut own).await];
    changes.sort();
    assert_eq!(begun, ["ADDED a null", "ADDED c null", "ADDED a null"]);
    assert_eq!(changes, ["ADDED c null", "REMOVED a null"]);
    assert_eq!(change(&mut all).await, "CHANGED a null");
}

#[tokio::test]
async fn a_selection_that_nothing_can_match_is_watched_without_a_call() {
    let gateway = gateway(vec![row("a", "RECORDING")]).await;
    let mut none = watch(&gateway, "statuses: []").await;

    // The other stream shows that the first one would have had an answer by now.
    let mut some = watch(&gateway, "").await;
    change(&mut some).await;
    gateway.until_metric("gateway_cache_pollers 1").await;

    assert!(none.is_silent().await);
}

#[tokio::test]
async fn a_watched_list_survives_throttling_and_waits_as_long_as_the_upstream_asks() {
    let gateway = configured(vec![row("a", "RECORDING")], |config| {
        config.upstream.max_attempts = std::num::NonZeroU32::MIN;
    })
    .await;
    let mut events = watch(&gateway, "").await;
    change(&mut events).await;
    gateway.upstream.answer_with(|_| Reply::bytes(429, &[("retry-after", "1")], "{}"));
    gateway.upstream.arrived(gateway.upstream_requests() + 1).await;
    let throttled = Instant::now();
    gateway.upstream.answer_with(listing(vec![row("a", "UPLOADING")]));

    let next = change(&mut events).await;

    assert_eq!(next, "CHANGED a UPLOADING");
    // A pause is shorter by up to a tenth.
    assert!(throttled.elapsed() >= Duration::from_millis(800), "{:?}", throttled.elapsed());
}

#[tokio::test]
async fn a_revoked_right_ends_a_watched_list_with_its_error() {
    let gateway = gateway(vec![row("a", "RECORDING")]).await;
    let mut events = watch(&gateway, "").await;
    change(&mut events).await;
    gateway.upstream.answer_with(|_| Reply::json(403, &json!({})));

    let last = events.answer().await;
    let end = events.next().await;

    assert_eq!(last["data"], Value::Null);
    assert_eq!(last["errors"][0]["path"], json!(["screenRecords"]));
    assert_eq!(last["errors"][0]["extensions"]["code"], "FORBIDDEN");
    assert_eq!(end, Some(("complete".to_owned(), Value::Null)));
}

#[tokio::test]
async fn a_list_that_is_too_long_to_be_watched_is_an_error_that_names_the_limit() {
    let rows = |count: usize| (0..count).map(|n| row(&n.to_string(), "RECORDING")).collect();
    let gateway = configured(rows(120), |config| config.limits.max_scanned_rows = 120).await;
    let mut growing = watch(&gateway, "").await;
    for _ in 0..120 {
        change(&mut growing).await;
    }
    gateway.upstream.answer_with(listing(rows(121)));

    let grown = growing.answer().await;
    let mut begun = watch(&gateway, "username: \"alice\"").await;

    for answer in [grown, begun.answer().await] {
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT");
        assert!(error["message"].as_str().unwrap().contains("limits.max_scanned_rows"), "{error}");
    }
    assert_eq!(begun.next().await, Some(("complete".to_owned(), Value::Null)));
}

#[tokio::test]
async fn rows_that_shift_while_a_list_is_read_are_not_removed() {
    let rows: Vec<Value> = (0..150).map(|n| row(&n.to_string(), "RECORDING")).collect();
    let gateway = gateway(rows.clone()).await;
    let mut events = watch(&gateway, "").await;
    for number in 0..150 {
        assert_eq!(change(&mut events).await, format!("ADDED {number} RECORDING"));
    }

    // Row 10 vanishes before the second page is read, so row 100 is on neither page.
    let before = rows.clone();
    let without = |rows: &[Value]| [&rows[..10], &rows[11..]].concat();
    let after = without(&rows);
    gateway.upstream.answer_with(move |seen| {
        let shown = if seen.parameter("offset").as_deref() == Some("0") { &before } else { &after };
        seen.page_of("screen_records", shown)
    });
    gateway.upstream.arrived(gateway.upstream_requests() + 6).await;
    gateway.upstream.answer_with(listing(without(&rows)));

    assert_eq!(change(&mut events).await, "REMOVED 10 null");
}

#[tokio::test]
async fn a_caller_may_watch_twenty_lists() {
    let gateway = gateway(vec![row("a", "RECORDING")]).await;
    let payload = json!({ "X-Auth-Token": TOKEN });
    let (mut socket, _) = Socket::showing(&gateway, payload).await;
    for number in 0..20 {
        socket.subscribe(&number.to_string(), &document(&format!("username: \"u{number}\""))).await;
        let said = socket.hear().await;
        assert_eq!(said.json()["payload"]["data"]["screenRecords"]["kind"], "ADDED", "{said:?}");
    }

    let mut refused = watch(&gateway, "username: \"one more\"").await;
    let answer = refused.answer().await;

    assert_eq!(answer["errors"][0]["extensions"]["code"], "RATE_LIMITED", "{answer}");
}
