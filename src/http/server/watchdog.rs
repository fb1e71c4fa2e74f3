//! Ends connections that are too slow: headers must arrive in time, an idle connection is closed, and a client
//! must read its answers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::http::{Request, Version};
use hyper::body::{Body as _, Incoming};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep};

use super::limits::{ConnectionMetrics, ENDED_HEADERS, ENDED_IDLE, ENDED_STALLED};
use super::request_end::RequestEnd;
use crate::config::LimitsConfig;

/// The least bytes a second that a client must read of a stalled answer, on average over
/// `limits.write_timeout`.
const LEAST_RATE: u64 = 240;

pub(super) type SharedActivity = Arc<Mutex<Activity>>;

/// What happens on a connection: written by its parts, read by its watchdog.
#[derive(Default)]
pub(super) struct Activity {
    /// Grows with every request that begins, and with every part of an answer that is taken to be sent.
    progress: u64,
    /// Requests whose answer the client has not read to its end.
    in_progress: u32,
    /// Those of them that the gateway works on: their answer is not ready, or its body has no data for now, as
    /// in event streams.
    working: u32,
    /// Bytes written to the socket.
    pub(super) written: u64,
    /// Whether the socket takes no more bytes for now.
    pub(super) is_blocked: bool,
    /// Whether everything was sent, and what the client still sends is dropped.
    pub(super) is_lingering: bool,
    is_http2: bool,
    request_end: RequestEnd,
}

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The headers of a request have to arrive. Over HTTP/2 only those of the first one count.
    Reading,
    /// The gateway works on a request, or drops what the client still sends. Both have limits of their own.
    Working,
    /// Answers are ready, and the client must read them.
    Answering,
    /// No request is in progress.
    Idle,
}

/// A request in progress, until the last part of its answer is taken.
pub(super) struct RequestInProgress {
    activity: SharedActivity,
    is_working: bool,
}

impl Activity {
    /// Notes bytes that were read. In HTTP/1, bytes after a request belong to the next one.
    pub(super) fn note_read(&mut self, bytes: &[u8]) {
        if !self.is_http2 {
            self.request_end.read(bytes, self.working == 0);
        }
    }

    /// Whether the client may still be sending a request that was already answered, or the next one.
    pub(super) fn is_client_sending(&self) -> bool {
        !self.is_http2 && self.request_end.sent().is_ne()
    }

    fn phase(&self) -> Phase {
        if self.is_lingering {
            Phase::Working
        } else if self.is_blocked {
            Phase::Answering
        } else if self.working > 0 {
            Phase::Working
        } else if self.in_progress > 0 {
            Phase::Answering
        } else if self.progress == 0 || !self.is_http2 && self.request_end.sent().is_gt() {
            Phase::Reading
        } else {
            Phase::Idle
        }
    }
}

impl RequestInProgress {
    /// Notes that the headers of a request have arrived.
    pub(super) fn begin(activity: SharedActivity, request: &Request<Incoming>) -> Self {
        let mut noted = activity.lock();
        noted.progress += 1;
        noted.in_progress += 1;
        noted.working += 1;
        if request.version() == Version::HTTP_2 {
            noted.is_http2 = true;
        } else {
            noted.request_end.begin(request.body().size_hint().exact());
        }
        drop(noted);
        Self { activity, is_working: true }
    }

    /// Notes that the answer is ready, or that a part of it was taken to be sent. `is_working` says that its next
    /// part is not ready yet.
    pub(super) fn note_progress(&mut self, is_working: bool) {
        let mut activity = self.activity.lock();
        activity.progress += 1;
        activity.working -= u32::from(self.is_working);
        activity.working += u32::from(is_working);
        self.is_working = is_working;
    }
}

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        self.note_progress(false);
        self.activity.lock().in_progress -= 1;
    }
}

/// What the connection must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Finish the requests in progress, then end.
    Finish,
    /// End at once.
    Drop,
}

/// Watches one connection. Polled after it, in the same task.
pub(super) struct Watchdog {
    pub(super) activity: SharedActivity,
    limits: Arc<LimitsConfig>,
    metrics: ConnectionMetrics,
    /// Whether the connection was told to finish. If it has not when its time is over again, it is dropped.
    is_finishing: bool,
    phase: Phase,
    /// The progress and the bytes written when the time limit of the phase started.
    progress: u64,
    written: u64,
    due: Instant,
    /// Never later than `due`, often earlier: waking up early now and then costs less than resetting it for
    /// each request.
    timer: Pin<Box<Sleep>>,
}

impl Watchdog {
    pub(super) fn new(
        activity: SharedActivity,
        limits: Arc<LimitsConfig>,
        metrics: ConnectionMetrics,
    ) -> Self {
        let timer = Box::pin(sleep(limits.header_timeout));
        let (phase, due) = (Phase::Reading, timer.deadline());
        let (is_finishing, progress, written) = (false, 0, 0);
        Self { activity, limits, metrics, is_finishing, phase, progress, written, due, timer }
    }

    /// Ready when the connection has to be ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Order> {
        loop {
            let activity = self.activity.lock();
            let (phase, progress) = (activity.phase(), activity.progress);
            drop(activity);
            if (phase, progress) != (self.phase, self.progress) {
                self.phase = phase;
                self.restart();
            }
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

    /// Starts the time limit of the phase.
    fn restart(&mut self) {
        let time = match self.phase {
            Phase::Reading => self.limits.header_timeout,
            // While the gateway works, this is only the next check.
            Phase::Working | Phase::Idle => self.limits.idle_timeout,
            Phase::Answering => self.limits.write_timeout,
        };
        let activity = self.activity.lock();
        (self.progress, self.written) = (activity.progress, activity.written);
        self.due = Instant::now() + time;
    }

    /// What to do now that the time limit of the phase is over.
    fn judge(&mut self) -> Option<Order> {
        let (reason, order) = match self.phase {
            Phase::Reading => (ENDED_HEADERS, Order::Drop),
            Phase::Idle if self.is_finishing => return Some(Order::Drop),
            Phase::Idle => {
                self.is_finishing = true;
                self.restart();
                (ENDED_IDLE, Order::Finish)
            }
            Phase::Answering if self.is_stalled() => (ENDED_STALLED, Order::Drop),
            Phase::Working | Phase::Answering => {
                self.restart();
                return None;
            }
        };
        self.metrics.ended.inc(reason);
        Some(order)
    }

    /// Whether the client has read less than it must in the time that passed, so that nothing more is written.
    fn is_stalled(&self) -> bool {
        let activity = self.activity.lock();
        let written = u128::from(activity.written - self.written);
        let least = u128::from(LEAST_RATE) * self.limits.write_timeout.as_millis() / 1000;
        written < least.max(1) && (activity.is_blocked || activity.working == 0)
    }
}
