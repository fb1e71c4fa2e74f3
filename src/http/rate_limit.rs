//! Rate limits: a rate for each caller, with bursts (GCRA, by `governor`).

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::Quota;
use governor::clock::Clock as Timing;
use governor::nanos::Nanos;
use governor::state::StateStore;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::config::Rate;
use crate::domain::LimitKey;

/// Callers whose rates are kept, in about 12 MB.
const MOST_CALLERS: usize = 100_000;

/// Limits every caller's rate. Clones share the counts.
#[derive(Clone)]
pub(crate) struct RateLimiter(Option<Arc<Limiter>>);

struct Limiter {
    rates: governor::RateLimiter<LimitKey, Buckets, Ticking>,
    clock: Clock,
    burst: NonZeroU32,
}

/// When each caller's burst is full again, for a bounded number of callers.
///
/// A full table forgets the caller whose burst is full first, because that caller gains least from a new
/// bucket. So a flood of callers seen once evicts its own buckets and resets no other caller's.
struct Buckets {
    table: Mutex<BucketTable>,
    most: usize,
}

#[derive(Default)]
struct BucketTable {
    full_at: HashMap<LimitKey, Nanos>,
    by_time: BTreeSet<(Nanos, LimitKey)>,
}

/// The process's clock, for governor.
struct Ticking(Clock);

/// Why operations are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RateExceeded {
    /// The caller's rate is used up for this long.
    For(Duration),
    /// The request has more operations than a full burst allows, so waiting does not help.
    AtOnce {
        /// Operations in the request.
        operations: usize,
        /// Operations in a full burst.
        most: u32,
    },
}

impl Timing for Ticking {
    type Instant = Instant;

    fn now(&self) -> Instant {
        self.0.now()
    }
}

impl RateExceeded {
    pub(crate) fn sentence(self) -> String {
        match self {
            Self::For(_) => {
                "the caller asks more often than limits.rate allows: come back later".to_owned()
            }
            Self::AtOnce { operations, most } => format!(
                "the request has {operations} operations: limits.rate and limits.rate_burst allow \
                 {most} at once"
            ),
        }
    }
}

impl RateLimiter {
    /// Limits by `limits.rate`; `None` limits nothing.
    pub(crate) fn new(rate: Option<Rate>, clock: &Clock) -> Self {
        Self(rate.and_then(|rate| {
            let Rate { count, per, burst } = rate;
            let quota = Quota::with_period(per / count.get())?.allow_burst(burst);
            let ticking = Ticking(clock.clone());
            let rates = governor::RateLimiter::new(quota, Buckets::new(MOST_CALLERS), ticking);
            Some(Arc::new(Limiter { rates, clock: clock.clone(), burst }))
        }))
    }

    /// Counts operations against the caller's rate: all of them, or none.
    pub(crate) fn take(
        &self,
        caller: impl FnOnce() -> LimitKey,
        operations: usize,
    ) -> Result<(), RateExceeded> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        let Some(count) = u32::try_from(operations).ok().and_then(NonZeroU32::new) else {
            return Ok(());
        };
        match limiter.rates.check_key_n(&caller(), count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => {
                // Rounded up, so that a client that waits this long is not early.
                let wait = until.wait_time_from(limiter.clock.now());
                let millis = u64::try_from(wait.as_nanos().div_ceil(1_000_000));
                Err(RateExceeded::For(Duration::from_millis(millis.unwrap_or(u64::MAX))))
            }
            Err(_) => Err(RateExceeded::AtOnce { operations, most: limiter.burst.get() }),
        }
    }
}

impl Buckets {
    fn new(most: usize) -> Self {
        Self { table: Mutex::default(), most }
    }
}

impl StateStore for Buckets {
    type Key = LimitKey;

    fn measure_and_replace<T, F, E>(&self, caller: &LimitKey, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut table = self.table.lock();
        let (outcome, full_at) = measure(table.full_at.get(caller).copied())?;
        table.replace(*caller, full_at);
        if table.full_at.len() > self.most {
            table.forget_first();
        }
        Ok(outcome)
    }
}

impl BucketTable {
    fn replace(&mut self, caller: LimitKey, full_at: Nanos) {
        if let Some(before) = self.full_at.insert(caller, full_at) {
            self.by_time.remove(&(before, caller));
        }
        self.by_time.insert((full_at, caller));
    }

    fn forget_first(&mut self) {
        if let Some((_, caller)) = self.by_time.pop_first() {
            self.full_at.remove(&caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(text: &str, clock: &Clock) -> RateLimiter {
        RateLimiter::new(Rate::parse(text), clock)
    }

    fn named(byte: u8) -> LimitKey {
        LimitKey::Name([byte; 32])
    }

    fn token(number: usize) -> LimitKey {
        let mut hash = [0; 32];
        hash[..size_of::<usize>()].copy_from_slice(&number.to_ne_bytes());
        LimitKey::Token(hash)
    }

    #[test]
    fn a_flood_of_made_up_tokens_limits_neither_old_nor_new_callers() {
        let rates = rates("100/h", &Clock::default());
        rates.take(|| named(1), 3).unwrap();

        for number in 0..MOST_CALLERS + 2000 {
            rates.take(|| token(number), 1).unwrap();
        }

        assert_eq!(rates.take(|| named(1), 97), Ok(()), "a caller from before");
        assert_eq!(rates.take(|| named(2), 100), Ok(()), "a caller who came later");
        assert!(
            matches!(rates.take(|| named(1), 1), Err(RateExceeded::For(_))),
            "the rate was forgotten"
        );
    }

    #[test]
    fn callers_who_have_used_little_are_forgotten_first_and_the_table_stays_small() {
        let buckets = Buckets::new(3);
        let use_up = |caller, full_at| {
            buckets.measure_and_replace(&named(caller), |_| Ok::<_, ()>(((), Nanos::new(full_at))))
        };

        for (caller, full_at) in [(1, 50), (2, 10), (3, 30), (2, 60), (4, 40), (5, 20)] {
            use_up(caller, full_at).unwrap();
        }

        let table = buckets.table.lock();
        let kept = [1, 2, 3, 4, 5].map(|caller| table.full_at.contains_key(&named(caller)));
        assert_eq!(kept, [true, true, false, true, false]);
        assert_eq!(table.by_time.len(), 3);
    }
}
