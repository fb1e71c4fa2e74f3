//! Rate limits: a rate for each caller, with bursts (GCRA, by `governor`).

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use axum::http::StatusCode;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{InsufficientCapacity, Quota};
use parking_lot::Mutex;

use super::refusal::Refusal;
use crate::clock::Clock;
use crate::config::Rate;
use crate::domain::{ErrorCode, LimitKey};

/// Callers whose rates are kept, in about 12 MB.
const MOST_CALLERS: usize = 100_000;

/// Limits every caller's rate. Clones share the counts.
#[derive(Clone)]
pub(crate) struct RateLimiter(Option<Arc<governor::RateLimiter<LimitKey, SharedBuckets, Clock>>>);

/// When each caller's burst is full again, for a bounded number of callers.
///
/// A full table forgets the caller whose burst is full first, because that caller gains least from a new
/// bucket. So a flood of callers seen once evicts its own buckets and resets no other caller's.
struct Buckets {
    full_at: HashMap<LimitKey, Nanos>,
    by_time: BTreeSet<(Nanos, LimitKey)>,
    most: usize,
}

struct SharedBuckets(Mutex<Buckets>);

impl governor::clock::Clock for Clock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        Self::now(self)
    }
}

impl RateLimiter {
    /// Limits by `limits.rate`; `None` limits nothing.
    pub(crate) fn new(rate: Option<Rate>, clock: &Clock) -> Self {
        Self(rate.and_then(|Rate { count, per }| {
            let quota = Quota::with_period(per / count.get())?.allow_burst(count);
            let buckets = SharedBuckets(Mutex::new(Buckets::new(MOST_CALLERS)));
            Some(Arc::new(governor::RateLimiter::new(quota, buckets, clock.clone())))
        }))
    }

    /// Counts operations against the caller's rate: all of them, or none.
    ///
    /// # Errors
    /// 429 for a caller over the rate; 400 for more operations than a full burst allows.
    pub(crate) fn take(
        &self,
        caller: impl FnOnce() -> LimitKey,
        operations: usize,
    ) -> Result<(), Refusal> {
        let Some(rates) = &self.0 else { return Ok(()) };
        let count = u32::try_from(operations).unwrap_or(u32::MAX);
        let Some(count) = NonZeroU32::new(count) else { return Ok(()) };
        match rates.check_key_n(&caller(), count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => {
                let message = "the caller asks more often than limits.rate allows: come back later";
                Err(Refusal::rate_limited(message).after(until.wait_time_from(rates.clock().now())))
            }
            Err(InsufficientCapacity(burst)) => {
                let message = format!(
                    "the request has {operations} operations: limits.rate allows {burst} at once"
                );
                Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::QueryTooComplex, message))
            }
        }
    }
}

impl StateStore for SharedBuckets {
    type Key = LimitKey;

    fn measure_and_replace<T, F, E>(&self, caller: &LimitKey, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut buckets = self.0.lock();
        let (outcome, full_at) = measure(buckets.full_at.get(caller).copied())?;
        buckets.replace(*caller, full_at);
        Ok(outcome)
    }
}

impl Buckets {
    fn new(most: usize) -> Self {
        Self { full_at: HashMap::new(), by_time: BTreeSet::new(), most }
    }

    fn replace(&mut self, caller: LimitKey, full_at: Nanos) {
        if let Some(before) = self.full_at.insert(caller, full_at) {
            self.by_time.remove(&(before, caller));
        }
        self.by_time.insert((full_at, caller));
        if self.full_at.len() > self.most
            && let Some((_, first)) = self.by_time.pop_first()
        {
            self.full_at.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let rates = RateLimiter::new(Rate::parse("100/h"), &Clock::default());
        let take = |caller, operations| {
            rates.take(|| caller, operations).map_err(|refusal| refusal.status())
        };
        take(named(1), 3).unwrap();

        for number in 0..MOST_CALLERS + 2000 {
            take(token(number), 1).unwrap();
        }

        assert_eq!(take(named(1), 97), Ok(()), "a caller from before");
        assert_eq!(take(named(2), 100), Ok(()), "a caller who came later");
        let refused = take(named(1), 1);
        assert_eq!(refused, Err(StatusCode::TOO_MANY_REQUESTS), "the rate was forgotten");
    }

    #[test]
    fn callers_who_have_used_little_are_forgotten_first_and_the_table_stays_small() {
        let mut buckets = Buckets::new(3);

        for (caller, full_at) in [(1, 50), (2, 10), (3, 30), (2, 60), (4, 40), (5, 20)] {
            buckets.replace(named(caller), Nanos::new(full_at));
        }

        let kept = [1, 2, 3, 4, 5].map(|caller| buckets.full_at.contains_key(&named(caller)));
        assert_eq!(kept, [true, true, false, true, false]);
        assert_eq!(buckets.by_time.len(), 3);
    }
}
