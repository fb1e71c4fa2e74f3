//! Every upstream failure is a GraphQL error with a stable code.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use insta::assert_json_snapshot;
use screen_record_gateway::config::Target;
use serde_json::{Value, json};

use crate::support::{Gateway, PROJECT, Reply, ScriptedUpstream, screen_record};

fn error(answer: &Value) -> &Value {
    &answer["errors"][0]["extensions"]
}

#[tokio::test]
async fn every_sampled_upstream_error_has_its_documented_code() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/samples/errors");
    let index: Vec<Value> =
        serde_json::from_slice(&fs::read(samples.join("index.json")).unwrap()).unwrap();
    let gateway = Gateway::answering(200, json!({})).await;

    for (number, sample) in index.iter().enumerate() {
        let file = sample["file"].as_str().unwrap();
        let (status, body) =
            (sample["http_status"].as_u64().unwrap(), fs::read(samples.join(file)));
        let headers: Vec<(String, String)> = sample["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect();
        let body = Bytes::from(body.unwrap());
        let status = u16::try_from(status).unwrap();
        gateway.upstream.answer_with(move |_| Reply::Answer {
            status,
            headers: headers.clone(),
            body: body.clone(),
        });
        let document =
            format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "e{number}") {{ id }} }}"#);

        let answer = gateway.query(&document).await;

        assert_eq!(error(&answer)["code"], sample["proposed_code"], "{file}: {answer}");
        assert_eq!(error(&answer)["retryable"], sample["retryable"], "{file}: {answer}");
        assert_eq!(answer["data"], json!({ "screenRecord": null }), "{file}");
        assert_eq!(answer["errors"][0]["path"], json!(["screenRecord"]), "{file}");
    }
    assert_eq!(gateway.upstream_requests(), 72);
}

#[tokio::test]
async fn an_error_in_iams_shape_has_the_code_of_its_status() {
    let gateway = Gateway::answering(200, json!({})).await;

    for (status, code) in [
        (400, "BAD_USER_INPUT"),
        (401, "UNAUTHENTICATED"),
        (403, "FORBIDDEN"),
        (404, "NOT_FOUND"),
        (409, "CONFLICT"),
    ] {
        gateway.upstream.answer_with(move |_| {
            let error = json!({ "code": status, "message": "a message", "title": "a title" });
            Reply::json(status, &json!({ "error": error }))
        });
        let document =
            format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "i{status}") {{ id }} }}"#);

        let answer = gateway.query(&document).await;

        assert_eq!(error(&answer)["code"], code, "of {status}: {answer}");
        assert_eq!(error(&answer)["retryable"], false, "of {status}: {answer}");
        assert_eq!(error(&answer)["upstream"]["errorCode"], status.to_string(), "{answer}");
        assert_eq!(error(&answer)["upstream"]["errorMessage"], "a message", "{answer}");
    }
}

#[tokio::test]
async fn an_error_whose_message_is_not_utf8_keeps_its_code() {
    let body =
        b"{\"error_code\": \"WKS.0202\", \"error_msg\": \"\xbc\xc7\xc2\xbc no such record\"}";
    let headers = [("content-type", "application/json")];
    let upstream = ScriptedUpstream::start(move |_| Reply::bytes(500, &headers, &body[..])).await;
    let gateway = Gateway::before(upstream).await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(error(&answer)["code"], "NOT_FOUND", "{answer}");
    let message = error(&answer)["upstream"]["errorMessage"].as_str().unwrap();
    assert!(message.ends_with(" no such record"), "{message}");
}

#[tokio::test]
async fn an_error_body_with_status_200_has_the_meaning_of_its_code() {
    let gateway = Gateway::answering(200, json!({})).await;

    for (number, (body_code, code)) in [
        ("WKS.00211902", "NOT_FOUND"),
        ("WKS.0202", "NOT_FOUND"),
        ("WKS.00081102", "FORBIDDEN"),
        ("WKS.00211102", "BAD_USER_INPUT"),
        ("WKS.00050902", "UPSTREAM_UNAVAILABLE"),
        ("APIGW.0301", "UNAUTHENTICATED"),
        ("WKS.00010110", "UPSTREAM_ERROR"),
        ("X.1", "UPSTREAM_ERROR"),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({ "error_code": body_code, "error_msg": "a message" });
        gateway.upstream.answer_with(move |_| Reply::json(200, &body));
        let document =
            format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "s{number}") {{ id }} }}"#);

        let answer = gateway.query(&document).await;

        assert_eq!(error(&answer)["code"], code, "of {body_code}: {answer}");
        assert_eq!(error(&answer)["retryable"], false, "of {body_code}: {answer}");
    }
}

