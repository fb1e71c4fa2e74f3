#![expect(clippy::disallowed_methods, reason = "the tests serve, and wait for it themselves")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::Request;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use tokio::io::{
    AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split,
};
use tokio::time::sleep;

use super::*;
use crate::bodies;
use crate::http::listener::converse;

const FAST: &str = "POST /fast HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";
const SLOW: &str = "POST /slow HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfast";
/// Time in which everybody does what there is to do. It passes at once.
const PAUSE: Duration = Duration::from_millis(1);

/// Answers `/fast` at once and all else later, and counts both.
#[derive(Clone, Default)]
struct Counted(Arc<[AtomicUsize; 2]>);

impl Counted {
    /// How many were answered at once, and how many by hyper.
    fn answered(&self) -> [usize; 2] {
        [0, 1].map(|place| self.0[place].load(Ordering::SeqCst))
    }
}

impl Serve for Counted {
    const HAS_FAST_PATH: bool = true;

    fn answer_at_once(
        &self,
        _: SocketAddr,
        request: &Message<'_, '_>,
        response: &mut Vec<u8>,
    ) -> AtOnce {
        response.extend_from_slice(b"HTTP/1.1 500 ");
        assert!(request.target != "/panic", "somebody panics");
        response.clear();
        if request.target != "/fast" {
            return AtOnce::Unread;
        }
        self.0[0].fetch_add(1, Ordering::SeqCst);
        response.extend_from_slice(ANSWER.as_bytes());
        AtOnce::Answered
    }

    async fn serve(
        &self,
        _: SocketAddr,
        request: Request<Incoming>,
        _: Option<Box<Prepared>>,
    ) -> Response {
        let _ = bodies::whole(request.into_body(), usize::MAX).await;
        self.0[1].fetch_add(1, Ordering::SeqCst);
        "slow".into_response()
    }
}

/// A client of a service over a connection that holds so many bytes in each direction.
struct Client {
    reader: ReadHalf<DuplexStream>,
    writer: WriteHalf<DuplexStream>,
}

impl Client {
    fn of(service: &Counted, holds: usize) -> Self {
        let (client, server) = duplex(holds);
        tokio::spawn(converse(server, service.clone()));
        let (reader, writer) = split(client);
        Self { reader, writer }
    }

    async fn send(&mut self, text: &str) {
        self.writer.write_all(text.as_bytes()).await.unwrap();
        sleep(PAUSE).await;
    }

    /// What has come by now.
    async fn take(&mut self) -> String {
        let mut taken = Vec::new();
        loop {
            sleep(PAUSE).await;
            match self.reader.read_buf(&mut taken).now_or_never() {
                Some(Ok(1..)) => {}
                _ => return String::from_utf8(taken).unwrap(),
            }
        }
    }

    /// The bodies of answers that have come by now.
    async fn bodies(&mut self) -> Vec<String> {
        let taken = self.take().await;
        let bodies = taken.split("\r\n\r\n").skip(1).map(|body| body.chars().take(4).collect());
        bodies.collect()
    }
}

#[tokio::test(start_paused = true)]
async fn each_request_takes_the_way_that_is_its_own() {
    let service = Counted::default();
    let mut client = Client::of(&service, 4096);

    for (request, body, answered) in
        [(FAST, "fast", [1, 0]), (SLOW, "slow", [1, 1]), (FAST, "fast", [2, 1])]
    {
        client.send(request).await;

        assert_eq!(client.bodies().await, [body]);
        assert_eq!(service.answered(), answered);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_over_which_somebody_panics_is_hypers() {
    let service = Counted::default();
    let mut client = Client::of(&service, 4096);

    client.send(&FAST.replace("/fast", "/panic")).await;
    client.send(FAST).await;

    assert_eq!(client.bodies().await, ["slow", "fast"]);
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_together_are_answered_in_their_order() {
    let service = Counted::default();
    let mut client = Client::of(&service, 4096);

    client.send(&[FAST, FAST, SLOW, FAST].concat()).await;

    assert_eq!(client.bodies().await, ["fast", "fast", "slow", "slow"]);
    assert_eq!(service.answered(), [2, 2], "what came behind another is hyper's");
}

#[tokio::test(start_paused = true)]
async fn a_request_may_come_in_pieces() {
    let service = Counted::default();
    let mut client = Client::of(&service, 4096);
    let (head, body) = FAST.split_at(FAST.len() - 2);

    for byte in head.get(..head.len() - 1).unwrap().chars() {
        client.send(&byte.to_string()).await;
    }
    client.send(&format!("\n{body}")).await;
    assert_eq!((client.bodies().await, service.answered()), (vec!["fast".to_owned()], [1, 0]));

    // One that is not there in full when its head is is hyper's to wait for.
    client.send(head).await;
    client.send(body).await;
    assert_eq!((client.bodies().await, service.answered()), (vec!["slow".to_owned()], [1, 1]));

    client.send(FAST).await;
    assert_eq!((client.bodies().await, service.answered()), (vec!["fast".to_owned()], [2, 1]));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_asked_for_no_more() {
    let service = Counted::default();
    let mut client = Client::of(&service, ANSWER.len() + 8);
    client.send(FAST).await;
    assert_eq!(service.answered(), [1, 0]);

    client.send(FAST).await;
    let [before, _] = service.answered();
    let asking = client.send(FAST).now_or_never();
    sleep(PAUSE).await;
    let [after, _] = service.answered();

    assert_eq!((before, after), (2, 2), "the answer that is under way comes first");
    assert_eq!(asking, None);
    let got = client.take().await;
    assert!(got.starts_with(&format!("{ANSWER}{ANSWER}")), "{got}");
}

#[tokio::test(start_paused = true)]
async fn a_head_without_an_end_is_hypers_to_refuse() {
    let service = Counted::default();
    let mut client = Client::of(&service, 1024 * 1024);

    client.send("POST /fast HTTP/1.1\r\nlong: ").await;
    client.send(&"a".repeat(LONGEST_HEAD + 1)).await;

    let got = client.take().await;
    assert!(got.starts_with("HTTP/1.1 431 "), "{got}");
    assert_eq!(service.answered(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_was_cut_off_is_not_answered() {
    let service = Counted::default();
    let mut client = Client::of(&service, 4096);

    client.send(FAST.get(..30).unwrap()).await;
    client.writer.shutdown().await.unwrap();

    assert_eq!((client.take().await.as_str(), service.answered()), ("", [0, 0]));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_sends_the_answer_that_is_under_way() {
    let (mut client, server) = duplex(FAST.len());
    let activity = Arc::new(Activity::default());
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut path = FastPath::new(server, Counted::default(), peer, Arc::clone(&activity));
    client.write_all(FAST.as_bytes()).await.unwrap();
    // All that fits is sent now.
    assert!(path.read(&mut [0; 100]).now_or_never().is_none());
    client.write_all(FAST.as_bytes()).await.unwrap();
    assert!(path.read(&mut [0; 100]).now_or_never().is_none());

    let ending = tokio::spawn(async move { path.shutdown().await });
    let mut got = String::new();
    client.read_to_string(&mut got).await.unwrap();

    ending.await.unwrap().unwrap();
    assert_eq!(got, format!("{ANSWER}{ANSWER}").get(..got.len()).unwrap());
    assert!(got.len() >= ANSWER.len(), "{got}");
}
