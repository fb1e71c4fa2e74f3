//! A connection's socket, and the limit of their number.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use super::activity::{RequestInProgress, SharedActivity};
use super::linger::Linger;
use crate::config::{LimitsConfig, Live};
use crate::http::metrics::ConnectionMetrics;
use crate::resizable_semaphore::ResizableSemaphore;

/// Head and body of an answer up to this size are copied into one buffer, because the copy takes less time
/// than a vectored write.
const JOINED_BYTES: usize = 2048;

/// The limits on a listener's connections. A change applies to connections accepted from then on. Clones share
/// the limits.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    pub(super) limits: Live<LimitsConfig>,
    /// `limits.max_connections`
    places: ResizableSemaphore,
    pub(super) metrics: ConnectionMetrics,
}

/// A socket that notes its traffic.
pub(super) struct Monitored {
    stream: TcpStream,
    pub(super) activity: SharedActivity,
    /// Set once the gateway has sent everything.
    linger: Option<Linger>,
    metrics: ConnectionMetrics,
    /// One of the connections that `limits.max_connections` allows.
    _permit: OwnedSemaphorePermit,
}

/// The body of an answer.
pub(super) struct ResponseBody {
    body: Body,
    request: RequestInProgress,
}

impl ConnectionLimits {
    /// The limits of the settings.
    pub fn new(limits: &LimitsConfig, metrics: ConnectionMetrics) -> Self {
        metrics.limit.set(limits.max_connections as u64);
        let places = ResizableSemaphore::new(limits.max_connections);
        Self { limits: Live::new(limits.clone()), places, metrics }
    }

    /// Applies other limits. No connection is ended: a lower number holds once enough of them have ended.
    pub fn change(&self, limits: &LimitsConfig, tasks: &TaskTracker) {
        self.limits.set(limits.clone());
        self.places.resize(limits.max_connections, tasks);
        self.metrics.limit.set(limits.max_connections as u64);
    }

    /// Waits until one more connection is allowed.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(permit);
        }
        self.metrics.full.inc();
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

impl Drop for Monitored {
    fn drop(&mut self) {
        self.metrics.open.dec();
    }
}

impl ResponseBody {
    /// The body of an answer that is ready now.
    pub(super) fn new(body: Body, mut request: RequestInProgress) -> Self {
        request.set_working(false);
        Self { body, request }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.request.taken(frame.is_pending());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Monitored {
    /// Watches a connection that was accepted.
    pub(super) fn new(
        stream: TcpStream,
        limits: &ConnectionLimits,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        // Answers are small and complete, so waiting to fill packets only delays them.
        let _ = stream.set_nodelay(true);
        limits.metrics.open.inc();
        Self {
            stream,
            activity: SharedActivity::default(),
            linger: None,
            metrics: limits.metrics.clone(),
            _permit: permit,
        }
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

/// Copies small parts into one.
fn joined(parts: &[io::IoSlice<'_>]) -> Option<SmallVec<[u8; JOINED_BYTES]>> {
    let bytes = parts.iter().map(|part| part.len()).sum::<usize>();
    (bytes <= JOINED_BYTES).then(|| {
        let mut joined = SmallVec::new();
        for part in parts {
            joined.extend_from_slice(part);
        }
        joined
    })
}

impl AsyncRead for Monitored {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Monitored {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_write(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        let outcome = match joined(parts) {
            Some(bytes) => stream.poll_write(cx, &bytes),
            None => stream.poll_write_vectored(cx, parts),
        };
        self.note_write(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, activity, linger, .. } = self.get_mut();
        if linger.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            let mut activity = activity.lock();
            if !activity.is_client_sending() {
                return Poll::Ready(Ok(()));
            }
            activity.is_lingering = true;
        }
        let linger = linger.get_or_insert_with(Linger::new);
        linger.poll(cx, stream).map(Ok)
    }
}
