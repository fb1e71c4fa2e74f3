//! The circuit breaker: stops calls to an upstream that fails too often, and tries again after a while.
//!
//! Outcomes are counted in slices of the window, so old ones drop out slice by slice.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;

use crate::clock::Clock;
use crate::config::{BreakerConfig, Live};
use crate::domain::{Failure, Unreachable};

/// The number of slices of the window, at least.
const SLICES: u32 = 10;

/// A circuit breaker.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// The region whose calls it stops.
    region: Arc<str>,
    limits: Live<BreakerConfig>,
    state: Mutex<BreakerState>,
    /// Counts how often the circuit opens.
    opened: Counter,
    clock: Clock,
}

/// The state of a circuit, for metrics and readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Circuit {
    /// Calls go through.
    Closed,
    /// One call goes through as a probe.
    HalfOpen,
    /// No call goes through.
    Open,
}

#[derive(Debug)]
enum BreakerState {
    Closed(Window),
    Open {
        until: Instant,
    },
    /// A probe is in flight.
    Probing,
}

/// Outcomes of the last while, oldest first.
#[derive(Debug, Default)]
struct Window(VecDeque<Slice>);

#[derive(Debug)]
struct Slice {
    begun: Instant,
    calls: u32,
    failures: u32,
}

/// Permission for one call, whose outcome is to be recorded.
///
/// A guard that is dropped stands for a call that was given up: a failure if it took as long as
/// `patience`. Otherwise it says nothing, and the next call becomes the probe.
#[derive(Debug)]
pub(crate) struct BreakerGuard<'b> {
    breaker: &'b Breaker,
    is_probe: bool,
    is_recorded: bool,
    /// When its patience ends.
    late_at: Instant,
}

impl Breaker {
    pub(crate) fn new(
        limits: &BreakerConfig,
        region: Arc<str>,
        opened: Counter,
        clock: Clock,
    ) -> Self {
        let state = Mutex::new(BreakerState::Closed(Window::default()));
        Self { region, limits: Live::new(limits.clone()), state, opened, clock }
    }

    /// Changes the limits; earlier outcomes still count.
    pub(crate) fn change(&self, limits: &BreakerConfig) {
        self.limits.set(limits.clone());
    }

    /// Fails if a call would be refused now.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.state.lock().check(self.clock.now())
    }

    /// Admits a call. One that is given up after `patience` counts as failed.
    pub(crate) fn admit(&self, patience: Duration) -> Result<BreakerGuard<'_>, Failure> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.check(now)?;
        let is_probe = !matches!(*state, BreakerState::Closed(_));
        if is_probe {
            *state = BreakerState::Probing;
        }
        Ok(BreakerGuard { breaker: self, is_probe, is_recorded: false, late_at: now + patience })
    }

    /// The state of the circuit.
    pub(crate) fn circuit(&self) -> Circuit {
        match *self.state.lock() {
            BreakerState::Closed(_) => Circuit::Closed,
            BreakerState::Open { until } if self.clock.now() < until => Circuit::Open,
            BreakerState::Open { .. } | BreakerState::Probing => Circuit::HalfOpen,
        }
    }
}

impl BreakerState {
    fn check(&self, now: Instant) -> Result<(), Failure> {
        let retry_after = match self {
            Self::Open { until } if now < *until => until.saturating_duration_since(now),
            // The outcome of the probe will be known soon.
            Self::Probing => Duration::from_secs(1),
            Self::Closed(_) | Self::Open { .. } => return Ok(()),
        };
        Err(Failure::Unreachable(Unreachable::CircuitOpen { retry_after }))
    }
}

impl BreakerGuard<'_> {
    /// Records the outcome of the call. Opens the circuit after too many failures.
    pub(crate) fn record(mut self, failed: bool) {
        self.count(failed);
    }

    fn count(&mut self, failed: bool) {
        self.is_recorded = true;
        let Breaker { region, limits, opened, clock, .. } = self.breaker;
        let (limits, now) = (limits.get(), clock.now());
        let mut state = self.breaker.state.lock();
        let opens = match &mut *state {
            BreakerState::Closed(window) => {
                window.count(failed, now, limits.window);
                failed && window.is_over(&limits)
            }
            BreakerState::Probing if self.is_probe => {
                if !failed {
                    *state = BreakerState::Closed(Window::default());
                }
                failed
            }
            // A call from before the circuit opened says nothing new.
            BreakerState::Probing | BreakerState::Open { .. } => false,
        };
        if opens {
            *state = BreakerState::Open { until: now + limits.open_for };
            opened.inc();
            tracing::error!(
                region = &**region,
                "too many attempts failed: the circuit to the upstream opens"
            );
        }
    }
}

