//! The circuit breaker: stops calling an upstream that fails too often, and tries again after a while.
//!
//! Pure but for a lock: moments go in, verdicts come out. Counts lie in slices of the window, so that
//! what is old falls out of it bit by bit.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::{BreakerConfig, Live};
use crate::domain::{Failure, Unreachable};

/// Into so many slices the window is cut.
const SLICES: usize = 10;

/// A circuit breaker.
#[derive(Debug)]
pub(crate) struct Breaker {
    limits: Live<BreakerConfig>,
    state: Mutex<State>,
}

/// Where a circuit stands, for metrics and readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Circuit {
    /// Calls go through.
    Closed,
    /// One call goes through, to see whether the others may.
    HalfOpen,
    /// No call goes through.
    Open,
}

#[derive(Debug)]
enum State {
    Closed(Box<Window>),
    Open {
        until: Instant,
    },
    /// A probe is under way.
    Probing,
}

/// Calls of the last while.
#[derive(Debug, Default)]
struct Window {
    slices: [Slice; SLICES],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    begun: Option<Instant>,
    calls: u32,
    failures: u32,
}

/// Leave to make one call. What became of it has to be told; who drops it without a word takes a
/// probe back.
#[derive(Debug)]
pub(crate) struct Pass<'b> {
    breaker: &'b Breaker,
    is_probe: bool,
    told: bool,
    now: Instant,
}

impl Breaker {
    pub(crate) fn new(limits: &BreakerConfig) -> Self {
        Self { limits: Live::new(limits.clone()), state: Mutex::new(State::Closed(Box::default())) }
    }

    /// Goes by other limits from now on; what was counted still counts.
    pub(crate) fn change(&self, limits: &BreakerConfig) {
        self.limits.set(limits.clone());
    }

    /// Whether a call would be let through now; the failure that none is made where not.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Failure> {
        self.lock().check(now)
    }

    /// Leave to make a call, or the failure that none is made for now.
    pub(crate) fn admit(&self, now: Instant) -> Result<Pass<'_>, Failure> {
        let mut state = self.lock();
        state.check(now)?;
        let is_probe = !matches!(*state, State::Closed(_));
        if is_probe {
            *state = State::Probing;
        }
        Ok(Pass { breaker: self, is_probe, told: false, now })
    }

    /// Where the circuit stands.
    pub(crate) fn circuit(&self, now: Instant) -> Circuit {
        match *self.lock() {
            State::Closed(_) => Circuit::Closed,
            State::Open { until } if now < until => Circuit::Open,
            State::Open { .. } | State::Probing => Circuit::HalfOpen,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self, now: Instant) -> Result<(), Failure> {
        match self {
            Self::Open { until } if now < *until => {
                Err(open_for(until.saturating_duration_since(now)))
            }
            // What the probe shows will be known soon.
            Self::Probing => Err(open_for(Duration::from_secs(1))),
            Self::Closed(_) | Self::Open { .. } => Ok(()),
        }
    }
}

impl Pass<'_> {
    /// Tells what became of the call; whether that has opened the circuit.
    pub(crate) fn tell(mut self, failed: bool, now: Instant) -> bool {
        self.told = true;
        let mut state = self.breaker.lock();
        let limits = self.breaker.limits.get();
        let opens = match &mut *state {
            State::Closed(window) => {
                window.count(failed, now, limits.window);
                failed && window.is_over(&limits, now)
            }
            State::Probing if self.is_probe => {
                if !failed {
                    *state = State::Closed(Box::default());
                }
                failed
            }
            // A call from before the circuit opened says nothing new.
            State::Probing | State::Open { .. } => false,
        };
        if opens {
            *state = State::Open { until: now + limits.open_for };
        }
        opens
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_probe && !self.told {
            // Nobody waited for the probe's answer, so the next call is the probe.
            *self.breaker.lock() = State::Open { until: self.now };
        }
    }
}

impl Window {
    fn count(&mut self, failed: bool, now: Instant, window: Duration) {
        let width = slice_width(window);
        let newest = self.slices.iter_mut().max_by_key(|slice| slice.begun);
        let fits = |slice: &Slice| slice.begun.is_some_and(|begun| now < begun + width);
        let slice = match newest {
            Some(slice) if fits(slice) => Some(slice),
            _ => {
                let oldest = self.slices.iter_mut().min_by_key(|slice| slice.begun);
                oldest.map(|slice| {
                    *slice = Slice { begun: Some(now), calls: 0, failures: 0 };
                    slice
                })
            }
        };
        if let Some(slice) = slice {
            slice.calls = slice.calls.saturating_add(1);
            slice.failures = slice.failures.saturating_add(u32::from(failed));
        }
    }

