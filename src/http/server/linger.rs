//! Closes a connection whose client is still sending.
//!
//! A socket that is closed with unread bytes resets the connection, and the reset overtakes the response: the
//! client never sees why it was refused. So the gateway says that it sends no more, then reads and drops what
//! still comes, within bounds (RFC 9112, section 9.6).

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long a client may go on sending.
const LONGEST: Duration = Duration::from_secs(30);
/// How long a client may send nothing before it counts as done.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How much is read and dropped, in bytes.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// How much is read at once, in bytes.
const BUFFER_BYTES: usize = 16 * 1024;

/// Reads and drops what a client still sends.
pub(crate) struct Linger {
    end: Instant,
    pause: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl Linger {
    pub(crate) fn new() -> Self {
        let pause = Box::pin(sleep(LONGEST_PAUSE));
        Self { end: Instant::now() + LONGEST, pause, bytes_left: MOST_BYTES }
    }

    /// Ready once the client has closed the connection, or a bound is reached.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut stream: impl AsyncRead + Unpin,
    ) -> Poll<()> {
        loop {
            let mut buffer = [0; BUFFER_BYTES];
            let mut buffer = ReadBuf::new(&mut buffer);
            match Pin::new(&mut stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {
                    let read = buffer.filled().len();
                    self.bytes_left = self.bytes_left.saturating_sub(read);
                    if read == 0 || self.bytes_left == 0 {
                        return Poll::Ready(());
                    }
                    let due = (Instant::now() + LONGEST_PAUSE).min(self.end);
                    self.pause.as_mut().reset(due);
                }
                Poll::Pending => {
                    ready!(self.pause.as_mut().poll(cx));
                    return Poll::Ready(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    /// How long lingering reads from a client that sends a byte after each pause and closes after
    /// `bytes` bytes.
    async fn time_of(pause: Duration, bytes: usize) -> Duration {
        let (mut client, mut server) = duplex(64);
        let begun = Instant::now();
        let sending = async move {
            for _ in 0..bytes {
                sleep(pause).await;
                let _ = client.write_all(b"x").await;
            }
        };
        let mut linger = Linger::new();
        let lingering = poll_fn(|cx| linger.poll(cx, &mut server));
        tokio::select! {
            () = lingering => {}
            () = async { sending.await; std::future::pending().await } => {}
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_read_from_until_it_closes_pauses_or_time_is_up() {
        let second = Duration::from_secs(1);

        assert_eq!(time_of(second, 3).await, 3 * second);
        assert_eq!(time_of(3 * second, 3).await, LONGEST_PAUSE);
        assert_eq!(time_of(second, 1000).await, LONGEST);
    }
}
