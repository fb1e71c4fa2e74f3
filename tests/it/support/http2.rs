//! An upstream that speaks HTTP/2 frame by frame, so that a test decides the outcome of each stream.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;

use super::Authority;

const PREFACE: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;
/// `:status: 200`, by its index in HPACK's static table.
const STATUS_200: u8 = 0x88;

/// The outcome of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    Answer,
    /// `RST_STREAM` with `REFUSED_STREAM`.
    Refuse,
    /// GOAWAY, with the stream before this one as the last that was processed, and this reason; then
    /// the connection ends.
    GoAway {
        reason: u32,
    },
    /// The connection ends without a GOAWAY.
    Hang,
}

/// The number of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Among all requests, from 0.
    pub(crate) overall: usize,
    /// Among those of its connection, from 0.
    pub(crate) in_connection: usize,
}

/// The upstream.
pub(crate) struct Http2Upstream {
    pub(crate) url: url::Url,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Http2Upstream {
    /// Answers with a body if the script says so.
    pub(crate) async fn start(
        authority: &Authority,
        body: &str,
        script: impl Fn(Place) -> Turn + Send + Sync + 'static,
    ) -> Self {
        let acceptor = authority.issue().acceptor(&["h2"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::<Counts>::default();
        let (shared, body, script) = (Arc::clone(&counts), body.to_owned(), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, body) = (acceptor.clone(), body.clone());
                let (counts, script) = (Arc::clone(&shared), Arc::clone(&script));
                counts.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await?;
                    let connection = Connection { stream, requests: 0, last_processed: 0 };
                    connection.serve(&counts.requests, body.as_bytes(), &*script).await
                });
            }
        });
        Self { url: format!("https://localhost:{port}").parse().unwrap(), counts }
    }

    /// Requests so far, answered or not.
    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::Relaxed)
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Relaxed)
    }
}

struct Connection {
    stream: TlsStream<TcpStream>,
    requests: usize,
    last_processed: u32,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Connection {
    async fn serve(
        mut self,
        count: &AtomicUsize,
        body: &[u8],
        script: &(dyn Fn(Place) -> Turn + Send + Sync),
    ) -> io::Result<()> {
        self.stream.read_exact(&mut [0; PREFACE]).await?;
        self.write(SETTINGS, 0, 0, &[]).await?;
        loop {
            let frame = self.read().await?;
            match (frame.kind, frame.flags & ACK) {
                (SETTINGS, 0) => self.write(SETTINGS, ACK, 0, &[]).await?,
                (PING, 0) => self.write(PING, ACK, 0, &frame.payload).await?,
                (HEADERS, _) => {
                    let overall = count.fetch_add(1, Ordering::Relaxed);
                    let place = Place { overall, in_connection: self.requests };
                    self.requests += 1;
                    let turn = script(place);
                    self.act(turn, frame.stream, body).await?;
                    if matches!(turn, Turn::GoAway { .. } | Turn::Hang) {
                        return self.stream.shutdown().await;
                    }
                }
                _ => {}
            }
        }
    }

    async fn act(&mut self, turn: Turn, stream: u32, body: &[u8]) -> io::Result<()> {
        match turn {
            Turn::Answer => {
                self.last_processed = stream;
                self.write(HEADERS, END_HEADERS, stream, &[STATUS_200]).await?;
                self.write(DATA, END_STREAM, stream, body).await
            }
            Turn::Refuse => self.write(RST_STREAM, 0, stream, &REFUSED_STREAM.to_be_bytes()).await,
            Turn::GoAway { reason } => {
                let last = self.last_processed.to_be_bytes();
                let payload = [last, reason.to_be_bytes()].concat();
                self.write(GOAWAY, 0, 0, &payload).await
            }
            Turn::Hang => Ok(()),
        }
    }

    async fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).await?;
        Ok(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&[a, b, c, kind, flags][..], &stream.to_be_bytes()].concat();
        self.stream.write_all(&[&head, payload].concat()).await?;
        self.stream.flush().await
    }
}
