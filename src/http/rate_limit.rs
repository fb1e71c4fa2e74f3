//! Rate limits: a rate for each caller, with bursts, by the generic cell rate algorithm
//! (<https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use parking_lot::Mutex;

use super::refusal::Refusal;
use crate::clock::Clock;
use crate::config::Rate;
use crate::domain::{ErrorCode, LimitKey};

/// Callers whose rates are kept, in about 12 MB.
const MOST_CALLERS: usize = 100_000;

/// Limits every caller's rate. Clones share the counts.
#[derive(Clone)]
pub(crate) struct RateLimiter(Option<Arc<Limiter>>);

struct Limiter {
    rate: Rate,
    buckets: Mutex<Buckets>,
    clock: Clock,
}

/// When each caller's burst is full again, for a bounded number of callers.
///
/// A full table forgets the caller whose burst is full first, because that caller gains least from a new
/// bucket. So a flood of callers seen once evicts its own buckets and resets no other caller's.
struct Buckets {
    full_at: HashMap<LimitKey, Instant>,
    by_time: BTreeSet<(Instant, LimitKey)>,
    most: usize,
}

impl RateLimiter {
    /// Limits by `limits.rate`; `None` limits nothing.
    pub(crate) fn new(rate: Option<Rate>, clock: &Clock) -> Self {
        let limiter = |rate| {
            let buckets = Mutex::new(Buckets::new(MOST_CALLERS));
            Arc::new(Limiter { rate, buckets, clock: clock.clone() })
        };
        Self(rate.map(limiter))
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
        let Some(limiter) = &self.0 else { return Ok(()) };
        let burst = limiter.rate.count.get();
        let operations = u32::try_from(operations).unwrap_or(u32::MAX);
        if operations > burst {
            let message = format!(
                "the request has {operations} operations: limits.rate allows {burst} \
                 at once"
            );
            return Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::QueryTooComplex, message));
        }
        limiter.take(caller(), operations).map_err(|wait| {
            let message = "the caller asks more often than limits.rate allows: come back later";
            Refusal::rate_limited(message).after(wait)
        })
    }
}

impl Limiter {
    /// The error is the time after which there is room for them.
    fn take(&self, caller: LimitKey, operations: u32) -> Result<(), Duration> {
        let Rate { count, per } = self.rate;
        let period = per / count.get();
        let now = self.clock.now();
        let mut buckets = self.buckets.lock();
        let full_at = buckets.full_at.get(&caller).map_or(now, |full_at| now.max(*full_at));
        let full_at = full_at + period * operations;
        let wait = full_at.saturating_duration_since(now + period * count.get());
        if !wait.is_zero() {
            return Err(wait);
        }
        buckets.replace(caller, full_at);
        Ok(())
    }
}

impl Buckets {
    fn new(most: usize) -> Self {
        Self { full_at: HashMap::new(), by_time: BTreeSet::new(), most }
    }

    fn replace(&mut self, caller: LimitKey, full_at: Instant) {
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
        let (mut buckets, now) = (Buckets::new(3), Clock::default().now());

        for (caller, full_at) in [(1, 50), (2, 10), (3, 30), (2, 60), (4, 40), (5, 20)] {
            buckets.replace(named(caller), now + Duration::from_secs(full_at));
        }

        let kept = [1, 2, 3, 4, 5].map(|caller| buckets.full_at.contains_key(&named(caller)));
        assert_eq!(kept, [true, true, false, true, false]);
        assert_eq!(buckets.by_time.len(), 3);
    }
}
