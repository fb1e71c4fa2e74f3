//! Watching a recording.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Gateway, HttpAnswer, Reply, ScriptedUpstream, Seen, TOKEN, keep_log, log, screen_record,
};

/// A stream of server-sent events.
pub(crate) struct Events {
    response: reqwest::Response,
    unread: String,
}

impl Events {
    async fn watching(gateway: &Gateway, token: &str) -> Self {
        Self::selecting(gateway, token, "rawStatus").await
    }

    async fn selecting(gateway: &Gateway, token: &str, fields: &str) -> Self {
        let document = format!("subscription {}", screen_record(fields));
        Self::of(gateway, ("x-auth-token", token), &document).await
    }

    /// The events of an operation, for a caller.
    pub(crate) async fn of(gateway: &Gateway, caller: (&str, &str), document: &str) -> Self {
        let request = gateway
            .http()
            .post(gateway.url())
            .header("content-type", "application/json")
            .header("accept", "text/event-stream")
            .header(caller.0, caller.1)
            .body(json!({ "query": document }).to_string());
        Self { response: request.send().await.unwrap(), unread: String::new() }
    }

    /// Name and data of the next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(end) = self.unread.find("\n\n") {
                let event: String = self.unread.drain(..end + 2).collect();
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .unwrap_or_default()
                        .trim()
                };
                let data = serde_json::from_str(field("data:")).unwrap_or_default();
                return Some((field("event:").to_owned(), data));
            }
            let chunk = self.response.chunk().await.ok()??;
            self.unread += std::str::from_utf8(&chunk).unwrap();
        }
    }

    /// Whether the stream is open and no event has arrived.
    pub(crate) async fn is_silent(&mut self) -> bool {
        futures_util::future::poll_immediate(self.next()).await.is_none()
    }

    /// The answer that comes next.
    pub(crate) async fn answer(&mut self) -> Value {
        self.next().await.unwrap().1
    }

    /// The status that comes next.
    async fn status(&mut self) -> String {
        self.answer().await["data"]["screenRecord"]["rawStatus"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

async fn upstream_in(status: &'static str) -> ScriptedUpstream {
    ScriptedUpstream::start(move |_| Reply::json(200, &json!({ "status": status }))).await
}

async fn polling(upstream: ScriptedUpstream) -> Gateway {
    Gateway::configured(upstream, |config| {
        config.subscriptions.poll_interval = Duration::from_millis(10);
    })
    .await
}

#[tokio::test]
async fn event_streams_are_limited_for_each_caller_separately() {
    let gateway = Gateway::configured(upstream_in("RECORDING").await, |config| {
        config.subscriptions.max_connections_per_caller = 1;
    })
    .await;
    let mut open = Events::watching(&gateway, TOKEN).await;
    open.status().await;

    let refused = HttpAnswer::of(Events::watching(&gateway, TOKEN).await.response).await;
    let other = Events::watching(&gateway, "another-token").await;

    assert_eq!((refused.status, other.response.status().as_u16()), (429, 200));
    let error = &refused.json["errors"][0];
    assert_eq!(error["extensions"], json!({ "code": "RATE_LIMITED", "retryable": true }));
    assert!(error["message"].as_str().unwrap().contains("max_connections_per_caller"));
}

#[tokio::test]
async fn a_subscription_sends_each_change_and_completes_after_a_final_status() {
    let gateway = polling(upstream_in("RECORDING").await).await;
    let mut events = Events::watching(&gateway, TOKEN).await;

    let mut seen = vec![events.status().await];
    for status in ["UPLOADING", "UPLOAD_COMPLETED"] {
        gateway.upstream.answer_with(move |_| Reply::json(200, &json!({ "status": status })));
        seen.push(events.status().await);
    }

    assert_eq!(seen, ["RECORDING", "UPLOADING", "UPLOAD_COMPLETED"]);
    assert_eq!(events.next().await, Some(("complete".to_owned(), Value::Null)));
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn an_event_stream_is_not_buffered_and_its_last_event_has_a_data_line() {
    let gateway = polling(upstream_in("UPLOAD_COMPLETED").await).await;

    let stream = Events::watching(&gateway, TOKEN).await.response;

    let header = |name: &str| stream.headers()[name].to_str().unwrap().to_owned();
    let names = ["content-type", "cache-control", "x-accel-buffering"];
    assert_eq!(names.map(header), ["text/event-stream", "no-cache, no-transform", "no"]);
    let data = r#"{"data":{"screenRecord":{"rawStatus":"UPLOAD_COMPLETED"}}}"#;
    let events = format!("event: next\ndata: {data}\n\nevent: complete\ndata:\n\n");
    assert_eq!(stream.text().await.unwrap(), events);
}

/// A recording in a status, the operations on its desktop, and a link to its video.
fn recording_in(status: &'static str, seen: &Seen) -> Reply {
    if seen.path.contains("os-operations") {
        return Reply::json(200, &json!({ "operations": [], "total_count": 7 }));
    }
    if seen.path.ends_with("/download-address") {
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        let link = json!({ "id": body["record_ids"][0], "download_url": "https://obs.example/v" });
        return Reply::json(200, &json!({ "address": [link] }));
    }
    Reply::json(200, &json!({ "status": status }))
}

#[tokio::test]
async fn every_event_has_the_time_limit_of_a_request() {
    let upstream = ScriptedUpstream::start(|seen| recording_in("RECORDING", seen)).await;
    let gateway = Gateway::configured(upstream, |config| {
        config.subscriptions.poll_interval = Duration::from_millis(10);
        config.limits.request_timeout = Duration::from_millis(300);
    })
    .await;
    let fields = "rawStatus downloadUrl operations { totalCount }";
    let mut events = Events::selecting(&gateway, TOKEN, fields).await;
    events.answer().await;

    // A poll takes 9 ms at least, so the subscription exceeds the time limit of a request.
    gateway.upstream.arrived(gateway.upstream_requests() + 50).await;
    // Data of the first event is too old for the second.
    gateway.advance(Duration::from_hours(1));
    gateway.upstream.answer_with(|seen| recording_in("UPLOADING", seen));

    let record = json!({
        "rawStatus": "UPLOADING",
        "downloadUrl": "https://obs.example/v",
        "operations": { "totalCount": 7 },
    });
    assert_eq!(events.answer().await, json!({ "data": { "screenRecord": record } }));
}

#[tokio::test]
async fn a_field_that_failed_in_one_event_is_read_again_for_the_next() {
    let failing = |seen: &Seen| {
        let is_link = seen.path.ends_with("/download-address");
        if is_link { Reply::json(503, &json!({})) } else { recording_in("RECORDING", seen) }
    };
    let gateway = polling(ScriptedUpstream::start(failing).await).await;
    let mut events = Events::selecting(&gateway, TOKEN, "rawStatus downloadUrl").await;
    let first = events.answer().await;

    gateway.upstream.answer_with(|seen| recording_in("UPLOADING", seen));
    let second = events.answer().await;

    assert_eq!(first["data"]["screenRecord"]["downloadUrl"], Value::Null);
    assert_eq!(first["errors"][0]["path"], json!(["screenRecord", "downloadUrl"]));
    assert_eq!(second["errors"], Value::Null);
    assert_eq!(second["data"]["screenRecord"]["downloadUrl"], "https://obs.example/v");
}

#[tokio::test]
async fn the_log_line_of_a_stream_counts_the_reads_of_all_its_events() {
    keep_log();
    let upstream = ScriptedUpstream::start(|seen| recording_in("RECORDING", seen)).await;
    let gateway = polling(upstream).await;
    let mut events =
        Events::selecting(&gateway, TOKEN, "operations { totalCount } rawStatus").await;
    events.answer().await;
    for status in ["UPLOADING", "REC_COMPLETED", "UPLOAD_COMPLETED"] {
        gateway.upstream.answer_with(move |seen| recording_in(status, seen));
        events.answer().await;
    }

    while events.next().await.is_some() {}

    let log = log();
    let line = log.lines().find(|line| line.contains("stream ended")).unwrap();
    assert!(line.contains("answers=4"), "{line}");
    assert!(line.contains("cache=\"hit:3,miss\""), "{line}");
}

#[tokio::test]
async fn all_watchers_of_a_record_share_one_poller_which_ends_with_the_last() {
    let gateway = polling(upstream_in("RECORDING").await).await;
    let mut watchers = Vec::new();
    for _ in 0..10 {
        let mut events = Events::watching(&gateway, TOKEN).await;
        assert_eq!(events.status().await, "RECORDING");
        watchers.push(events);
    }

    gateway.until_metric("gateway_cache_pollers 1").await;
    drop(watchers);

    gateway.until_metric("gateway_cache_pollers 0").await;
}

#[tokio::test]
async fn two_callers_have_separate_pollers() {
    let gateway = polling(upstream_in("RECORDING").await).await;

    let mut one = Events::watching(&gateway, "token-one").await;
    let mut other = Events::watching(&gateway, "token-other").await;
    let statuses = [one.status().await, other.status().await];

    assert_eq!(statuses, ["RECORDING", "RECORDING"]);
    gateway.until_metric("gateway_cache_pollers 2").await;
}

#[tokio::test]
async fn a_revoked_right_ends_the_stream_with_its_error() {
    let gateway = polling(upstream_in("RECORDING").await).await;
    let mut events = Events::watching(&gateway, TOKEN).await;
    events.status().await;
    gateway.upstream.answer_with(|_| Reply::json(403, &json!({})));

    let (_, last) = events.next().await.unwrap();
    let end = events.next().await;

    assert_eq!(last["data"], json!({ "screenRecord": null }));
    assert_eq!(last["errors"][0]["extensions"]["code"], "FORBIDDEN");
    assert_eq!(end, Some(("complete".to_owned(), Value::Null)));
}

#[tokio::test]
async fn a_subscription_survives_an_outage_of_the_upstream() {
    let gateway = polling(upstream_in("RECORDING").await).await;
    let mut events = Events::watching(&gateway, TOKEN).await;
    events.status().await;
    gateway.upstream.answer_with(|_| Reply::json(503, &json!({})));
    gateway.upstream.arrived(gateway.upstream_requests() + 2).await;
    gateway.upstream.answer_with(|_| Reply::json(200, &json!({ "status": "REC_FAILED" })));

    let next = events.status().await;

    assert_eq!(next, "REC_FAILED");
}

#[tokio::test]
async fn a_subscription_survives_an_overloaded_gateway() {
    let gateway = Gateway::configured(upstream_in("RECORDING").await, |config| {
        // Long enough for another query to take the only permit between two polls.
        config.subscriptions.poll_interval = Duration::from_secs(1);
        config.upstream.max_concurrency = NonZeroU32::MIN;
    })
    .await;
    let mut events = Events::watching(&gateway, TOKEN).await;
    events.status().await;
    gateway.upstream.hold();
    let takes_the_place = gateway.query(r#"{ screenRecord(projectId: "p", id: "other") { id } }"#);

    let poll_is_shed = async {
        gateway.until_metric(r#"gateway_upstream_shed_total{region="test-1"} 1"#).await;
        gateway.upstream.answer_with(|_| Reply::json(200, &json!({ "status": "REC_FAILED" })));
        gateway.upstream.release();
    };
    let (answer, ()) = tokio::join!(takes_the_place, poll_is_shed);

    assert_eq!(answer["errors"], Value::Null);
    assert_eq!(events.status().await, "REC_FAILED");
}

#[tokio::test]
async fn a_shutdown_ends_the_stream() {
    let mut gateway = polling(upstream_in("RECORDING").await).await;
    let mut events = Events::watching(&gateway, TOKEN).await;
    events.status().await;

    gateway.stop();

    assert_eq!(events.next().await, None);
    gateway.stopped().await;
}

#[tokio::test]
async fn a_subscription_by_a_plain_post_is_refused() {
    let gateway = polling(upstream_in("RECORDING").await).await;

    let answer =
        gateway.query(r#"subscription { screenRecord(projectId: "p", id: "r") { id } }"#).await;

    assert_eq!(answer["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
}
