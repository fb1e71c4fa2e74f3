//! Several requests over one connection: each is answered, counted and limited separately.

use std::time::Duration;

use screen_record_gateway::config::{Config, Rate};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Gateway, PROJECT, RECORD, Reply, ScriptedUpstream, TOKEN, TestFile};

/// A keep-alive connection.
struct Connection(TcpStream);

/// A response.
#[derive(Debug, PartialEq)]
struct Answer {
    status: String,
    /// Header lines, sorted, without `Date` and `Connection`.
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Connection {
    async fn to(gateway: &Gateway) -> Self {
        Self(TcpStream::connect(gateway.address).await.unwrap())
    }

    async fn ask(&mut self, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let request = format!(
            "POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n{headers}\r\n{body}"
        );
        self.0.write_all(request.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        loop {
            if let Some(answer) = Answer::of(&read) {
                return answer;
            }
            assert!(self.0.read_buf(&mut read).await.unwrap() > 0, "the answer ended early");
        }
    }
}

impl Answer {
    /// The response, once it is complete.
    fn of(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n")?;
        let head = str::from_utf8(bytes.get(..end)?).unwrap();
        let mut lines = head.split("\r\n").map(str::to_owned);
        let status = lines.next()?;
        let mut headers: Vec<String> = lines.collect();
        let length = headers.iter().find_map(|line| line.strip_prefix("content-length: "))?;
        let body = bytes.get(end + 4..end + 4 + length.parse::<usize>().unwrap())?.to_vec();
        headers.retain(|line| !line.starts_with("date: ") && !line.starts_with("connection: "));
        headers.sort();
        Some(Self { status, headers, body })
    }

    fn header(&self, name: &str) -> &str {
        let line = self.headers.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_default()
    }
}

fn body_of(fields: &str) -> String {
    let query = format!(
        "query Shown($p: ID!, $r: ID!) {{ screenRecord(projectId: $p, id: $r) {{ {fields} }} }}"
    );
    json!({ "query": query, "variables": { "p": PROJECT, "r": RECORD } }).to_string()
}

fn token() -> String {
    format!("X-Auth-Token: {TOKEN}\r\n")
}

async fn gateway(adjust: impl FnOnce(&mut Config)) -> Gateway {
    let record = json!({ "id": RECORD, "size": 7, "desktop_name": "d".repeat(100) });
    let upstream = ScriptedUpstream::start(move |_| Reply::json(200, &record)).await;
    Gateway::configured(upstream, adjust).await
}

/// The value of a metric; 0 if it is not on the page.
async fn metric(gateway: &Gateway, name: &str) -> u64 {
    let page = gateway.admin_get("/metrics").await.1;
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or("0").parse().unwrap()
}

#[tokio::test]
async fn a_refusal_leaves_the_connection_usable() {
    let gateway = gateway(|_| {}).await;
    let mut connection = Connection::to(&gateway).await;
    let (own, body) = (token(), body_of("id"));
    for (headers, body, status) in [
        (own.clone(), body.clone(), "200"),
        (format!("{own}Accept: image/png\r\n"), body.clone(), "406"),
        (format!("{own}Cache-Control: no-cache\r\n"), body.clone(), "200"),
        (format!("{own}{own}"), body.clone(), "400"),
        (format!("{own}Content-Encoding: gzip\r\n"), body.clone(), "415"),
        (own.clone(), format!("[{body},{body}]"), "200"),
        (own.clone(), "{".to_owned(), "400"),
        (own.clone(), body_of("nothing"), "200"),
        (String::new(), body.clone(), "200"),
        (own.clone(), body.clone(), "200"),
    ] {
        let answer = connection.ask(&headers, &body).await;

        assert_eq!(answer.status.split(' ').nth(1), Some(status), "of {headers:?}, {body}");
    }
}

#[tokio::test]
async fn each_request_is_sent_upstream_under_its_own_id() {
    let gateway = gateway(|_| {}).await;
    let mut connection = Connection::to(&gateway).await;

    let first = connection.ask(&token(), &body_of("id")).await;
    gateway.advance(Duration::from_mins(10));
    let later = connection.ask(&format!("{}X-Request-Id: mine\r\n", token()), &body_of("id")).await;

    let seen = gateway.upstream.seen();
    let ids: Vec<_> =
        seen.iter().map(|seen| seen.headers["x-request-id"].to_str().unwrap()).collect();
    assert_eq!(ids, [first.header("x-request-id"), "mine"]);
    assert_eq!(later.header("x-request-id"), "mine");
}

#[tokio::test]
async fn each_request_is_counted_once() {
    let gateway = gateway(|_| {}).await;
    let mut connection = Connection::to(&gateway).await;

    for _ in 0..3 {
        connection.ask(&token(), &body_of("id")).await;
    }

    for (name, expected) in [
        ("gateway_http_requests_total{status=\"200\"}", 3),
        ("gateway_http_graphql_operations_total{outcome=\"ok\"}", 3),
        ("gateway_http_request_duration_seconds_count", 3),
        ("gateway_http_requests_in_flight", 0),
        ("gateway_cache_reads_total{outcome=\"miss\"}", 1),
        ("gateway_cache_reads_total{outcome=\"hit\"}", 2),
    ] {
        assert_eq!(metric(&gateway, name).await, expected, "{name}");
    }
}

#[tokio::test]
async fn each_request_counts_once_against_the_callers_rate() {
    let gateway = gateway(|config| config.limits.rate = Rate::parse("3/m")).await;
    let mut connection = Connection::to(&gateway).await;

    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = connection.ask(&token(), &body_of("id")).await;
        statuses.push(answer.status.split(' ').nth(1).unwrap().to_owned());
    }

    assert_eq!(statuses, ["200", "200", "200", "429"]);
}

#[tokio::test]
async fn a_lowered_body_limit_refuses_a_body_that_was_answered_before() {
    let settings = TestFile::of("");
    let record = json!({ "id": RECORD, "size": 7 });
    let upstream = ScriptedUpstream::start(move |_| Reply::json(200, &record)).await;
    let gateway = Gateway::following(upstream, &settings, &[]).await;
    let mut connection = Connection::to(&gateway).await;
    let body = body_of(&"id ".repeat(400));
    for _ in 0..4 {
        connection.ask(&token(), &body).await;
    }

    settings.write("[limits]\nmax_body_bytes = \"1KiB\"\n");
    gateway.reload().await;
    let answer = connection.ask(&token(), &body).await;

    assert!(answer.status.contains(" 413 "), "{answer:?}");
}

#[tokio::test]
async fn callers_who_share_a_connection_get_their_own_records() {
    let upstream = ScriptedUpstream::start(|seen| {
        let token = seen.headers["x-auth-token"].to_str().unwrap();
        Reply::json(200, &json!({ "id": RECORD, "desktop_name": token }))
    });
    let gateway = Gateway::before(upstream.await).await;
    let mut connection = Connection::to(&gateway).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        for token in ["one", "other"] {
            let headers = format!("X-Auth-Token: {token}\r\n");
            let answer = connection.ask(&headers, &body_of("desktopName")).await;

            let json: Value = serde_json::from_slice(&answer.body).unwrap();
            answers.push(json["data"]["screenRecord"]["desktopName"].as_str().unwrap().to_owned());
        }
    }

    assert_eq!(answers, ["one", "other", "one", "other", "one", "other"]);
}
