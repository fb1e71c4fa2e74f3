//! Requests that are answered as they are read: nobody can tell them from the others.

use std::time::Duration;

use screen_record_gateway::config::{Config, Rate};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Gateway, PROJECT, RECORD, Reply, ScriptedUpstream, TOKEN, TestFile};

/// A connection that is used for one request after the other.
struct Connection(TcpStream);

/// An answer, and what it was read from.
#[derive(Debug, PartialEq)]
struct Answer {
    status: String,
    /// In no order, without those that differ from answer to answer.
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
    /// An answer that is there in full.
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

/// What a metric without labels, or with these, reads.
async fn metric(gateway: &Gateway, name: &str) -> u64 {
    let page = gateway.admin_get("/metrics").await.1;
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or("0").parse().unwrap()
}

async fn on_the_fast_path(gateway: &Gateway) -> u64 {
    metric(gateway, "gateway_http_fast_path_requests_total").await
}

#[tokio::test]
async fn the_same_is_answered_on_the_fast_path_and_by_hyper() {
    let gateway = gateway(|_| {}).await;
    let mut connection = Connection::to(&gateway).await;
    let long: Vec<String> = (0..100).map(|n| format!("n{n}: desktopName")).collect();
    let long = long.join(" ");
    connection.ask(&token(), &body_of("id")).await;
    for (number, (headers, fields)) in [
        ("", "id size"),
        ("X-Request-Id: mine\r\n", "id size"),
        ("x-request-id: not a sane one\r\n", "id size"),
        ("Accept: application/graphql-response+json\r\n", "id size"),
        ("Accept: text/html, */*;q=0.1\r\n", "id"),
        ("Cache-Control: max-age=60\r\n", "size"),
        ("Accept-Encoding: gzip, br;q=0.5\r\n", "id"),
        ("Accept-Encoding: gzip, br;q=0.5\r\n", &long),
        ("Accept-Encoding: zstd\r\n", &long),
        ("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n", "id"),
        ("Cookie: a=b\r\nConnection: keep-alive\r\n", "size"),
    ]
    .into_iter()
    .enumerate()
    {
        let (headers, body) = (format!("{}{headers}", token()), body_of(fields));

        let mut fast = connection.ask(&headers, &body).await;
        let is_fast = on_the_fast_path(&gateway).await == number as u64 + 1;
        // A connection that ends is hyper's.
        let headers = headers.replace("Connection: keep-alive\r\n", "") + "Connection: close\r\n";
        let mut other = Connection::to(&gateway).await.ask(&headers, &body).await;

        assert!(is_fast, "of {headers:?}");
        assert_eq!(on_the_fast_path(&gateway).await, number as u64 + 1, "of {headers:?}");
        if !headers.contains("mine") {
            let ids = [&mut fast, &mut other].map(|answer| {
                let id = answer.header("x-request-id").to_owned();
                answer.headers.retain(|line| !line.starts_with("x-request-id: "));
                id
            });
            assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() == 32), "{ids:?}");
        }
        assert_eq!(fast, other, "of {headers:?}");
    }
}

#[tokio::test]
async fn what_is_no_ordinary_request_is_hypers() {
    let gateway = gateway(|_| {}).await;
    let mut connection = Connection::to(&gateway).await;
    let body = body_of("id");
    connection.ask(&token(), &body).await;
    connection.ask(&token(), &body).await;
    assert_eq!(on_the_fast_path(&gateway).await, 1);
    let own = token();
    for (headers, body, status) in [
        (format!("{own}Accept: image/png\r\n"), body.clone(), "406"),
        (format!("{own}Cache-Control: no-cache\r\n"), body.clone(), "200"),
        (format!("{own}{own}"), body.clone(), "400"),
        (format!("{own}Content-Encoding: gzip\r\n"), body.clone(), "415"),
        (own.clone(), format!("[{body},{body}]"), "200"),
        (own.clone(), "{".to_owned(), "400"),
        (own.clone(), body_of("nothing"), "200"),
        (String::new(), body.clone(), "200"),
    ] {
        let answer = connection.ask(&headers, &body).await;

        assert_eq!(answer.status.split(' ').nth(1), Some(status), "of {headers:?}, {body}");
    }
    assert_eq!(
        on_the_fast_path(&gateway).await,
        1 + 1,
        "whoever shows no token is told so at once"
    );

    connection.ask(&own, &body).await;

    assert_eq!(on_the_fast_path(&gateway).await, 3, "the connection is as good as before");
}

#[tokio::test]
async fn what_has_to_be_read_for_a_request_is_read_in_its_name() {
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
async fn a_request_is_counted_once_whichever_way_it_takes() {
    let gateway = gateway(|_| {}).await;
    let mut connection = Connection::to(&gateway).await;

    for _ in 0..3 {
        connection.ask(&token(), &body_of("id")).await;
    }

    for (name, expected) in [
        ("gateway_http_requests_total{status=\"200\"}", 3),
        ("gateway_http_graphql_operations_total{outcome=\"ok\"}", 3),
        ("gateway_http_request_duration_seconds_count", 3),
        ("gateway_http_fast_path_requests_total", 2),
        ("gateway_http_requests_in_flight", 0),
        ("gateway_cache_reads_total{outcome=\"miss\"}", 1),
        ("gateway_cache_reads_total{outcome=\"hit\"}", 2),
    ] {
        assert_eq!(metric(&gateway, name).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_request_is_taken_off_the_callers_rate_once_whichever_way_it_takes() {
    let gateway = gateway(|config| config.limits.rate = Rate::parse("3/m")).await;
    let mut connection = Connection::to(&gateway).await;

    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = connection.ask(&token(), &body_of("id")).await;
        statuses.push(answer.status.split(' ').nth(1).unwrap().to_owned());
    }

    assert_eq!(statuses, ["200", "200", "200", "429"]);
    assert_eq!(on_the_fast_path(&gateway).await, 2);
}

#[tokio::test]
async fn a_limit_that_changes_holds_for_bodies_that_are_known() {
    let settings = TestFile::of("");
    let record = json!({ "id": RECORD, "size": 7 });
    let upstream = ScriptedUpstream::start(move |_| Reply::json(200, &record)).await;
    let gateway = Gateway::following(upstream, &settings, &[]).await;
    let mut connection = Connection::to(&gateway).await;
    let body = body_of(&"id ".repeat(400));
    for _ in 0..4 {
        connection.ask(&token(), &body).await;
    }
    assert_eq!(on_the_fast_path(&gateway).await, 3);

    settings.write("[limits]\nmax_body_bytes = \"1KiB\"\n");
    gateway.reload().await;
    let answer = connection.ask(&token(), &body).await;

    assert!(answer.status.contains(" 413 "), "{answer:?}");
}

#[tokio::test]
async fn a_fast_answer_is_the_callers_own() {
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
    assert_eq!(on_the_fast_path(&gateway).await, 4);
}
