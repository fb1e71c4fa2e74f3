//! The WebSocket protocol: handshakes, frames, closes, and limits of sockets.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{
    Gateway, RECORD, Reply, Said, ScriptedUpstream, Socket, TOKEN, screen_record,
};

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

/// A client that sends arbitrary frames.
struct Frames(TcpStream);

impl Frames {
    async fn open(gateway: &Gateway) -> Self {
        Self::over(TcpStream::connect(gateway.address).await.unwrap(), gateway).await
    }

    async fn over(mut stream: TcpStream, gateway: &Gateway) -> Self {
        let handshake = format!(
            "GET /graphql HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n",
            gateway.address
        );
        stream.write_all(handshake.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        Self(stream)
    }

    async fn send(&mut self, frame: &[u8]) {
        self.0.write_all(frame).await.unwrap();
    }

    async fn say(&mut self, message: &Value) {
        self.send(&masked(TEXT, message.to_string().as_bytes())).await;
    }

    /// First byte and payload of the next frame.
    async fn next(&mut self) -> (u8, Vec<u8>) {
        let first = self.0.read_u8().await.unwrap();
        let length = match self.0.read_u8().await.unwrap() {
            126 => usize::from(self.0.read_u16().await.unwrap()),
            127 => usize::try_from(self.0.read_u64().await.unwrap()).unwrap(),
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.unwrap();
        (first, payload)
    }

    /// Code and reason of the next close frame; then the connection must end.
    async fn closed(&mut self) -> (u16, String) {
        let (first, payload) = self.next().await;
        assert_eq!(first, CLOSE, "{}", String::from_utf8_lossy(&payload));
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty(), "{rest:?} after the close");
        let (code, reason) = payload.split_at(2);
        let code = u16::from_be_bytes(code.try_into().unwrap());
        (code, String::from_utf8(reason.to_vec()).unwrap())
    }
}

/// A whole frame under a mask of zeros, which leaves the payload as it is.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&header(first, payload.len())[..], payload].concat()
}

fn header(first: u8, length: usize) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..126 => header.push(0x80 | u8::try_from(length).unwrap()),
        126..65_536 => {
            header.push(0x80 | 0x7E);
            header.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        _ => {
            header.push(0x80 | 0x7F);
            header.extend(u64::try_from(length).unwrap().to_be_bytes());
        }
    }
    header.extend([0; 4]);
    header
}

fn ping_of(bytes: usize) -> Value {
    json!({ "type": "ping", "payload": { "padding": "x".repeat(bytes) } })
}

async fn gateway() -> Gateway {
    Gateway::answering(200, json!({ "id": RECORD, "status": "RECORDING" })).await
}

#[tokio::test]
async fn a_close_is_answered_with_its_own_code() {
    let gateway = gateway().await;
    for payload in [&b"\x03\xe8bye"[..], b"\x0f\xa0"] {
        let mut socket = Frames::open(&gateway).await;

        socket.send(&masked(CLOSE, payload)).await;

        let (code, reason) = socket.closed().await;
        assert_eq!([&code.to_be_bytes()[..], reason.as_bytes()].concat(), payload);
    }
}

