//! HTTP messages that are malformed, ambiguous, or refused before they are complete.

use std::net::SocketAddr;
use std::time::Duration;

use screen_record_gateway::config::{InboundAuth, LimitsConfig};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{Gateway, RawResponse, Reply, ScriptedUpstream, TestFile};

const JSON: &str = "Content-Type: application/json\r\n";
/// More than the socket buffers of both ends hold.
const LARGE: usize = 4 * 1024 * 1024;

async fn gateway() -> Gateway {
    Gateway::answering(200, json!({})).await
}

/// A GET of `{ __typename }` with some header lines.
async fn get(address: SocketAddr, target: &str, lines: &str) -> RawResponse {
    let request = format!("GET {target} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n");
    RawResponse::to(address, request.as_bytes()).await.unwrap()
}

const TYPENAME: &str = "/graphql?query={__typename}";

#[tokio::test]
async fn a_request_needs_exactly_one_valid_host() {
    let gateway = gateway().await;
    for (lines, status) in [
        ("", 400),
        ("Host:\r\n", 400),
        ("Host: localhost\r\nHost: localhost\r\n", 400),
        ("Host: local host\r\n", 400),
        ("Host: http://localhost\r\n", 400),
        ("Host: localhost/graphql\r\n", 400),
        ("Host: user@localhost\r\n", 400),
        ("Host: localhost:port\r\n", 400),
        ("Host: localhost:65536\r\n", 400),
        ("Host: localhost:+80\r\n", 400),
        ("Host: localhost:80:80\r\n", 400),
        ("Host: :80\r\n", 400),
        ("Host: ::1\r\n", 400),
        ("Host: user:secret@localhost:80\r\n", 400),
        ("Host: [::1\r\n", 400),
        ("Host: local\u{f6}st\r\n", 400),
        ("Host: localhost\r\n", 200),
        ("Host: localhost:\r\n", 200),
        ("Host: localhost:0\r\n", 200),
        ("Host: localhost:65535\r\n", 200),
        ("Host: 127.0.0.1:8080\r\n", 200),
        ("Host: [::1]:8080\r\n", 200),
    ] {
        let graphql = get(gateway.address, TYPENAME, lines).await;
        let health = get(gateway.admin, "/livez", lines).await;

        assert_eq!([graphql.status, health.status], [status; 2], "of {lines:?}");
        if status == 400 {
            assert_eq!([graphql.code(), health.code()], ["BAD_REQUEST"; 2], "of {lines:?}");
        }
    }
}

