//! The limits on a connection, from its first byte to its last, with TLS and without, in HTTP/1 and HTTP/2.
//!
//! Headers must arrive in time, an idle connection is closed, a client must read its answers, and the number of
//! connections is limited.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Version};
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::task::TaskTracker;

use super::linger::Linger;
use crate::config::{LimitsConfig, Live};
use crate::http::metrics::{ConnectionMetrics, ENDED_HEADERS, ENDED_IDLE, ENDED_STALLED};
use crate::http::request_end::{BodyLength, RequestEnd};
use crate::resizable_semaphore::ResizableSemaphore;

/// The least bytes a second that a client must read of a stalled answer, on average over
/// `limits.write_timeout`.
const LEAST_RATE: u64 = 240;
/// Head and body of an answer up to this size are copied into one buffer, because the copy takes less time
/// than a vectored write.
const JOINED_BYTES: usize = 2048;

/// The limits on a listener's connections. A change applies to connections accepted from then on. Clones share
/// the limits.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    slowness: Live<Slowness>,
    /// `limits.max_connections`
    places: ResizableSemaphore,
    metrics: ConnectionMetrics,
}

/// The time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slowness {
    /// `limits.header_timeout`
    pub(super) headers: Duration,
    /// `limits.idle_timeout`
    pub(super) idle: Duration,
    /// `limits.write_timeout`
    pub(super) write: Duration,
}

/// What happens on a connection: written by its parts, read by its watchdog.
#[derive(Default)]
pub(super) struct Activity {
    /// Requests begun so far.
    begun: AtomicU64,
    /// Requests that the gateway works on: their answer is not ready, or its body has no data for now, as in
    /// event streams.
    working: AtomicU32,
    /// Requests whose answer the client has not read to its end.
    answering: AtomicU32,
    /// How often a part of an answer was taken to be sent.
    taken: AtomicU64,
    /// Bytes written to the socket.
    written: AtomicU64,
    /// Whether a part of the next request has arrived.
    is_reading: AtomicBool,
    /// Whether the body of the last request was dropped before its end.
    is_body_cut: AtomicBool,
    is_lingering: AtomicBool,
    is_http2: AtomicBool,
    request_end: Mutex<RequestEnd>,
}

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No request has arrived yet.
    Opening,
    /// The gateway works on a request.
    Working,
    /// Answers are ready, and the client must read them.
    Answering,
    /// The headers of the next request are arriving, in HTTP/1.
    Reading,
    /// No request is in progress.
    Idle,
    /// It is shutting down and finishes the requests in progress.
    Ending,
    /// It is closed, and what the client still sends is discarded.
    Lingering,
}

/// What the connection must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Finish the requests in progress, then end.
    Finish,
    /// End at once.
    Drop,
}

/// Ends a connection that is too slow. Polled after the connection, in the same task.
pub(super) struct Watchdog {
    activity: Arc<Activity>,
    limits: Slowness,
    metrics: ConnectionMetrics,
    is_ending: bool,
    /// The phase, and a number that changes with every progress within it.
    seen: (Phase, u64),
    /// Bytes written when the time limit of the phase started.
    written: u64,
    due: Instant,
    /// Never later than `due`, often earlier: waking up early now and then costs less than resetting it for
    /// each request.
    timer: Pin<Box<Sleep>>,
}

/// A request in progress, until the last part of its answer is taken.
pub(super) struct UnderWay {
    activity: Arc<Activity>,
    is_answered: bool,
    /// Whether the answer's body has no data for now.
    is_waiting: bool,
}

/// The body of a request. Notes when it is dropped before its end: the client may still be sending.
pub struct RequestBody {
    body: Incoming,
    activity: Arc<Activity>,
    is_read: bool,
}

/// The body of an answer.
pub(super) struct Answer {
    body: Body,
    under_way: UnderWay,
}

/// A socket that counts its traffic, and fails when the client reads nothing for too long.
pub(super) struct Monitored {
    stream: TcpStream,
    activity: Arc<Activity>,
    write_timeout: Duration,
    /// Runs while the client reads nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Set once the gateway has sent everything.
    linger: Option<Linger>,
    place: Place,
}

/// One of the connections that `limits.max_connections` allows.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    metrics: ConnectionMetrics,
}

impl ConnectionLimits {
    /// The limits of the settings.
    pub fn new(limits: &LimitsConfig, metrics: ConnectionMetrics) -> Self {
        metrics.limit(limits.max_connections);
        let slowness = Live::new(Slowness::of(limits));
        Self { slowness, places: ResizableSemaphore::new(limits.max_connections), metrics }
    }

