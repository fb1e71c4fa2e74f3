//! Ends connections that are too slow: headers must arrive in time, an idle connection is closed, and a client
//! must read its answers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep};

use super::activity::{Phase, SharedActivity};
use crate::config::LimitsConfig;
use crate::http::metrics::{ConnectionMetrics, ENDED_HEADERS, ENDED_IDLE, ENDED_STALLED};

/// The least bytes a second that a client must read of a stalled answer, on average over
/// `limits.write_timeout`.
const LEAST_RATE: u64 = 240;

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
    is_ending: bool,
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
        let (phase, due) = (Phase::Opening, timer.deadline());
        let (is_ending, progress, written) = (false, 0, 0);
        Self { activity, limits, metrics, is_ending, phase, progress, written, due, timer }
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
        let activity = self.activity.lock();
        let phase = if self.is_ending { Phase::Ending } else { activity.phase() };
        if (phase, activity.progress) != (self.phase, self.progress) {
            drop(activity);
            self.phase = phase;
            self.restart();
        }
    }

    fn restart(&mut self) {
        let time = match self.phase {
            Phase::Opening | Phase::Reading => self.limits.header_timeout,
            // Requests and lingering have time limits of their own; this is only the next check.
            Phase::Working | Phase::Idle | Phase::Lingering => self.limits.idle_timeout,
            Phase::Answering | Phase::Ending => self.limits.write_timeout,
        };
        let activity = self.activity.lock();
        (self.progress, self.written) = (activity.progress, activity.written);
        self.due = Instant::now() + time;
    }

    /// What to do now that the time limit of the phase is over.
    fn judge(&mut self) -> Option<Order> {
        let (reason, order) = match self.phase {
            Phase::Opening | Phase::Reading => (ENDED_HEADERS, Order::Drop),
            Phase::Idle => {
                self.is_ending = true;
                self.look();
                (ENDED_IDLE, Order::Finish)
            }
            Phase::Answering | Phase::Ending if self.is_stalled() => (ENDED_STALLED, Order::Drop),
            Phase::Working | Phase::Answering | Phase::Ending | Phase::Lingering => {
                self.restart();
                return None;
            }
        };
        self.metrics.ended.inc(reason);
        Some(order)
    }

    /// Whether the client has read less than it must in the time that passed.
    fn is_stalled(&self) -> bool {
        let activity = self.activity.lock();
        let written = u128::from(activity.written - self.written);
        let least = u128::from(LEAST_RATE) * self.limits.write_timeout.as_millis() / 1000;
        written < least.max(1) && activity.waits_for_client()
    }
}