#[tokio::test]
async fn a_denial_carries_the_upstreams_code_message_and_request_id() {
    let body = include_str!("../fixtures/samples/errors/iam5-denied-403.json");
    let upstream = ScriptedUpstream::start(move |_| {
        Reply::bytes(403, &[("X-Request-Id", "fd6530a01c0980764018a9e65e837b8a")], body)
    })
    .await;
    let gateway = Gateway::before(upstream).await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_json_snapshot!(answer, @r#"
    {
      "data": {
        "screenRecord": null
      },
      "errors": [
        {
          "extensions": {
            "code": "FORBIDDEN",
            "retryable": false,
            "upstream": {
              "encodedAuthorizationMessage": "HY0L8G1lOe3rcfgxfKVPEXAMPLEONLYAK9bS33eYp0rHQ4I0kJed9rwaYmLp0pt0ICBwk=",
              "errorCode": "PAP5.0001",
              "errorMessage": "access denied: no policy allows workspace:screenRecord:get",
              "requestId": "fd6530a01c0980764018a9e65e837b8a",
              "status": 403
            }
          },
          "locations": [
            {
              "column": 3,
              "line": 1
            }
          ],
          "message": "the upstream denied access",
          "path": [
            "screenRecord"
          ]
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn the_upstreams_retry_after_becomes_retry_after_ms() {
    let upstream =
        ScriptedUpstream::start(|_| Reply::bytes(429, &[("retry-after", "3")], "")).await;
    let gateway = Gateway::before(upstream).await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_json_snapshot!(error(&answer), @r#"
    {
      "code": "RATE_LIMITED",
      "retryAfterMs": 3000,
      "retryable": true,
      "upstream": {
        "status": 429
      }
    }
    "#);
}

#[tokio::test]
async fn a_bad_id_never_reaches_the_upstream() {
    let gateway = Gateway::answering(200, json!({})).await;

    let answer = gateway.query(r#"{ screenRecord(projectId: "p", id: "../x") { id } }"#).await;

    assert_eq!(error(&answer)["code"], "BAD_USER_INPUT");
    assert_eq!(gateway.upstream_requests(), 0);
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed_port = listener.local_addr().unwrap();
    drop(listener);
    let upstream = ScriptedUpstream::start(|_| Reply::Hang).await;
    let gateway = Gateway::configured(upstream, |config| {
        config.upstream.default =
            Some(Target::at(format!("http://{closed_port}").parse().unwrap()));
    })
    .await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(error(&answer), &json!({ "code": "UPSTREAM_UNAVAILABLE", "retryable": true }));
}

#[tokio::test]
async fn a_silent_upstream_times_out() {
    let upstream = ScriptedUpstream::start(|_| Reply::Hang).await;
    let gateway = Gateway::configured(upstream, |config| {
        config.upstream.attempt_timeout = Duration::from_millis(50);
    })
    .await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(error(&answer), &json!({ "code": "UPSTREAM_TIMEOUT", "retryable": true }));
}

#[tokio::test]
async fn a_connection_cut_midway_is_unavailable() {
    let upstream = ScriptedUpstream::start(|_| Reply::CutMidway).await;
    let gateway = Gateway::before(upstream).await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(error(&answer), &json!({ "code": "UPSTREAM_UNAVAILABLE", "retryable": true }));
}

/// A server that does not speak HTTP: after the first bytes it writes some bytes, and closes or hangs.
async fn raw_server(says: &'static [u8], hangs: bool) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(says).await;
                if hangs {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_response_that_breaks_off_anywhere_is_unavailable() {
    for says in
        ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhalf", "not HTTP\r\n\r\n"]
    {
        let address = raw_server(says.as_bytes(), false).await;
        let unused = ScriptedUpstream::start(|_| Reply::Hang).await;
        let gateway = Gateway::configured(unused, |config| {
            config.upstream.default =
                Some(Target::at(format!("http://{address}").parse().unwrap()));
        })
        .await;

        let answer = gateway.query(&screen_record("id")).await;

        let expected = json!({ "code": "UPSTREAM_UNAVAILABLE", "retryable": true });
        assert_eq!(error(&answer), &expected, "{says:?}");
    }
}

#[tokio::test]
async fn a_tls_handshake_that_does_not_end_is_unavailable() {
    let address = raw_server(b"", true).await;
    let unused = ScriptedUpstream::start(|_| Reply::Hang).await;
    let gateway = Gateway::configured(unused, |config| {
        config.upstream.default = Some(Target::at(format!("https://{address}").parse().unwrap()));
        config.upstream.connect_timeout = Duration::from_millis(50);
    })
    .await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(error(&answer), &json!({ "code": "UPSTREAM_TIMEOUT", "retryable": true }));
    let message = "the upstream could not be connected to in time";
    assert_eq!(answer["errors"][0]["message"], message);
}

#[tokio::test]
async fn an_answer_that_is_too_large_once_decompressed_is_refused() {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&vec![b' '; 64 * 1024 * 1024]).unwrap();
    let bomb = Bytes::from(gzip.finish().unwrap());
    let headers = [("content-encoding", "gzip"), ("content-type", "application/json")];
    let upstream =
        ScriptedUpstream::start(move |_| Reply::bytes(200, &headers, bomb.clone())).await;
    let gateway = Gateway::before(upstream).await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(error(&answer)["code"], "UPSTREAM_INVALID_RESPONSE");
    assert_eq!(
        answer["errors"][0]["message"],
        "the upstream's answer is larger than 1048576 bytes"
    );
}

#[tokio::test]
async fn a_redirect_is_an_error_and_the_token_does_not_travel() {
    let elsewhere = ScriptedUpstream::start(|_| Reply::json(200, &json!({ "id": "x" }))).await;
    let location = format!("http://{}/", elsewhere.address);
    let upstream =
        ScriptedUpstream::start(move |_| Reply::bytes(302, &[("location", &location)], "")).await;
    let gateway = Gateway::before(upstream).await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(error(&answer)["code"], "UPSTREAM_ERROR");
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let gateway = Gateway::answering(200, json!({})).await;

    let answer = gateway.post(&screen_record("id"), &[]).await.json;

    assert_eq!(error(&answer), &json!({ "code": "UNAUTHENTICATED", "retryable": false }));
    assert_eq!(gateway.upstream_requests(), 0);
}
