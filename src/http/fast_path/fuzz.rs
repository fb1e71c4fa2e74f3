//! Fuzz target: connections with and without the fast path, which nobody may be able to tell apart.

use std::fmt::Write as _;
use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::runtime::Builder;
use tokio::time::{Duration, sleep};

use super::{AtOnce, Message};
use crate::bodies;
use crate::http::endpoint::Prepared;
use crate::http::listener::{Serve, converse};

/// Ends a piece of what a client sends.
const CUT: u8 = 0xff;
/// The target that is answered on the fast path.
const FAST: &str = "/fast";
const MAX_BODY: usize = 64 * 1024;
/// Time in which everybody does what there is to do. It passes at once.
const PAUSE: Duration = Duration::from_millis(1);

/// How long a client waits for answers before it ends what it says: less than it may take to say something.
const PATIENCE: Duration = Duration::from_secs(2);

/// What hyper answers to what is no request.
const REFUSAL: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// How HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Tells what it was asked, on the fast path or without one.
#[derive(Clone)]
struct Echo<const FAST_PATH: bool>;

/// The first byte chooses how much a connection holds in each direction; the rest is what a client sends, in
/// pieces.
pub(crate) fn connection(bytes: &[u8]) {
    let Some((choice, sent)) = bytes.split_first() else { return };
    // Behind a request on the fast path, hyper still takes it for the beginning of HTTP/2.
    if sent.windows(PREFACE.len()).skip(1).any(|part| part == PREFACE) {
        return;
    }
    let holds = if choice % 2 == 0 { 16 * 1024 } else { 48 };
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without sockets asks the system for nothing");
    let (with, without) = runtime.block_on(async {
        (talk(Echo::<true>, sent, holds).await, talk(Echo::<false>, sent, holds).await)
    });
    assert!(with == without, "{} is not {}", with.escape_ascii(), without.escape_ascii());
}

/// All that a client gets who sends this.
async fn talk(service: impl Serve, sent: &[u8], holds: usize) -> Vec<u8> {
    let (client, server) = duplex(holds);
    let (mut reader, mut writer) = tokio::io::split(client);
    let serving = converse(server, service);
    let reading = async move {
        let mut got = Vec::new();
        // A client that takes its time.
        let mut room = [0; 32];
        while let Ok(read @ 1..) = reader.read(&mut room).await {
            got.extend_from_slice(room.get(..read).unwrap_or_default());
            sleep(PAUSE).await;
        }
        got
    };
    let writing = async move {
        for piece in sent.split(|byte| *byte == CUT) {
            if writer.write_all(piece).await.is_err() {
                break;
            }
            sleep(PAUSE).await;
        }
        // hyper gives up what it owes to a client that says nothing more.
        sleep(PATIENCE).await;
        let _ = writer.shutdown().await;
    };
    let ((), got, ()) = tokio::join!(serving, reading, writing);
    compared(&got)
}

/// Without the dates that hyper puts on what it answers itself, and without a refusal at the end: a head that is
/// cut off gets one from hyper or none, by whether hyper has read a request before.
fn compared(answers: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    for line in answers.split_inclusive(|byte| *byte == b'\n') {
        if !line.starts_with(b"date: ") {
            rest.extend_from_slice(line);
        }
    }
    rest.strip_suffix(REFUSAL).map(<[u8]>::to_vec).unwrap_or(rest)
}

/// What was asked, with the names of fields as HTTP takes them.
fn told<'a>(
    target: &str,
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    body: &[u8],
) -> String {
    let named = |(name, value): (&str, &[u8])| {
        format!("{}={}", name.to_ascii_lowercase(), value.escape_ascii())
    };
    let mut fields: Vec<String> = fields.map(named).collect();
    fields.sort();
    format!("{target} {} {}\n", fields.join(","), body.escape_ascii())
}

impl<const FAST_PATH: bool> Serve for Echo<FAST_PATH> {
    const HAS_FAST_PATH: bool = FAST_PATH;

    fn answer_at_once(
        &self,
        _: SocketAddr,
        Message { method, target, fields, body }: &Message<'_, '_>,
        response: &mut Vec<u8>,
    ) -> AtOnce {
        if *method != "POST" || *target != FAST || body.len() > MAX_BODY {
            return AtOnce::Unread;
        }
        response.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        let body = told(target, fields.iter(), body);
        let mut text = String::new();
        let _ = write!(text, "content-length: {}\r\ndate: now\r\n\r\n{body}", body.len());
        response.extend_from_slice(text.as_bytes());
        AtOnce::Answered
    }

    async fn serve(
        &self,
        _: SocketAddr,
        request: Request<Incoming>,
        _: Option<Box<Prepared>>,
    ) -> Response {
        let (parts, body) = request.into_parts();
        if parts.uri.path() == "/unread" {
            return "answered before the body was there\n".into_response();
        }
        let Ok(body) = bodies::whole(body, MAX_BODY).await else {
            return "half a body\n".into_response();
        };
        if parts.method != Method::POST {
            // Answered later than it is asked.
            sleep(PAUSE * 4).await;
        }
        let fields = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let mut response = Response::new(Body::from(told(&parts.uri.to_string(), fields, &body)));
        response.headers_mut().insert(header::DATE, HeaderValue::from_static("now"));
        response
    }
}
