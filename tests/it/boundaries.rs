//! Attacks from outside: DNS rebinding, repeated headers, floods of names, endless bodies.

use std::time::Duration;

use screen_record_gateway::config::{AccessKey, CredentialsMode};
use screen_record_gateway::domain::Secret;
use serde_json::json;

use crate::support::{Gateway, HttpAnswer, RECORD, Reply, ScriptedUpstream, TOKEN, screen_record};

/// A page whose name resolves to this machine, and the name of this machine.
const PAGE: &str = "page.example:8080";
const OWN: &str = "localhost:8080";

/// A gateway that calls the upstream with its own key, for all callers on this machine.
async fn with_a_key(allow_anonymous: bool) -> Gateway {
    let upstream = ScriptedUpstream::start(|_| Reply::json(200, &json!({ "id": RECORD }))).await;
    Gateway::configured(upstream, |config| {
        config.inbound.allow_anonymous = allow_anonymous;
        config.upstream.credentials = CredentialsMode::AkSk(AccessKey {
            access: Secret::new("FAKEAK0EXAMPLE000001"),
            secret: Secret::new("fakeSK0000000000000000000000000000000001"),
            security_token: None,
            project_id: None,
        });
    })
    .await
}

async fn purge(gateway: &Gateway, host: &str) -> HttpAnswer {
    let purge = gateway.http().post(format!("http://{}/purge", gateway.admin)).header("host", host);
    let purge = purge.header("content-type", "application/json").body(r#"{"all": true}"#);
    HttpAnswer::of(purge.send().await.unwrap()).await
}

#[tokio::test]
async fn a_page_that_rebinds_its_name_to_loopback_cannot_use_the_gateways_key() {
    let gateway = with_a_key(false).await;

    let refused = gateway.post(&screen_record("id"), &[("host", PAGE)]).await;
    let answered = gateway.post(&screen_record("id"), &[("host", OWN)]).await;

    assert_eq!((refused.status, &refused.json["data"]), (421, &json!(null)));
    assert_eq!(refused.json["errors"][0]["extensions"]["code"], "BAD_REQUEST");
    assert_eq!(answered.json["data"]["screenRecord"]["id"], RECORD);
    assert_eq!(gateway.upstream_requests(), 1);
}

#[tokio::test]
async fn a_page_that_rebinds_its_name_to_loopback_cannot_read_the_cache() {
    let gateway = with_a_key(false).await;
    let document = screen_record("id");
    for _ in 0..4 {
        assert_eq!(gateway.post(&document, &[("host", OWN)]).await.status, 200);
    }

    let refused = gateway.post(&document, &[("host", PAGE)]).await;

    assert_eq!((refused.status, &refused.json["data"]), (421, &json!(null)));
}

#[tokio::test]
async fn every_host_is_answered_under_passthrough_or_allow_anonymous() {
    let anonymous = with_a_key(true).await;
    let passing = Gateway::answering(200, json!({ "id": RECORD })).await;

    let open = anonymous.post(&screen_record("id"), &[("host", PAGE)]).await;
    let own = passing.post(&screen_record("id"), &[("host", PAGE), ("x-auth-token", TOKEN)]).await;

    assert_eq!([open.status, own.status], [200, 200]);
}

#[tokio::test]
async fn a_page_that_rebinds_its_name_to_loopback_cannot_purge() {
    let gateway = Gateway::answering(200, json!({ "id": RECORD })).await;

    assert_eq!(purge(&gateway, PAGE).await.status, 421);
    assert_eq!(purge(&gateway, OWN).await.status, 200);
}

#[tokio::test]
async fn a_token_that_is_sent_twice_is_refused_and_not_used() {
    let gateway = Gateway::answering(200, json!({ "id": RECORD })).await;

    let twice = [("x-auth-token", "one"), ("x-auth-token", "two")];
    let answer = gateway.post(&screen_record("id"), &twice).await;

    assert_eq!(answer.status, 400);
    assert_eq!(gateway.upstream_requests(), 0);
}

#[tokio::test]
async fn no_client_header_adds_a_header_to_the_upstream_request() {
    let gateway = Gateway::answering(200, json!({ "id": RECORD })).await;
    let odd = [
        ("x-auth-token", TOKEN),
        ("x-request-id", "an id; with a space"),
        ("x-forwarded-for", "203.0.113.9"),
        ("cookie", "session=1"),
        ("authorization", "Basic Zm9v"),
        ("x-project-id", "another"),
        ("transfer-encoding-of-a-proxy", "chunked"),
    ];

    gateway.post(&screen_record("id"), &odd).await;

    let seen = &gateway.upstream.seen()[0];
    let mut names: Vec<&str> =
        seen.headers.keys().map(reqwest::header::HeaderName::as_str).collect();
    names.sort_unstable();
    let expected =
        ["accept", "accept-encoding", "host", "user-agent", "x-auth-token", "x-request-id"];
    assert_eq!(names, expected);
    assert_ne!(seen.headers["x-request-id"], "an id; with a space");
}

#[tokio::test]
async fn a_flood_of_callers_projects_and_documents_grows_only_bounded_caches() {
    let upstream = ScriptedUpstream::start(|_| {
        Reply::json(401, &json!({ "error_code": "APIGW.0301", "error_msg": "token" }))
    })
    .await;
    let gateway =
        Gateway::configured(upstream, |config| config.cache.max_bytes = 1024 * 1024).await;

    for number in 0..100 {
        let document = format!(
            "query Q{number} {{ screenRecord(projectId: \"p{number}\", id: \"r\") {{ id }} }}"
        );
        gateway.post(&document, &[("x-auth-token", &format!("made-up-{number}"))]).await;
    }

    let (_, page) = gateway.admin_get("/metrics").await;
    for content in ["records", "record_pages", "operation_pages", "links", "answers"] {
        let line = format!("gateway_cache_entries{{content=\"{content}\"}} 0");
        assert!(page.contains(&line), "{line} is not in\n{page}");
    }
    assert!(page.contains("gateway_cache_loads_in_flight 0"));
    // No made-up name becomes a label.
    assert!(!page.contains("made-up") && !page.contains("p99") && !page.contains("Q99"));
    assert!(page.lines().count() < 1000, "{} lines of metrics", page.lines().count());
}

#[tokio::test]
async fn a_body_that_never_ends_is_refused_in_time() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let upstream = ScriptedUpstream::start(|_| Reply::json(200, &json!({}))).await;
    let gateway = Gateway::configured(upstream, |config| {
        config.limits.request_timeout = Duration::from_millis(100);
    })
    .await;
    let mut client = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let head = "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{";

    client.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut bytes = [0; 4096];
    while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
        let read = client.read(&mut bytes).await.unwrap();
        assert!(read > 0, "the connection ended without an answer");
        answer.extend_from_slice(&bytes[..read]);
    }

    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}