    /// Whether the share of failures is reached, by enough calls.
    fn is_over(&self, limits: &BreakerConfig, now: Instant) -> bool {
        let recent = |slice: &&Slice| slice.begun.is_some_and(|begun| now < begun + limits.window);
        let (calls, failures) =
            self.slices.iter().filter(recent).fold((0_u64, 0_u64), |sum, slice| {
                (sum.0 + u64::from(slice.calls), sum.1 + u64::from(slice.failures))
            });
        #[expect(clippy::cast_precision_loss, reason = "calls of seconds, far below 2^53")]
        let share = failures as f64 / calls.max(1) as f64;
        calls >= u64::from(limits.min_calls.get()) && share >= limits.failure_rate
    }
}

fn slice_width(window: Duration) -> Duration {
    window / u32::try_from(SLICES).unwrap_or(1)
}

fn open_for(left: Duration) -> Failure {
    Failure::Unreachable(Unreachable::CircuitOpen { retry_after: left })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::clock::Clock;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// Opens at half of four calls within ten seconds, for five.
    fn breaker() -> (Breaker, Instant) {
        let limits = BreakerConfig {
            min_calls: NonZeroU32::new(4).unwrap(),
            failure_rate: 0.5,
            window: secs(10),
            open_for: secs(5),
        };
        (Breaker::new(&limits), Clock::default().now())
    }

    fn calls(breaker: &Breaker, outcomes: &[bool], at: Instant) {
        for failed in outcomes {
            breaker.admit(at).unwrap().tell(*failed, at);
        }
    }

    #[test]
    fn a_circuit_opens_at_the_share_of_failures_and_not_before() {
        let (breaker, now) = breaker();

        calls(&breaker, &[true, true, true], now);
        assert_eq!(breaker.circuit(now), Circuit::Closed, "too few calls opened it");
        calls(&breaker, &[false, false, false, false], now);
        assert_eq!(breaker.circuit(now), Circuit::Closed, "3 of 7 opened it");
        calls(&breaker, &[true], now);

        assert_eq!(breaker.circuit(now), Circuit::Open);
        let refusal = breaker.admit(now + secs(2)).unwrap_err();
        assert_eq!(refusal.retry_after(), Some(secs(3)));
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let (breaker, now) = breaker();

        calls(&breaker, &[true, true, true], now);
        calls(&breaker, &[false, false, false, true], now + secs(10));

        assert_eq!(breaker.circuit(now + secs(10)), Circuit::Closed);
    }

    #[test]
    fn after_its_time_one_probe_decides() {
        let (breaker, now) = breaker();
        calls(&breaker, &[true; 4], now);
        let later = now + secs(5);

        let probe = breaker.admit(later).unwrap();
        assert_eq!(breaker.circuit(later), Circuit::HalfOpen);
        assert!(breaker.admit(later).is_err(), "a second probe was let through");
        assert!(probe.tell(true, later), "a failed probe left the circuit open");
        assert!(breaker.admit(later + secs(4)).is_err());

        let probe = breaker.admit(later + secs(5)).unwrap();
        probe.tell(false, later + secs(5));
        assert_eq!(breaker.circuit(later + secs(5)), Circuit::Closed);
    }

    #[test]
    fn asking_whether_a_call_may_be_made_makes_no_probe() {
        let (breaker, now) = breaker();
        for _ in 0..4 {
            breaker.admit(now).unwrap().tell(true, now);
        }

        assert!(breaker.check(now).is_err(), "an open circuit let a call queue");
        let later = now + secs(5);
        assert_eq!(breaker.check(later), Ok(()));
        let probe = breaker.admit(later).unwrap();
        assert!(breaker.check(later).is_err(), "a call queued behind the probe");
        drop(probe);
    }

    #[test]
    fn a_probe_that_nobody_waited_for_is_made_again() {
        let (breaker, now) = breaker();
        calls(&breaker, &[true; 4], now);

        drop(breaker.admit(now + secs(5)).unwrap());

        assert!(breaker.admit(now + secs(5)).is_ok());
    }

    #[test]
    fn a_late_answer_from_before_the_circuit_opened_changes_nothing() {
        let (breaker, now) = breaker();
        let late = breaker.admit(now).unwrap();
        calls(&breaker, &[true; 4], now);

        late.tell(false, now + secs(1));

        assert_eq!(breaker.circuit(now + secs(1)), Circuit::Open);
    }
}