impl Drop for BreakerGuard<'_> {
    fn drop(&mut self) {
        if self.is_recorded {
            return;
        }
        let now = self.breaker.clock.now();
        if now >= self.late_at {
            self.count(true);
        } else if self.is_probe {
            *self.breaker.state.lock() = BreakerState::Open { until: now };
        }
    }
}

impl Window {
    fn count(&mut self, failed: bool, now: Instant, window: Duration) {
        self.0.retain(|slice| now < slice.begun + window);
        if self.0.back().is_none_or(|slice| now >= slice.begun + window / SLICES) {
            self.0.push_back(Slice { begun: now, calls: 0, failures: 0 });
        }
        if let Some(newest) = self.0.back_mut() {
            newest.calls = newest.calls.saturating_add(1);
            newest.failures = newest.failures.saturating_add(u32::from(failed));
        }
    }

    /// Whether enough calls were made and the share of failures is reached.
    fn is_over(&self, limits: &BreakerConfig) -> bool {
        let sum = |of: fn(&Slice) -> u32| self.0.iter().map(of).map(f64::from).sum::<f64>();
        let (calls, failures) = (sum(|slice| slice.calls), sum(|slice| slice.failures));
        calls >= f64::from(limits.min_calls.get()) && failures >= limits.failure_rate * calls
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::domain::ErrorCode;

    const PATIENCE: Duration = Duration::from_secs(2);

    /// Opens at half of four calls within ten seconds, for five.
    fn breaker() -> Breaker {
        let limits = BreakerConfig {
            min_calls: NonZeroU32::new(4).unwrap(),
            failure_rate: 0.5,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(5),
        };
        Breaker::new(&limits, "r".into(), Counter::default(), Clock::default())
    }

    impl Breaker {
        fn call(&self, outcomes: &[bool]) {
            for failed in outcomes {
                self.admit(PATIENCE).unwrap().record(*failed);
            }
        }

        fn wait(&self, secs: u64) {
            self.clock.advance(Duration::from_secs(secs));
        }
    }

    #[test]
    fn a_circuit_opens_at_the_share_of_failures_and_not_before() {
        let breaker = breaker();

        breaker.call(&[true, true, true]);
        assert_eq!(breaker.circuit(), Circuit::Closed, "too few calls opened it");
        breaker.call(&[false, false, false, false]);
        assert_eq!(breaker.circuit(), Circuit::Closed, "3 of 7 opened it");
        breaker.call(&[true]);

        assert_eq!((breaker.circuit(), breaker.opened.get()), (Circuit::Open, 1));
        breaker.wait(2);
        let retry_after = breaker.admit(PATIENCE).unwrap_err().retry_after().unwrap();
        assert!(retry_after <= Duration::from_secs(3), "{retry_after:?}");
        assert_eq!(breaker.check().unwrap_err().code(), ErrorCode::UpstreamUnavailable);
    }

    #[test]
    fn outcomes_older_than_the_window_do_not_count() {
        let breaker = breaker();

        breaker.call(&[true, true, true]);
        breaker.wait(10);
        breaker.call(&[false, false, false, true]);

        assert_eq!(breaker.circuit(), Circuit::Closed);
    }

    #[test]
    fn after_its_time_one_probe_decides() {
        let breaker = breaker();
        breaker.call(&[true; 4]);
        breaker.wait(5);

        assert_eq!(breaker.check(), Ok(()), "a check is not a probe");
        let probe = breaker.admit(PATIENCE).unwrap();
        assert_eq!(breaker.circuit(), Circuit::HalfOpen);
        assert!(breaker.check().is_err(), "a second probe was let through");
        probe.record(true);
        breaker.wait(4);
        assert_eq!(breaker.circuit(), Circuit::Open, "a failed probe let calls through");

        breaker.wait(1);
        breaker.call(&[false]);
        assert_eq!(breaker.circuit(), Circuit::Closed);
    }

    #[test]
    fn a_call_that_is_given_up_counts_as_failed_only_after_its_patience() {
        let breaker = breaker();
        breaker.call(&[true; 4]);
        breaker.wait(5);

        drop(breaker.admit(PATIENCE).unwrap());
        let probe = breaker.admit(PATIENCE).expect("a probe that was given up is made again");
        breaker.wait(2);
        drop(probe);

        assert_eq!(breaker.circuit(), Circuit::Open);
    }

    #[test]
    fn a_late_answer_from_before_the_circuit_opened_changes_nothing() {
        let breaker = breaker();
        let late = breaker.admit(PATIENCE).unwrap();
        breaker.call(&[true; 4]);

        late.record(false);

        assert_eq!(breaker.circuit(), Circuit::Open);
    }
}
