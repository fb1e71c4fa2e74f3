//! A time limit for the first bytes of a connection.
//!
//! They tell which HTTP is spoken. Until that is known no time limit of the protocols' own runs, so a client
//! that connects and says nothing would be waited for without end.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// As long as the text that opens an HTTP/2 connection.
const NEEDED: usize = 24;

/// A stream that fails unless its first bytes come in time.
pub(super) struct FirstBytes<S> {
    stream: S,
    /// Gone once they are there.
    waiting: Option<Pin<Box<Sleep>>>,
    seen: usize,
}

impl<S> FirstBytes<S> {
    pub(super) fn within(limit: Duration, stream: S) -> Self {
        Self { stream, waiting: Some(Box::pin(sleep(limit))), seen: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstBytes<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(context, buffer) {
            this.seen = this.seen.saturating_add(buffer.filled().len() - before);
            if this.seen >= NEEDED {
                this.waiting = None;
            }
            return Poll::Ready(read);
        }
        let Some(waiting) = &mut this.waiting else { return Poll::Pending };
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstBytes<S> {
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

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_client_that_says_nothing_or_too_little_is_not_waited_for() {
        for begun in [&b""[..], b"PRI * HTTP/2"] {
            let (mut client, server) = duplex(64);
            let mut server = FirstBytes::within(LIMIT, server);
            client.write_all(begun).await.unwrap();

            let read = server.read_to_end(&mut Vec::new()).await;

            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
    }

    #[tokio::test]
    async fn what_comes_later_is_the_protocols_business() {
        let (mut client, server) = duplex(64);
        let mut server = FirstBytes::within(LIMIT, server);
        client.write_all(&[b'x'; NEEDED]).await.unwrap();
        server.read_exact(&mut [0; NEEDED]).await.unwrap();

        let more = tokio::time::timeout(LIMIT * 5, server.read_u8()).await;

        assert!(more.is_err(), "{more:?} although nothing came");
    }
}
