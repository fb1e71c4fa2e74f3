//! The source of time for everything, so that tests can move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The machine's time, plus what a test has added.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    added_millis: Arc<AtomicU64>,
}

impl Clock {
    /// The monotonic time.
    #[expect(clippy::disallowed_methods, reason = "this is the one source of time")]
    pub fn now(&self) -> Instant {
        Instant::now() + self.added()
    }

    /// The wall clock, for signatures, logs and tokens' ends.
    #[expect(clippy::disallowed_methods, reason = "this is the one source of time")]
    pub fn timestamp(&self) -> jiff::Timestamp {
        let now = jiff::Timestamp::now();
        now.checked_add(self.added()).unwrap_or(now)
    }

    /// Moves this clock and all its clones forward, with millisecond precision. For tests.
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.added_millis.fetch_add(millis, Ordering::SeqCst);
    }

    fn added(&self) -> Duration {
        Duration::from_millis(self.added_millis.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advancing_moves_both_readings_of_every_clone() {
        let clock = Clock::default();
        let (before, wall_before) = (clock.now(), clock.timestamp());

        clock.clone().advance(Duration::from_mins(1));

        assert!(clock.now() - before >= Duration::from_mins(1));
        assert!(clock.timestamp().duration_since(wall_before).as_secs() >= 60);
    }
}
