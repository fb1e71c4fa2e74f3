//! Slow, silent and idle clients, and too many connections.

use std::time::{Duration, Instant};

use screen_record_gateway::config::LimitsConfig;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{
    Gateway, PROJECT, RECORD, Reply, ScriptedUpstream, Socket, TOKEN, TestFile, screen_record,
};

/// Short, but longer than everything that does not wait.
const SHORT: Duration = Duration::from_millis(300);
/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_mins(10);
const TYPENAME: &str = "GET /graphql?query={__typename} HTTP/1.1\r\nhost: gateway\r\n\r\n";

const JSON: &str = "content-type: application/json\r\n";

/// A POST with a body of one chunk.
fn chunked(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /graphql HTTP/1.1\r\nhost: gateway\r\n{JSON}transfer-encoding: chunked\r\n\r\n\
         {length:x}\r\n{body}\r\n0\r\n\r\n"
    )
}

/// A text in pieces.
fn cut<'t>(text: &'t str, at: &[usize]) -> Vec<&'t str> {
    let (mut pieces, mut begun) = (Vec::new(), 0);
    for end in at.iter().copied().chain([text.len()]) {
        pieces.push(text.get(begun..end).unwrap());
        begun = end;
    }
    pieces
}

/// No limit that a test could reach.
fn without_limits() -> LimitsConfig {
    LimitsConfig {
        header_timeout: LONG,
        idle_timeout: LONG,
        write_timeout: LONG,
        request_timeout: LONG,
        ..LimitsConfig::default()
    }
}

async fn gateway(limits: LimitsConfig) -> Gateway {
    let upstream = ScriptedUpstream::start(|_| Reply::json(200, &json!({ "id": RECORD }))).await;
    before(upstream, limits).await
}

async fn before(upstream: ScriptedUpstream, limits: LimitsConfig) -> Gateway {
    Gateway::configured(upstream, |config| {
        config.upstream.deadline = LONG;
        config.upstream.attempt_timeout = LONG;
        config.limits = limits;
    })
    .await
}

async fn connect(gateway: &Gateway) -> TcpStream {
    TcpStream::connect(gateway.address).await.unwrap()
}

/// Sends a request and reads its answer, which is small.
async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(TYPENAME.as_bytes()).await.unwrap();
    answer_of(stream).await
}

/// Reads an answer that is small.
async fn answer_of(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"}}") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "the connection has ended");
    }
    String::from_utf8(answer).unwrap()
}

/// Waits until the other side has closed a connection.
async fn end_of(stream: &mut TcpStream) {
    let ending = async { while !matches!(stream.read(&mut [0; 1024]).await, Ok(0) | Err(_)) {} };
    tokio::time::timeout(Duration::from_secs(30), ending).await.expect("it was never ended");
}

fn ended(reason: &str, times: usize) -> String {
    format!("gateway_http_connections_ended_total{{reason=\"{reason}\"}} {times}")
}

#[tokio::test]
async fn a_client_that_sends_nothing_or_only_a_part_is_disconnected() {
    for begun in
        ["", "G", "GET /graphql HTTP/1.1\r\nhost: ", "PRI * HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let gateway = gateway(LimitsConfig { header_timeout: SHORT, ..without_limits() }).await;
        let mut stream = connect(&gateway).await;
        stream.write_all(begun.as_bytes()).await.unwrap();

        end_of(&mut stream).await;

        gateway.until_metric(&ended("headers", 1)).await;
        gateway.until_metric("gateway_http_connections 0").await;
    }
}

#[tokio::test]
async fn headers_that_trickle_in_get_no_more_time() {
    let gateway = gateway(LimitsConfig { header_timeout: SHORT, ..without_limits() }).await;
    let mut stream = connect(&gateway).await;
    let (mut from, mut to) = stream.split();
    let trickling = async {
        let mut tick = tokio::time::interval(SHORT / 10);
        while to.write_all(b"x").await.is_ok() {
            tick.tick().await;
        }
    };

    let ending = async { while !matches!(from.read(&mut [0; 64]).await, Ok(0) | Err(_)) {} };
    let both = async {
        tokio::select! { () = trickling => {}, () = ending => {} }
    };
    tokio::time::timeout(Duration::from_secs(30), both).await.expect("it was never ended");

    gateway.until_metric(&ended("headers", 1)).await;
}

#[tokio::test]
async fn a_kept_connection_has_the_idle_time_between_requests_and_the_header_time_within_one() {
    let limits = LimitsConfig { header_timeout: SHORT, ..without_limits() };
    let gateway = gateway(LimitsConfig { idle_timeout: 3 * SHORT, ..limits }).await;
    let mut idle = connect(&gateway).await;
    ask(&mut idle).await;
    let answered = Instant::now();

    end_of(&mut idle).await;

    // The shorter time for headers has not begun: no byte of a request has arrived.
    assert!(answered.elapsed() >= 3 * SHORT, "{:?}", answered.elapsed());
    gateway.until_metric(&ended("idle", 1)).await;
    gateway.until_metric(&ended("headers", 0)).await;
}