#[tokio::test]
async fn forbidden_frames_are_answered_with_the_close_code_of_the_protocol() {
    let gateway = gateway().await;
    for (what, frame, code) in [
        ("no mask", vec![TEXT, 2, b'{', b'}'], 1002),
        ("reserved bits", masked(0xc1, b"{}"), 1002),
        ("a reserved type", masked(0x83, b"{}"), 1002),
        ("a ping in fragments", masked(0x09, b""), 1002),
        ("a ping that is too long", masked(PING, &[b'x'; 126]), 1002),
        ("a continuation of nothing", masked(0x80, b"{}"), 1002),
        ("a close with half a code", masked(CLOSE, b"\x03"), 1002),
        ("a close with a reserved code", masked(CLOSE, b"\x03\xed"), 1002),
        ("a text that is not UTF-8", masked(TEXT, b"\xff\xfe"), 1007),
        ("a reason that is not UTF-8", masked(CLOSE, b"\x03\xe8\xff"), 1007),
        ("binary", masked(0x82, b"{}"), 4400),
        ("another format", masked(TEXT, b"{}"), 4400),
    ] {
        let mut socket = Frames::open(&gateway).await;

        socket.send(&frame).await;

        assert_eq!(socket.closed().await.0, code, "{what}");
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_closed_with_1009_though_the_client_sends_on() {
    let gateway = gateway().await;
    let mut socket = Frames::open(&gateway).await;
    socket.say(&json!({ "type": "connection_init" })).await;
    socket.next().await;

    socket.send(&masked(TEXT, &vec![b'x'; 4 * 1024 * 1024])).await;

    assert_eq!(socket.closed().await, (1009, "Message too big".to_owned()));
}

#[tokio::test]
async fn before_authentication_a_socket_may_send_at_most_96_kib() {
    let gateway = gateway().await;
    let larger = masked(TEXT, ping_of(100 * 1024).to_string().as_bytes());
    let in_fragments: Vec<u8> =
        (0..100).flat_map(|number| masked(u8::from(number == 0), &[b'x'; 1024])).collect();
    for too_much in [&larger, &in_fragments] {
        let mut socket = Frames::open(&gateway).await;

        socket.send(too_much).await;

        assert_eq!(socket.closed().await.0, 1009);
    }
    let mut socket = Frames::open(&gateway).await;
    let init = json!({ "x-auth-token": "t".repeat(64_000) });

    socket.say(&json!({ "type": "connection_init", "payload": init })).await;
    let acknowledged = socket.next().await;
    socket.send(&larger).await;
    let pong = socket.next().await;

    assert_eq!(acknowledged, (TEXT, br#"{"type":"connection_ack"}"#.to_vec()));
    assert!(pong.1.starts_with(br#"{"payload":{"padding":"xx"#));
}

#[tokio::test]
async fn a_client_that_sends_pings_and_reads_no_pongs_is_disconnected() {
    let gateway = Gateway::configured(
        ScriptedUpstream::start(|_| Reply::json(200, &json!({}))).await,
        |config| config.subscriptions.send_timeout = Duration::from_millis(100),
    )
    .await;
    let stream = TcpSocket::new_v4().unwrap();
    // Small, so that the system buffers little unread data.
    stream.set_recv_buffer_size(4096).unwrap();
    let stream = stream.connect(gateway.address).await.unwrap();
    let mut socket = Frames::over(stream, &gateway).await;
    socket.say(&json!({ "type": "connection_init" })).await;
    let pings = masked(PING, &[b'x'; 125]).repeat(1000);

    let flooding = async { while socket.0.write_all(&pings).await.is_ok() {} };
    let ended = tokio::time::timeout(Duration::from_secs(40), flooding).await;

    assert!(ended.is_ok(), "the gateway takes pings without end");
}

#[tokio::test]
async fn a_handshake_of_another_version_is_426_with_the_supported_one() {
    let gateway = gateway().await;
    for version in [Some("12"), Some("14"), None] {
        let mut request = gateway
            .http()
            .get(gateway.url())
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", "graphql-transport-ws");
        if let Some(version) = version {
            request = request.header("sec-websocket-version", version);
        }

        let refused = request.send().await.unwrap();

        let header = |name: &str| refused.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(refused.status().as_u16(), 426, "{version:?}");
        assert_eq!(header("sec-websocket-version"), "13");
        assert_eq!(header("upgrade"), "websocket");
    }
}

#[tokio::test]
async fn a_malformed_handshake_is_refused_with_the_reason() {
    let gateway = gateway().await;
    let good = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "graphql-transport-ws"),
    ];
    for (name, value, wrong) in [
        ("connection", "close", "Connection: upgrade"),
        ("sec-websocket-key", "short", "Sec-WebSocket-Key"),
        ("sec-websocket-protocol", "soap", "graphql-transport-ws"),
    ] {
        let mut request = gateway.http().get(gateway.url());
        for (header, good_value) in good {
            let value = if header == name { value } else { good_value };
            request = request.header(header, value);
        }

        let refused = request.send().await.unwrap();

        let status = refused.status().as_u16();
        let body: Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
        let message = body["errors"][0]["message"].as_str().unwrap();
        assert!(status == 400 && message.contains(wrong), "{status} {message}");
    }
}

#[tokio::test]
async fn the_gateway_selects_its_protocol_from_those_offered() {
    let gateway = gateway().await;
    let offered = [("sec-websocket-protocol", "graphql-ws , graphql-transport-ws,other")];

    let mut socket = Socket::open(&gateway, &offered).await.ok().unwrap();
    socket.say(json!({ "type": "connection_init" })).await;

    assert_eq!(socket.hear().await.json()["type"], "connection_ack");
}

#[tokio::test]
async fn a_shutdown_closes_sockets_with_1001() {
    let mut gateway = gateway().await;
    let mut silent = Socket::open(&gateway, &[]).await.ok().unwrap();
    let (mut watching, _) = Socket::showing(&gateway, json!({ "x-auth-token": TOKEN })).await;
    watching.subscribe("1", &format!("subscription {}", screen_record("id"))).await;
    watching.hear().await;

    gateway.stop();

    let going_away = || Said::Closed(1001, "Going away".to_owned());
    assert_eq!(silent.hear().await, going_away());
    assert_eq!(watching.hear().await, going_away());
    drop((silent, watching));
    gateway.stopped().await;
}

#[tokio::test]
async fn an_id_in_use_is_named_in_a_reason_that_fits_a_close_frame() {
    let gateway = gateway().await;
    let watch = format!("subscription {}", screen_record("id"));
    for id in ["1".to_owned(), "é".repeat(128)] {
        let (mut socket, _) = Socket::showing(&gateway, json!({ "x-auth-token": TOKEN })).await;

        socket.subscribe(&id, &watch).await;
        socket.subscribe(&id, &watch).await;
        let mut said = socket.hear().await;
        while let Said::Message(_) = said {
            said = socket.hear().await;
        }

        let Said::Closed(code, reason) = said else { unreachable!("messages are skipped") };
        assert_eq!(code, 4409);
        assert!(reason.len() <= 123, "{reason}");
        let whole = format!("Subscriber for {id} already exists");
        assert!(whole.starts_with(&reason) && (id != "1" || reason == whole), "{reason}");
    }
}

#[tokio::test]
async fn an_operation_id_has_1_to_256_bytes() {
    let gateway = gateway().await;
    for id in [String::new(), "x".repeat(257)] {
        let (mut socket, _) = Socket::showing(&gateway, json!({ "x-auth-token": TOKEN })).await;

        socket.subscribe(&id, "{ __typename }").await;

        let reason = "Invalid message: an id has 1 to 256 bytes".to_owned();
        assert_eq!(socket.hear().await, Said::Closed(4400, reason));
    }
}

#[tokio::test]
async fn a_null_credential_falls_back_to_that_of_the_headers() {
    let gateway = gateway().await;
    let headers = [("x-auth-token", TOKEN)];
    for payload in [
        Value::Null,
        json!({}),
        json!({ "X-Auth-Token": null }),
        json!({ "X-Auth-Token": null, "authorization": null, "x-api-key": "" }),
    ] {
        let mut socket = Socket::open(&gateway, &headers).await.ok().unwrap();

        socket.say(json!({ "type": "connection_init", "payload": payload })).await;
        let acknowledged = socket.hear().await;
        socket.subscribe("1", &screen_record("id")).await;
        let answer = socket.hear().await;

        assert_eq!(acknowledged.json()["type"], "connection_ack", "{payload}");
        assert_eq!(answer.json()["payload"]["data"]["screenRecord"]["id"], RECORD, "{payload}");
    }
}

#[tokio::test]
async fn a_credential_that_is_sent_twice_is_refused() {
    let gateway = gateway().await;
    let payload = json!({ "X-Auth-Token": "one", "x-auth-token": "two" });

    let (_, said) = Socket::showing(&gateway, payload).await;

    assert_eq!(said, Said::Closed(4403, "Forbidden".to_owned()));
}

#[tokio::test]
async fn unauthenticated_sockets_leave_room_for_authenticated_ones() {
    let gateway = Gateway::configured(
        ScriptedUpstream::start(|_| Reply::json(200, &json!({ "status": "RECORDING" }))).await,
        |config| config.limits.max_in_flight = 2,
    )
    .await;
    let (mut authenticated, _) = Socket::showing(&gateway, json!({ "x-auth-token": TOKEN })).await;
    let mut silent = [
        Socket::open(&gateway, &[]).await.ok().unwrap(),
        Socket::open(&gateway, &[]).await.ok().unwrap(),
    ];

    let one_more = Socket::open(&gateway, &[]).await.err();
    let watch = format!("subscription {}", screen_record("rawStatus"));
    let headers = [("x-auth-token", TOKEN), ("accept", "text/event-stream")];
    let stream = gateway.http().post(gateway.url()).header("content-type", "application/json");
    let stream = headers.iter().fold(stream, |stream, (name, value)| stream.header(*name, *value));
    let stream = stream.body(json!({ "query": watch }).to_string()).send().await.unwrap();
    authenticated.subscribe("1", &watch).await;
    let answer = authenticated.hear().await;

    assert_eq!(one_more, Some(503));
    assert_eq!(stream.status().as_u16(), 200);
    assert_eq!(answer.json()["payload"]["data"]["screenRecord"]["rawStatus"], "RECORDING");
    // While the limit is reached they have two seconds in place of ten.
    let waiting = std::time::Instant::now();
    let reason = "Connection initialisation timeout".to_owned();
    assert_eq!(silent[0].hear().await, Said::Closed(4408, reason));
    assert!(waiting.elapsed() < Duration::from_secs(5), "{:?}", waiting.elapsed());
    drop(silent);
    let (_, acknowledged) = Socket::showing(&gateway, json!({ "x-auth-token": "other" })).await;
    assert_eq!(acknowledged, Said::Closed(1013, "Try again later".to_owned()));
}
