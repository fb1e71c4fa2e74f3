//! A connection's socket: it notes its traffic, and is closed so that the client sees the last answer.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::limits::ConnectionMetrics;
use super::watchdog::SharedActivity;

/// Head and body of an answer up to this size are copied into one buffer, because the copy takes less time
/// than a vectored write.
const JOINED_BYTES: usize = 2048;
/// How long a client may go on sending after the last answer.
const LONGEST_LINGER: Duration = Duration::from_secs(30);
/// How long a client may send nothing before it counts as done.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How much is read and dropped, in bytes.
const MOST_LINGER_BYTES: u64 = 64 * 1024 * 1024;
/// How much is read at once, in bytes.
const LINGER_BUFFER_BYTES: usize = 16 * 1024;

/// The socket of a connection that was accepted.
pub(super) struct Socket {
    /// `None` once `linger` has it.
    reader: Option<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    pub(super) activity: SharedActivity,
    /// Drops what the client still sends, after everything was sent to it.
    linger: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    metrics: ConnectionMetrics,
    /// One of the connections that `limits.max_connections` allows.
    _permit: OwnedSemaphorePermit,
}

impl Socket {
    pub(super) fn new(
        stream: TcpStream,
        metrics: ConnectionMetrics,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        // Answers are small and complete, so waiting to fill packets only delays them.
        let _ = stream.set_nodelay(true);
        metrics.open.inc();
        let (reader, writer) = stream.into_split();
        let activity = SharedActivity::default();
        Self { reader: Some(reader), writer, activity, linger: None, metrics, _permit: permit }
    }

    fn note_write(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let mut activity = self.activity.lock();
        activity.is_blocked = outcome.is_pending();
        if let Poll::Ready(Ok(written)) = outcome {
            activity.written += written as u64;
        }
        drop(activity);
        outcome
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.metrics.open.dec();
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.reader {
            Some(reader) => Pin::new(reader).poll_read(cx, buffer),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.writer).poll_write(cx, bytes);
        self.note_write(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let writer = Pin::new(&mut self.writer);
        let outcome = if parts.iter().map(|part| part.len()).sum::<usize>() <= JOINED_BYTES {
            let mut joined = SmallVec::<[u8; JOINED_BYTES]>::new();
            for part in parts {
                joined.extend_from_slice(part);
            }
            writer.poll_write(cx, &joined)
        } else {
            writer.poll_write_vectored(cx, parts)
        };
        self.note_write(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.writer.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    /// Tells the client that nothing more is sent. A client that is still sending must not find the socket
    /// closed: unread bytes would reset the connection, and the reset overtakes the answer that says why the
    /// request was refused (RFC 9112, section 9.6).
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { reader, writer, activity, linger, .. } = self.get_mut();
        if linger.is_none() {
            ready!(Pin::new(writer).poll_shutdown(cx))?;
            let mut activity = activity.lock();
            if activity.is_client_sending() {
                activity.is_lingering = true;
                *linger = reader.take().map(|reader| Box::pin(drop_input(reader)) as _);
            }
        }
        if let Some(lingering) = linger {
            ready!(lingering.as_mut().poll(cx));
            *linger = None;
        }
        Poll::Ready(Ok(()))
    }
}

/// Reads and drops what a client still sends, until it closes the connection or a limit is reached.
async fn drop_input(reader: impl AsyncRead + Unpin) {
    let mut reader = reader.take(MOST_LINGER_BYTES);
    let mut buffer = vec![0; LINGER_BUFFER_BYTES];
    let reading =
        async { while let Ok(Ok(1..)) = timeout(LONGEST_PAUSE, reader.read(&mut buffer)).await {} };
    let _ = timeout(LONGEST_LINGER, reading).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};
    use tokio::time::{Instant, sleep};

    use super::*;

    /// How long a client is read from that sends a byte after each pause and closes after `bytes` bytes.
    async fn time_of(pause: Duration, bytes: usize) -> Duration {
        let (mut client, server) = duplex(64);
        let begun = Instant::now();
        let sending = async move {
            for _ in 0..bytes {
                sleep(pause).await;
                let _ = client.write_all(b"x").await;
            }
        };
        tokio::select! {
            () = drop_input(server) => {}
            () = async { sending.await; std::future::pending().await } => {}
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_read_from_until_it_closes_pauses_or_time_is_up() {
        let second = Duration::from_secs(1);

        assert_eq!(time_of(second, 3).await, 3 * second);
        assert_eq!(time_of(3 * second, 3).await, LONGEST_PAUSE);
        assert_eq!(time_of(second, 1000).await, LONGEST_LINGER);
    }
}
