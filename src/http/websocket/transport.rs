//! A WebSocket whose client has a time limit for reading, and a limit of bytes until it has
//! authenticated.

use std::future::Future;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::io::{
    AsyncReadExt as _, AsyncWriteExt as _, Join, ReadHalf, Take, WriteHalf, join, split,
};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

use super::protocol::{self, Ending};

/// Bytes that a client may send before it has authenticated: as many as headers may have, because the
/// same credentials come in them.
const MAX_UNAUTHENTICATED_BYTES: u64 = 96 * 1024;
/// Every socket has a buffer of this size for as long as it lives.
const READ_BUFFER_BYTES: usize = 8 * 1024;

type Connection = TokioIo<Upgraded>;

pub(super) struct Transport {
    /// Reading ends at the limit of bytes.
    socket: WebSocketStream<Join<Take<ReadHalf<Connection>>, WriteHalf<Connection>>>,
    /// For one message to the client.
    send_timeout: Duration,
}

impl Transport {
    pub(super) async fn new(
        upgraded: Upgraded,
        max_message_bytes: usize,
        send_timeout: Duration,
    ) -> Self {
        let (reader, writer) = split(TokioIo::new(upgraded));
        let stream = join(reader.take(MAX_UNAUTHENTICATED_BYTES), writer);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(max_message_bytes))
            .max_frame_size(Some(max_message_bytes));
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        Self { socket, send_timeout }
    }

    /// Lets the client send as much as it likes, now that it has authenticated.
    pub(super) fn lift_byte_limit(&mut self) {
        self.socket.get_mut().reader_mut().set_limit(u64::MAX);
    }

    /// The next message. May be cancelled.
    pub(super) async fn receive(&mut self) -> Result<Message, Ending> {
        match self.socket.next().await {
            Some(Ok(Message::Close(_))) => Err(None),
            Some(Ok(message)) => Ok(message),
            Some(Err(_)) | None if self.is_over_limit() => Err(Some(protocol::MESSAGE_TOO_BIG)),
            Some(Err(error)) => Err(protocol::ending_of(&error)),
            None => Err(None),
        }
    }

    fn is_over_limit(&self) -> bool {
        self.socket.get_ref().reader().limit() == 0
    }

    pub(super) async fn send_json(&mut self, message: &impl Serialize) -> Result<(), Ending> {
        // Messages are made of texts and of JSON, so they can always be written.
        let text = serde_json::to_string(message).unwrap_or_default();
        self.send(Message::text(text)).await
    }

    pub(super) async fn send(&mut self, message: Message) -> Result<(), Ending> {
        within(self.send_timeout, self.socket.send(message)).await
    }

    /// Sends what is queued: the answer to a ping, or to a close.
    pub(super) async fn flush(&mut self) -> Result<(), Ending> {
        within(self.send_timeout, self.socket.flush()).await
    }

    /// Closes the socket as its ending wants it, then the connection.
    pub(super) async fn close(mut self, ending: Ending) {
        if let Some(frame) = &ending {
            let (code, reason) = (u16::from(frame.code), frame.reason.escape_debug());
            tracing::debug!(code, %reason, "a socket was closed");
        }
        let sent = match ending {
            None => self.flush().await,
            // tungstenite takes the limit for the end of the connection, and sends nothing more.
            Some(frame) if self.is_over_limit() => {
                let mut bytes = Vec::new();
                // Infallible: a vector takes every byte.
                let _ = Frame::close(Some(frame)).format(&mut bytes);
                within(self.send_timeout, self.socket.get_mut().write_all(&bytes)).await
            }
            Some(frame) => self.send(Message::Close(Some(frame))).await,
        };
        if sent.is_ok() {
            // The connection has ended, whether it could be closed in good order or not.
            let _ = self.socket.get_mut().shutdown().await;
        }
    }
}

/// Waits for something to be sent. A connection that is broken shows at the next read.
async fn within(limit: Duration, sending: impl Future) -> Result<(), Ending> {
    timeout(limit, sending).await.map(drop).map_err(|_| Some(protocol::SLOW_CONSUMER))
}
