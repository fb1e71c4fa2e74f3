//! What happens on a connection: written by its parts, read by its watchdog.

use std::sync::Arc;

use axum::http::{Request, Version};
use hyper::body::{Body as _, Incoming};
use parking_lot::Mutex;

use super::request_end::{RequestEnd, Sent};

pub(super) type SharedActivity = Arc<Mutex<Activity>>;

#[derive(Default)]
pub(super) struct Activity {
    /// Grows with every request that begins, and with every part of an answer that is taken to be sent.
    pub(super) progress: u64,
    /// Requests whose answer the client has not read to its end.
    in_progress: u32,
    /// Those of them that the gateway works on: their answer is not ready, or its body has no data for now, as
    /// in event streams.
    working: u32,
    /// Bytes written to the socket.
    pub(super) written: u64,
    /// Whether the socket takes no more bytes for now.
    pub(super) is_blocked: bool,
    pub(super) is_lingering: bool,
    is_http2: bool,
    request_end: RequestEnd,
}

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
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
        !self.is_http2 && self.request_end.sent() != Sent::Whole
    }

    /// Whether nothing more is written until the client reads.
    pub(super) fn waits_for_client(&self) -> bool {
        self.is_blocked || self.working == 0
    }

    pub(super) fn phase(&self) -> Phase {
        if self.is_lingering {
            Phase::Lingering
        } else if self.is_blocked {
            Phase::Answering
        } else if self.working > 0 {
            Phase::Working
        } else if self.in_progress > 0 {
            Phase::Answering
        } else if self.progress == 0 {
            Phase::Opening
        } else if !self.is_http2 && self.request_end.sent() == Sent::Next {
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

    /// Notes whether the gateway works on the request.
    pub(super) fn set_working(&mut self, is_working: bool) {
        let mut activity = self.activity.lock();
        match (self.is_working, is_working) {
            (false, true) => activity.working += 1,
            (true, false) => activity.working -= 1,
            (true, true) | (false, false) => {}
        }
        self.is_working = is_working;
    }

    /// Notes that a part of the answer was taken to be sent, or that there was none for now.
    pub(super) fn taken(&mut self, is_waiting: bool) {
        self.activity.lock().progress += 1;
        self.set_working(is_waiting);
    }
}

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        self.set_working(false);
        self.activity.lock().in_progress -= 1;
    }
}
