//! A WebSocket whose client has a time limit for reading, and a limit of bytes until it has
//! authenticated.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

use super::close::{CloseReason, Ending};
use crate::http::server::Linger;

/// Bytes that a client may send before it has authenticated: as many as headers may have, because the
/// same credentials come in them.
const MAX_UNAUTHENTICATED_BYTES: usize = 96 * 1024;
/// Every socket has a buffer of this size for as long as it lives.
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// The connection of a socket. Reading fails at the limit of bytes.
struct Limited<S> {
    stream: S,
    /// `None` once the client has authenticated.
    bytes_left: Option<usize>,
}

/// What a socket may send and how slow it may be.
#[derive(Clone, Copy)]
pub(super) struct TransportLimits {
    pub(super) max_message_bytes: usize,
    /// For one message to the client.
    pub(super) send_timeout: Duration,
}

pub(super) struct Transport {
    socket: WebSocketStream<Limited<TokioIo<Upgraded>>>,
    send_timeout: Duration,
}

impl Transport {
    pub(super) async fn new(upgraded: Upgraded, limits: TransportLimits) -> Self {
        let TransportLimits { max_message_bytes, send_timeout } = limits;
        let bytes_left = Some(MAX_UNAUTHENTICATED_BYTES);
        let stream = Limited { stream: TokioIo::new(upgraded), bytes_left };
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(max_message_bytes))
            .max_frame_size(Some(max_message_bytes));
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        Self { socket, send_timeout }
    }

    /// Lets the client send as much as it likes, now that it has authenticated.
    pub(super) fn lift_byte_limit(&mut self) {
        self.socket.get_mut().bytes_left = None;
    }

    /// The next message. May be cancelled.
    pub(super) async fn receive(&mut self) -> Result<Message, Ending> {
        match self.socket.next().await {
            Some(Ok(Message::Close(_))) => Err(Ending::ClosedByClient),
            Some(received) => received.map_err(Ending::from),
            None => Err(Ending::Lost),
        }
    }

    pub(super) async fn send_json(&mut self, message: &impl Serialize) -> Result<(), Ending> {
        // Messages are made of texts and of JSON, so they can always be written.
        let text = serde_json::to_string(message).unwrap_or_default();
        self.send(Message::text(text)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Ending> {
        let sent = timeout(self.send_timeout, self.socket.send(message)).await;
        // A broken connection shows at the next read.
        sent.map(drop).map_err(|_| CloseReason::SlowConsumer.into())
    }

    /// Sends what is queued: the answer to a ping, or to a close.
    pub(super) async fn flush(&mut self) -> Result<(), Ending> {
        let flushed = timeout(self.send_timeout, self.socket.flush()).await;
        flushed.map(drop).map_err(|_| CloseReason::SlowConsumer.into())
    }

    /// Closes the socket as its ending wants it, then the connection.
    pub(super) async fn close(mut self, ending: Ending) {
        let closed = match ending {
            Ending::Lost => return,
            Ending::ClosedByClient => self.flush().await,
            Ending::Close(reason) => {
                let frame = reason.frame();
                let (code, reason) = (u16::from(frame.code), frame.reason.escape_debug());
                tracing::debug!(code, %reason, "a socket was closed");
                self.send(Message::Close(Some(frame))).await
            }
        };
        let Limited { stream, .. } = self.socket.get_mut();
        if closed.is_ok() && stream.shutdown().await.is_ok() {
            let mut linger = Linger::new();
            poll_fn(|context| linger.poll(context, &mut *stream)).await;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Limited<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if let Some(bytes_left) = &mut self.bytes_left {
            let read = buffer.filled().len() - before;
            let Some(left) = bytes_left.checked_sub(read) else {
                return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
            };
            *bytes_left = left;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Limited<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
