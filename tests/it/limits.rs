//! Limits of one request, and of all requests together.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::support::{Gateway, Reply, ScriptedUpstream, TOKEN, screen_record};

#[tokio::test]
async fn a_bomb_of_900_bytes_is_refused_before_it_is_validated() {
    let gateway = Gateway::answering(200, json!({})).await;
    let mut bomb = "{...f0}".to_owned();
    for at in 0..30 {
        write!(bomb, "fragment f{at} on Query{{...f{next} ...f{next}}}", next = at + 1).unwrap();
    }
    bomb += "fragment f30 on Query{__typename}";

    let answer = gateway.query(&bomb).await;

    assert_eq!(answer["errors"][0]["extensions"]["code"], "QUERY_TOO_COMPLEX");
    assert_eq!(answer.get("data"), None);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let gateway = Gateway::answering(200, json!({})).await;

    let answer = gateway.post(&" ".repeat(256 * 1024), &[]).await;

    assert_eq!(answer.status, 413);
    assert_eq!(answer.json["errors"][0]["extensions"]["code"], "QUERY_TOO_COMPLEX");
}

#[tokio::test]
async fn one_request_too_many_is_503_at_once() {
    let upstream = ScriptedUpstream::start(|_| Reply::json(200, &json!({}))).await;
    upstream.hold();
    let gateway = Gateway::configured(upstream, |config| config.limits.max_in_flight = 1).await;
    let document = screen_record("id");

    let (first, second) =
        tokio::join!(gateway.post(&document, &[("x-auth-token", TOKEN)]), async {
            gateway.upstream.arrived(1).await;
            let second = gateway.post(&document, &[("x-auth-token", TOKEN)]).await;
            gateway.upstream.release();
            second
        });
    let third = gateway.post(&document, &[("x-auth-token", TOKEN)]).await;

    assert_eq!((first.status, second.status, third.status), (200, 503, 200));
    assert_eq!(second.json["errors"][0]["extensions"]["code"], "OVERLOADED");
    assert_eq!(second.header("retry-after"), "1");
}

#[tokio::test]
async fn a_field_that_takes_too_long_is_an_error_and_the_rest_is_answered() {
    let upstream = ScriptedUpstream::start(|seen| {
        if seen.path.ends_with("slow") { Reply::Hang } else { Reply::json(200, &json!({})) }
    })
    .await;
    let gateway = Gateway::configured(upstream, |config| {
        config.limits.request_timeout = Duration::from_secs(1);
    })
    .await;

    let answer = gateway
        .query(
            "{ slow: screenRecord(projectId: \"p\", id: \"slow\") { id } \
             quick: screenRecord(projectId: \"p\", id: \"quick\") { id } }",
        )
        .await;

    assert_eq!(answer["data"], json!({ "slow": null, "quick": { "id": "quick" } }));
    assert_eq!(answer["errors"][0]["path"], json!(["slow"]));
    assert_eq!(answer["errors"][0]["extensions"]["code"], "UPSTREAM_TIMEOUT");
}

#[tokio::test]
async fn a_short_document_with_thousands_of_faults_gets_a_short_answer() {
    let gateway = Gateway::answering(200, json!({})).await;
    let document = screen_record(&"nothing ".repeat(4000));

    let answer = gateway.query(&document).await;

    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 51);
    let last = errors[50]["message"].as_str().unwrap();
    assert!(last.ends_with(" more errors are not listed"), "{last}");
}