    /// Applies other limits. No connection is ended: a lower number holds once enough of them have ended.
    pub fn change(&self, limits: &LimitsConfig, tasks: &TaskTracker) {
        self.slowness.set(Slowness::of(limits));
        self.places.resize(limits.max_connections, tasks);
        self.metrics.limit(limits.max_connections);
    }

    /// The time limits of a connection that is accepted now.
    pub(super) fn slowness(&self) -> Slowness {
        **self.slowness.load()
    }

    pub(super) fn metrics(&self) -> &ConnectionMetrics {
        &self.metrics
    }

    /// Waits until one more connection is allowed.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        self.metrics.full.inc();
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

impl Slowness {
    fn of(limits: &LimitsConfig) -> Self {
        Self {
            headers: limits.header_timeout,
            idle: limits.idle_timeout,
            write: limits.write_timeout,
        }
    }
}

impl Activity {
    /// Notes that the headers of a request have arrived.
    pub(super) fn begin(
        self: &Arc<Self>,
        request: Request<Incoming>,
    ) -> (Request<RequestBody>, UnderWay) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.working.fetch_add(1, Ordering::Relaxed);
        self.is_body_cut.store(false, Ordering::Relaxed);
        if request.version() == Version::HTTP_2 {
            self.is_http2.store(true, Ordering::Relaxed);
            self.is_reading.store(false, Ordering::Relaxed);
        } else {
            let length = request.body().size_hint().exact();
            let mut request_end = self.request_end.lock();
            request_end.begin(length.map_or(BodyLength::Chunked, BodyLength::Exact));
            self.is_reading.store(request_end.is_passed(), Ordering::Relaxed);
        }
        let activity = Arc::clone(self);
        let under_way = UnderWay { activity, is_answered: false, is_waiting: false };
        let activity = Arc::clone(self);
        (request.map(|body| RequestBody { body, activity, is_read: false }), under_way)
    }

    /// Notes bytes that were read. In HTTP/1, bytes after a request belong to the next one.
    pub(super) fn note_read(&self, bytes: &[u8]) {
        if self.is_http2.load(Ordering::Relaxed) {
            return;
        }
        let is_idle = !self.is_working();
        let mut request_end = self.request_end.lock();
        request_end.read(bytes, is_idle);
        self.is_reading.store(is_idle || request_end.is_passed(), Ordering::Relaxed);
    }

    /// Whether the client may still be sending a request that was already answered.
    fn is_client_sending(&self) -> bool {
        let is_set = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        !is_set(&self.is_http2) && (is_set(&self.is_body_cut) || is_set(&self.is_reading))
    }

    fn is_working(&self) -> bool {
        self.working.load(Ordering::Relaxed) > 0
    }

    fn phase(&self) -> Phase {
        if self.is_lingering.load(Ordering::Relaxed) {
            Phase::Lingering
        } else if self.is_working() {
            Phase::Working
        } else if self.answering.load(Ordering::Relaxed) > 0 {
            Phase::Answering
        } else if self.begun.load(Ordering::Relaxed) == 0 {
            Phase::Opening
        } else if self.is_reading.load(Ordering::Relaxed) {
            Phase::Reading
        } else {
            Phase::Idle
        }
    }

    /// A number that changes when the time limit of a phase starts again.
    fn mark(&self, phase: Phase) -> u64 {
        match phase {
            Phase::Opening | Phase::Ending | Phase::Lingering => 0,
            Phase::Answering => self.taken.load(Ordering::Relaxed),
            Phase::Working | Phase::Reading | Phase::Idle => self.begun.load(Ordering::Relaxed),
        }
    }
}

impl Watchdog {
    pub(super) fn new(
        activity: Arc<Activity>,
        limits: Slowness,
        metrics: ConnectionMetrics,
    ) -> Self {
        let timer = Box::pin(sleep(limits.headers));
        let (seen, due) = ((Phase::Opening, 0), timer.deadline());
        Self { activity, limits, metrics, is_ending: false, seen, written: 0, due, timer }
    }