#[tokio::test]
async fn the_headers_of_a_later_request_have_the_same_time_limit() {
    let gateway = gateway(LimitsConfig { header_timeout: SHORT, ..without_limits() }).await;
    let mut stream = connect(&gateway).await;
    ask(&mut stream).await;
    stream.write_all(b"GET /graphql HTTP/1.1\r\nhost: ").await.unwrap();

    end_of(&mut stream).await;

    gateway.until_metric(&ended("headers", 1)).await;
}

#[tokio::test]
async fn a_head_behind_a_whole_request_has_the_same_time_limit() {
    let body = "{\"query\":\"{__typename}\"}";
    let post = format!(
        "POST /graphql HTTP/1.1\r\nhost: gateway\r\n{JSON}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    for whole in [TYPENAME, &post, &chunked(body)] {
        let gateway = gateway(LimitsConfig { header_timeout: SHORT, ..without_limits() }).await;
        let mut stream = connect(&gateway).await;
        let request = format!("{whole}GET /graphql HTTP/1.1\r\nhost: ");
        stream.write_all(request.as_bytes()).await.unwrap();
        answer_of(&mut stream).await;

        end_of(&mut stream).await;

        gateway.until_metric(&ended("headers", 1)).await;
    }
}

#[tokio::test]
async fn a_request_with_a_body_does_not_change_the_idle_time() {
    let body = "{\"query\":\n\n\"{__typename}\"}";
    let post = format!(
        "POST /graphql HTTP/1.1\r\nhost: gateway\r\n{JSON}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let chunked = chunked(body);
    for pieces in [
        vec![post.as_str()],
        cut(&post, &[30, post.len() - 5]),
        vec![&post, &post],
        vec![&chunked],
        cut(&chunked, &[chunked.len() - 6]),
        vec![&chunked, "\r\n\n", TYPENAME, &post],
    ] {
        let limits = LimitsConfig { header_timeout: SHORT, ..without_limits() };
        let gateway = gateway(LimitsConfig { idle_timeout: 3 * SHORT, ..limits }).await;
        let mut stream = connect(&gateway).await;
        for piece in &pieces {
            stream.write_all(piece.as_bytes()).await.unwrap();
            if piece.ends_with('}') || piece.ends_with("0\r\n\r\n") || *piece == TYPENAME {
                answer_of(&mut stream).await;
            }
        }

        end_of(&mut stream).await;

        gateway.until_metric(&ended("idle", 1)).await;
        gateway.until_metric(&ended("headers", 0)).await;
    }
}

#[tokio::test]
async fn an_idle_http_2_connection_is_closed() {
    let gateway = gateway(LimitsConfig { idle_timeout: SHORT, ..without_limits() }).await;
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let url = format!("{}?query={{__typename}}", gateway.url());

    let answer = client.get(&url).send().await.unwrap();
    gateway.until_metric(&ended("idle", 1)).await;
    gateway.until_metric("gateway_http_connections 0").await;
    let again = client.get(&url).send().await.unwrap();

    assert_eq!((answer.version(), answer.status()), (reqwest::Version::HTTP_2, again.status()));
}

#[tokio::test]
async fn neither_a_long_request_nor_a_socket_nor_an_event_stream_is_idle_or_stalled() {
    let upstream =
        ScriptedUpstream::start(|_| Reply::json(200, &json!({ "id": RECORD, "status": "x" })))
            .await;
    let limits = LimitsConfig { idle_timeout: SHORT, write_timeout: SHORT, ..without_limits() };
    let gateway = before(upstream.clone(), limits).await;
    let headers = [("x-auth-token", TOKEN)];
    let mut socket = Socket::open(&gateway, &headers).await.ok().unwrap();
    let document = format!(
        r#"subscription {{ screenRecord(projectId: "{PROJECT}", id: "{RECORD}") {{ id }} }}"#
    );
    let mut events = gateway
        .http()
        .post(gateway.url())
        .header("content-type", "application/json")
        .header("accept", "text/event-stream")
        .header("x-auth-token", TOKEN)
        .body(json!({ "query": document }).to_string())
        .send()
        .await
        .unwrap();
    events.chunk().await.unwrap().unwrap();
    upstream.hold();
    let other = screen_record("id").replace(RECORD, "another");
    let waiting = gateway.post(&other, &headers);

    // Later connections are idle, and closed for it one after the other.
    let idle = async {
        for times in 1..=3 {
            let mut stream = connect(&gateway).await;
            ask(&mut stream).await;
            end_of(&mut stream).await;
            gateway.until_metric(&ended("idle", times)).await;
        }
        upstream.release();
    };
    let (answer, ()) = tokio::join!(waiting, idle);

    socket.say(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.hear().await.json()["type"], "connection_ack");
    assert_eq!(answer.status, 200);
    gateway.until_metric(&ended("stalled", 0)).await;
}

#[tokio::test]
async fn a_client_that_reads_no_answers_is_disconnected() {
    let name = "x".repeat(500_000);
    let upstream = ScriptedUpstream::start(move |_| {
        Reply::json(200, &json!({ "id": RECORD, "desktop_name": name }))
    })
    .await;
    let gateway = before(upstream, LimitsConfig { write_timeout: SHORT, ..without_limits() }).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(gateway.address).await.unwrap();
    let document = screen_record("desktopName");
    let document: String = url::form_urlencoded::byte_serialize(document.as_bytes()).collect();
    let request = format!(
        "GET /graphql?query={document} HTTP/1.1\r\nhost: gateway\r\nx-auth-token: {TOKEN}\r\n\r\n"
    );

    // More than the system's buffers hold.
    stream.write_all(request.repeat(30).as_bytes()).await.unwrap();

    gateway.until_metric(&ended("stalled", 1)).await;
    gateway.until_metric("gateway_http_connections 0").await;
}

#[tokio::test]
async fn an_http_2_client_that_opens_no_window_is_disconnected() {
    let gateway = gateway(LimitsConfig { write_timeout: SHORT, ..without_limits() }).await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .http2_initial_stream_window_size(0)
        .build()
        .unwrap();
    let url = format!("{}?query={{__typename}}", gateway.url());

    let answer = client.get(&url).send().await.unwrap();
    let body = answer.bytes().await;

    assert!(body.is_err(), "{body:?}");
    gateway.until_metric(&ended("stalled", 1)).await;
}

#[tokio::test]
async fn one_connection_too_many_waits_until_another_closes() {
    let gateway = gateway(LimitsConfig { max_connections: 2, ..without_limits() }).await;
    let (mut first, mut second) = (connect(&gateway).await, connect(&gateway).await);
    ask(&mut first).await;
    ask(&mut second).await;
    let mut third = connect(&gateway).await;
    third.write_all(TYPENAME.as_bytes()).await.unwrap();
    gateway.until_metric("gateway_http_connections_full_total 1").await;
    gateway.until_metric("gateway_http_connections 2").await;

    let early = third.try_read(&mut [0; 64]);
    drop(first);
    let mut answer = Vec::new();
    third.read_buf(&mut answer).await.unwrap();

    assert_eq!(early.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
    assert!(ask(&mut second).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn changed_time_limits_apply_to_new_connections_only() {
    let settings = TestFile::of("limits.idle_timeout = \"10m\"\n");
    let upstream = ScriptedUpstream::start(|_| Reply::Hang).await;
    let gateway = Gateway::following(upstream, &settings, &[]).await;
    let mut before = connect(&gateway).await;
    ask(&mut before).await;

    settings.write("limits.idle_timeout = \"300ms\"\n");
    gateway.reload().await;
    let mut after = connect(&gateway).await;
    ask(&mut after).await;
    end_of(&mut after).await;

    gateway.until_metric(&ended("idle", 1)).await;
    assert!(ask(&mut before).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_changed_limit_of_connections_applies_at_once_and_closes_none() {
    let settings = TestFile::of("limits.max_connections = 1\n");
    let upstream = ScriptedUpstream::start(|_| Reply::Hang).await;
    let gateway = Gateway::following(upstream, &settings, &[]).await;
    let mut first = connect(&gateway).await;
    ask(&mut first).await;
    let mut second = connect(&gateway).await;
    second.write_all(TYPENAME.as_bytes()).await.unwrap();
    gateway.until_metric("gateway_http_connections_full_total 1").await;
    let early = second.try_read(&mut [0; 64]);

    settings.write("limits.max_connections = 2\n");
    gateway.reload().await;
    let answer = answer_of(&mut second).await;
    gateway.until_metric("gateway_http_connections_limit 2").await;
    settings.write("limits.max_connections = 1\n");
    gateway.reload().await;
    gateway.until_metric("gateway_http_connections_limit 1").await;

    assert_eq!(early.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert!(answer.starts_with("HTTP/1.1 200 OK"));
    for stream in [&mut first, &mut second] {
        assert!(ask(stream).await.starts_with("HTTP/1.1 200 OK"));
    }
}

#[tokio::test]
async fn a_long_token_is_accepted_and_huge_headers_are_refused() {
    let gateway = gateway(without_limits()).await;
    let http1 = reqwest::Client::builder().no_proxy().http1_only().build().unwrap();
    let http2 = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let url = format!("{}?query={{__typename}}", gateway.url());
    for client in [http1, http2] {
        let version =
            |length: usize| client.get(&url).header("x-auth-token", "x".repeat(length)).send();

        let long = version(64_000).await.unwrap().status();
        let too_long = version(150_000).await;

        assert_eq!(long, 200);
        assert!(too_long.is_err() || too_long.unwrap().status() == 431);
    }
}

#[tokio::test]
async fn more_than_a_hundred_headers_are_refused() {
    let gateway = gateway(without_limits()).await;
    let mut stream = connect(&gateway).await;
    let headers = "x-one-more: y\r\n".repeat(101);
    stream.write_all(TYPENAME.replace("\r\n\r\n", "\r\n").as_bytes()).await.unwrap();

    stream.write_all(format!("{headers}\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();

    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}
