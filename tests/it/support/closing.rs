//! An HTTP/1.1 upstream that closes kept-alive connections when the next request arrives.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How a connection is closed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Closing {
    /// The request is left unread, so that the client sees a reset.
    Unread,
    /// The request is read and gets no response.
    Unanswered,
}

/// The upstream.
pub(crate) struct ClosingUpstream {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    answered: AtomicUsize,
    closed: AtomicUsize,
    restarts: AtomicUsize,
}

impl ClosingUpstream {
    /// Answers `answers` requests of each connection, and closes it when another one arrives.
    pub(crate) async fn after(answers: usize, closing: Closing, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::<Counts>::default();
        let (shared, length) = (Arc::clone(&counts), body.len());
        let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let (counts, response) = (Arc::clone(&shared), response.clone());
                tokio::spawn(async move {
                    let _ = serve(stream, answers, closing, &response, &counts).await;
                });
            }
        });
        Self { address, counts }
    }

    /// Closes the existing connections when their next request arrives; later ones stay open.
    pub(crate) fn restart(&self) {
        self.counts.restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn answered(&self) -> usize {
        self.counts.answered.load(Ordering::Relaxed)
    }

    /// Requests that were left without a response.
    pub(crate) fn closed(&self) -> usize {
        self.counts.closed.load(Ordering::Relaxed)
    }
}

async fn serve(
    mut stream: TcpStream,
    answers: usize,
    closing: Closing,
    response: &str,
    counts: &Counts,
) -> std::io::Result<()> {
    let restarts = counts.restarts.load(Ordering::Relaxed);
    for _ in 0..answers {
        stream.peek(&mut [0]).await?;
        if counts.restarts.load(Ordering::Relaxed) != restarts {
            break;
        }
        read_request(&mut stream).await?;
        counts.answered.fetch_add(1, Ordering::Relaxed);
        stream.write_all(response.as_bytes()).await?;
    }
    match closing {
        Closing::Unread => {
            stream.peek(&mut [0]).await?;
        }
        Closing::Unanswered => read_request(&mut stream).await?,
    }
    counts.closed.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Reads a request without a body.
async fn read_request(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    Ok(())
}
