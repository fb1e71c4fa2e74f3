//! What callers share is not used up by one of them.

use std::fmt::Write as _;
use std::num::NonZeroU32;

use serde_json::json;

use crate::support::{Gateway, PROJECT, Reply, ScriptedUpstream, screen_record};

/// A query for so many recordings.
fn records(count: usize) -> String {
    let mut document = "{".to_owned();
    for number in 0..count {
        let record = format!(r#"screenRecord(projectId: "{PROJECT}", id: "r{number}")"#);
        write!(document, " a{number}: {record} {{ id }}").unwrap();
    }
    document + " }"
}

/// A gateway with eight permits, before an upstream that never answers one of two callers.
async fn half_hanging() -> Gateway {
    let upstream = ScriptedUpstream::start(|seen| {
        if seen.headers["x-auth-token"] == "busy" {
            Reply::Hang
        } else {
            Reply::json(200, &json!({ "id": "r" }))
        }
    })
    .await;
    Gateway::configured(upstream, |config| {
        config.upstream.max_concurrency = NonZeroU32::new(8).unwrap();
    })
    .await
}

#[tokio::test]
async fn a_single_read_is_answered_while_a_burst_of_another_caller_waits_for_a_dead_upstream() {
    let gateway = half_hanging().await;
    let burst = records(50);

    let single = async {
        gateway.upstream.arrived(7).await;
        gateway.query_as("other", &screen_record("id")).await
    };
    let answer = tokio::select! {
        answer = single => answer,
        burst = gateway.query_as("busy", &burst) => panic!("the burst was answered: {burst}"),
    };

    assert_eq!(answer, json!({ "data": { "screenRecord": { "id": "r" } } }));
}