#[tokio::test]
async fn http_1_0_needs_no_host() {
    let gateway = gateway().await;

    let request = format!("GET {TYPENAME} HTTP/1.0\r\n\r\n");
    let answer = RawResponse::to(gateway.address, request.as_bytes()).await.unwrap();

    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn user_information_in_the_target_is_refused() {
    let gateway = gateway().await;

    let target = format!("http://localhost@page.example{TYPENAME}");
    let answer = get(gateway.address, &target, "Host: localhost\r\n").await;

    assert_eq!((answer.status, answer.code()), (400, "BAD_REQUEST"));
}

#[tokio::test]
async fn a_transfer_coding_other_than_chunked_is_not_implemented() {
    let gateway = gateway().await;
    let body = r#"{"query":"{ __typename }"}"#;
    for (coding, status) in [
        ("Transfer-Encoding: chunked\r\n", 200),
        ("Transfer-Encoding: Chunked\r\n", 200),
        ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", 501),
        ("Transfer-Encoding: chunked, chunked\r\n", 501),
    ] {
        let request = format!(
            "POST /graphql HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n{JSON}{coding}\r\n\
             {:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );

        let answer = RawResponse::to(gateway.address, request.as_bytes()).await.unwrap();

        assert_eq!(answer.status, status, "of {coding:?}: {}", answer.head);
    }
}

#[tokio::test]
async fn a_repeated_or_malformed_origin_is_refused() {
    let gateway = gateway().await;
    for origins in [
        "Origin: https://a.example\r\nOrigin: https://b.example\r\n",
        "Origin: https://\u{e4}.example\r\n",
    ] {
        let answer = get(gateway.address, TYPENAME, &format!("Host: gateway\r\n{origins}")).await;

        assert_eq!((answer.status, answer.code()), (400, "BAD_REQUEST"), "of {origins:?}");
    }
}

/// A POST with a large body, whose head the gateway refuses.
fn large(request_line: &str, lines: &str) -> Vec<u8> {
    let head = format!(
        "{request_line} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n{lines}\
         Content-Length: {LARGE}\r\n\r\n"
    );
    let mut request = head.into_bytes();
    request.resize(request.len() + LARGE, b' ');
    request
}

#[tokio::test]
async fn a_client_that_is_still_sending_gets_the_refusal() {
    let gateway = gateway().await;
    for (request_line, lines, status) in [
        ("POST /graphql", JSON, 413),
        ("POST /graphql", "Content-Type: text/plain\r\n", 415),
        ("POST /graphql", "Content-Type: application/json\r\nAccept: image/png\r\n", 406),
        ("POST /graphql", "Content-Type: application/json\r\nX-Auth-Token: \u{e4}\r\n", 400),
        ("POST /graphql", "Content-Type: application/json\r\nSec-Fetch-Site: cross-site\r\n", 403),
        ("PUT /graphql", JSON, 405),
        ("POST /nothing", JSON, 404),
        ("POST /graphql", "Host: gateway\r\n", 400),
    ] {
        let answer = RawResponse::to(gateway.address, &large(request_line, lines)).await;

        let answer = answer.unwrap_or_else(|error| panic!("{status} did not arrive: {error}"));
        assert_eq!(answer.status, status, "of {request_line} {lines:?}");
        assert!(!answer.code().is_empty(), "{status} is cut: {answer:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_still_sending_gets_401_and_503() {
    let file = TestFile::of(&format!(
        "[[key]]\nname = \"a\"\nsha256 = \"{}\"\nprojects = [\"*\"]\n",
        "0".repeat(64)
    ));
    let upstream = ScriptedUpstream::start(|_| Reply::Hang).await;
    let with_keys = Gateway::configured(upstream.clone(), |config| {
        config.inbound.auth = InboundAuth::ApiKey(file.0.clone());
    })
    .await;
    let full = Gateway::configured(upstream, |config| config.limits.max_in_flight = 0).await;

    let stranger = RawResponse::to(with_keys.address, &large("POST /graphql", JSON)).await;
    let overloaded = RawResponse::to(full.address, &large("POST /graphql", JSON)).await;

    assert_eq!(stranger.unwrap().status, 401);
    assert_eq!(overloaded.unwrap().status, 503);
}

#[tokio::test]
async fn a_client_whose_head_is_too_large_gets_the_refusal() {
    let gateway = gateway().await;
    let request =
        format!("GET {TYPENAME} HTTP/1.1\r\nHost: gateway\r\nX: {}\r\n\r\n", "x".repeat(LARGE));

    let answer = RawResponse::to(gateway.address, request.as_bytes()).await.unwrap();

    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn a_client_that_never_stops_sending_is_disconnected() {
    let gateway = gateway().await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: gateway\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = format!("{:x}\r\n{}\r\n", 64 * 1024, " ".repeat(64 * 1024));

    let sending = async {
        let mut sent = 0;
        while stream.write_all(piece.as_bytes()).await.is_ok() {
            sent += piece.len();
        }
        sent
    };
    let sent =
        tokio::time::timeout(Duration::from_mins(1), sending).await.expect("it was never ended");

    assert!((LARGE..512 * 1024 * 1024).contains(&sent), "{sent} bytes were taken");
    gateway.until_metric("gateway_http_connections 0").await;
}

#[tokio::test]
async fn a_refusal_does_not_repeat_a_long_header() {
    let gateway = gateway().await;
    let long = "x".repeat(50_000);
    for lines in [
        format!("Content-Type: {long}\r\n"),
        format!("Content-Type: application/json; charset={long}\r\n"),
        format!("Content-Type: application/json\r\nContent-Encoding: {long}\r\n"),
    ] {
        let request = format!(
            "POST /graphql HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n{lines}Content-Length: 2\r\n\r\n{{}}"
        );
        let answer = RawResponse::to(gateway.address, request.as_bytes()).await.unwrap();

        let message = answer.json["errors"][0]["message"].as_str().unwrap();
        assert_eq!(answer.status, 415);
        assert!(message.len() < 300, "{} bytes", message.len());
    }
}

#[tokio::test]
async fn only_the_beginning_of_a_list_header_counts() {
    let gateway = gateway().await;
    let many = "text/x;q=0.5,".repeat(200);

    let first = format!("Host: gateway\r\nAccept: application/json,{many}\r\n");
    let first = get(gateway.address, TYPENAME, &first).await;
    let last = format!("Host: gateway\r\nAccept: {many}application/json\r\n");
    let last = get(gateway.address, TYPENAME, &last).await;

    assert_eq!((first.status, last.status), (200, 406));
}

#[tokio::test]
async fn limits_of_connections_hold_while_refused_bodies_are_dropped() {
    let upstream = ScriptedUpstream::start(|_| Reply::Hang).await;
    let limits = LimitsConfig { max_connections: 1, ..LimitsConfig::default() };
    let gateway = Gateway::configured(upstream, |config| config.limits = limits).await;

    let refused = RawResponse::to(gateway.address, &large("POST /graphql", JSON)).await.unwrap();
    let next = get(gateway.address, TYPENAME, "Host: gateway\r\n").await;

    assert_eq!((refused.status, next.status), (413, 200));
}

#[tokio::test]
async fn a_content_length_over_the_limit_is_refused_before_the_body() {
    let gateway = gateway().await;
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n{JSON}\
         Expect: 100-continue\r\nContent-Length: {LARGE}\r\n\r\n"
    );

    let answer = RawResponse::to(gateway.address, request.as_bytes()).await.unwrap();

    assert_eq!((answer.status, answer.code()), (413, "QUERY_TOO_COMPLEX"));
}

#[tokio::test]
async fn a_repeated_content_type_or_content_encoding_is_refused() {
    let gateway = gateway().await;
    let body = r#"{"query":"{ __typename }"}"#;
    for (lines, status) in [
        ("Content-Type: application/json\r\nContent-Type: text/plain\r\n", 400),
        ("Content-Type: application/json\r\nContent-Type: application/json\r\n", 400),
        (
            "Content-Type: application/json\r\nContent-Encoding: identity\r\n\
             Content-Encoding: gzip\r\n",
            400,
        ),
        ("Content-Type: application/json\r\nContent-Encoding: identity\r\n", 200),
    ] {
        let request = format!(
            "POST /graphql HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n{lines}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = RawResponse::to(gateway.address, request.as_bytes()).await.unwrap();

        assert_eq!(answer.status, status, "of {lines:?}");
    }
}