    pub(super) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    /// Ready when the connection has to be ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Order> {
        loop {
            self.look();
            if self.due < self.timer.deadline() {
                self.timer.as_mut().reset(self.due);
            }
            ready!(self.timer.as_mut().poll(cx));
            if Instant::now() >= self.due
                && let Some(order) = self.judge()
            {
                return Poll::Ready(order);
            }
            self.timer.as_mut().reset(self.due);
        }
    }

    /// Restarts the time limit if the phase has changed or made progress.
    fn look(&mut self) {
        let phase = if self.is_ending { Phase::Ending } else { self.activity.phase() };
        let seen = (phase, self.activity.mark(phase));
        if seen != self.seen {
            self.seen = seen;
            self.begin_anew();
        }
    }

    fn begin_anew(&mut self) {
        let limits = &self.limits;
        let time = match self.seen.0 {
            Phase::Opening | Phase::Reading => limits.headers,
            // Requests and lingering have time limits of their own; this is only the next check.
            Phase::Working | Phase::Idle | Phase::Lingering => limits.idle,
            Phase::Answering | Phase::Ending => limits.write,
        };
        self.written = self.activity.written.load(Ordering::Relaxed);
        self.due = Instant::now() + time;
    }

    /// What to do now that the time limit of the phase is over.
    fn judge(&mut self) -> Option<Order> {
        let (reason, order) = match self.seen.0 {
            Phase::Opening | Phase::Reading => (ENDED_HEADERS, Order::Drop),
            Phase::Idle => {
                self.is_ending = true;
                self.look();
                (ENDED_IDLE, Order::Finish)
            }
            Phase::Answering | Phase::Ending
                if !self.is_taking() && !self.activity.is_working() =>
            {
                (ENDED_STALLED, Order::Drop)
            }
            Phase::Working | Phase::Answering | Phase::Ending | Phase::Lingering => {
                self.begin_anew();
                return None;
            }
        };
        self.metrics.ended(reason);
        Some(order)
    }

    /// Whether the client has read enough for the time that passed.
    fn is_taking(&self) -> bool {
        let written = self.activity.written.load(Ordering::Relaxed) - self.written;
        let least = u128::from(LEAST_RATE) * self.limits.write.as_millis() / 1000;
        u128::from(written) >= least.max(1)
    }
}

impl UnderWay {
    /// Notes that the answer is ready.
    pub(super) fn answer(mut self, response: Response) -> Response<Answer> {
        self.activity.answering.fetch_add(1, Ordering::Relaxed);
        self.activity.working.fetch_sub(1, Ordering::Relaxed);
        self.is_answered = true;
        response.map(|body| Answer { body, under_way: self })
    }

    /// Notes that a part of the body was taken, and whether there was none for now.
    fn taken(&mut self, is_waiting: bool) {
        let Activity { taken, working, .. } = &*self.activity;
        taken.fetch_add(1, Ordering::Relaxed);
        match (self.is_waiting, is_waiting) {
            (false, true) => working.fetch_add(1, Ordering::Relaxed),
            (true, false) => working.fetch_sub(1, Ordering::Relaxed),
            (true, true) | (false, false) => return,
        };
        self.is_waiting = is_waiting;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Activity { answering, working, .. } = &*self.activity;
        if self.is_answered {
            answering.fetch_sub(1, Ordering::Relaxed);
        }
        if self.is_waiting || !self.is_answered {
            working.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.is_read |= frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if !self.is_read && !self.body.is_end_stream() {
            self.activity.is_body_cut.store(true, Ordering::Relaxed);
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.under_way.taken(frame.is_pending());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Place {
    pub(super) fn new(permit: OwnedSemaphorePermit, metrics: ConnectionMetrics) -> Self {
        metrics.open.inc();
        Self { _permit: permit, metrics }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.open.dec();
    }
}

impl Monitored {
    pub(super) fn new(
        stream: TcpStream,
        activity: Arc<Activity>,
        write_timeout: Duration,
        place: Place,
    ) -> Self {
        Self { stream, activity, write_timeout, stalled: None, linger: None, place }
    }

    /// Counts what was written. A write that has waited too long fails.
    fn after_write(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = outcome {
            self.stalled = None;
            if let Ok(written) = written {
                self.activity.written.fetch_add(written as u64, Ordering::Relaxed);
            }
            return Poll::Ready(written);
        }
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.write_timeout)));
        ready!(timer.as_mut().poll(cx));
        self.place.metrics.ended(ENDED_STALLED);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Copies small parts into one.
fn joined(parts: &[io::IoSlice<'_>]) -> Option<SmallVec<[u8; JOINED_BYTES]>> {
    let bytes = parts.iter().map(|part| part.len()).sum::<usize>();
    if bytes > JOINED_BYTES {
        return None;
    }
    let mut joined = SmallVec::new();
    for part in parts {
        joined.extend_from_slice(part);
    }
    Some(joined)
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
        self.after_write(cx, outcome)
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
        self.after_write(cx, outcome)
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
            if !activity.is_client_sending() {
                return Poll::Ready(Ok(()));
            }
            activity.is_lingering.store(true, Ordering::Relaxed);
        }
        let linger = linger.get_or_insert_with(Linger::new);
        linger.poll(cx, stream).map(Ok)
    }
}
