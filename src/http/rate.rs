//! How often a caller may ask: a rate for each, with room for bursts (GCRA, by `governor`).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_graphql::ServerError;
use governor::clock::Clock as Timing;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::Rate;
use crate::domain::LimitKey;
use crate::graphql::{ErrorCode, rate_limited, request_error};

/// Callers without a name that are told apart. More share one rate, so that nobody can fill the memory
/// with made-up tokens.
const MOST_STRANGERS: usize = 100_000;
/// How often callers who have rested for long enough are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(10);

/// The rates of all callers. Clones share them.
#[derive(Clone)]
pub(crate) struct Rates(Option<Arc<Limiter>>);

struct Limiter {
    rates: RateLimiter<LimitKey, HashMapStateStore<LimitKey>, Ticking>,
    clock: Clock,
    burst: NonZeroU32,
}

/// The process's clock, as the limiter wants it.
struct Ticking(Clock);

/// Operations over the caller's rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMany {
    /// For so long.
    For(Duration),
    /// However long the caller waits: more operations in one request than may ever come at once.
    AtOnce {
        /// How many there are.
        operations: usize,
        /// How many may be.
        most: u32,
    },
}

impl Timing for Ticking {
    type Instant = Instant;

    fn now(&self) -> Instant {
        self.0.now()
    }
}

impl TooMany {
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

impl TooMany {
    /// For an operation that has an answer of its own.
    pub(crate) fn error(self) -> ServerError {
        match self {
            Self::For(wait) => rate_limited(self.sentence(), wait),
            Self::AtOnce { .. } => request_error(ErrorCode::QueryTooComplex, self.sentence()),
        }
    }
}

impl Rates {
    /// The rates of the settings; nothing is limited where there is none.
    pub(crate) fn new(rate: Option<Rate>, clock: &Clock) -> Self {
        Self(rate.and_then(|rate| {
            let Rate { count, per, burst } = rate;
            let quota = Quota::with_period(per / count.get())?.allow_burst(burst);
            let ticking = Ticking(clock.clone());
            let rates = RateLimiter::new(quota, HashMapStateStore::default(), ticking);
            Some(Arc::new(Limiter { rates, clock: clock.clone(), burst }))
        }))
    }

    /// Forgets callers who have rested, from now on.
    pub(crate) fn tidy(&self, tasks: &TaskTracker, stopping: CancellationToken) {
        let Some(limiter) = self.0.as_ref().map(Arc::downgrade) else { return };
        tasks.spawn(stopping.run_until_cancelled_owned(async move {
            let mut ticks = interval(FORGET_EVERY);
            loop {
                ticks.tick().await;
                // Another rate may have taken its place.
                let Some(limiter) = limiter.upgrade() else { return };
                limiter.rates.retain_recent();
            }
        }));
    }

    /// Takes so many operations off what a caller may ask for: all of them, or none.
    pub(crate) fn take(
        &self,
        caller: impl FnOnce() -> LimitKey,
        operations: usize,
    ) -> Result<(), TooMany> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        let Some(count) = u32::try_from(operations).ok().and_then(NonZeroU32::new) else {
            return Ok(());
        };
        let mut caller = caller();
        let is_named = matches!(caller, LimitKey::Name(_));
        if !is_named && limiter.rates.len() >= MOST_STRANGERS {
            caller = LimitKey::Unknown;
        }
        match limiter.rates.check_key_n(&caller, count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => {
                // Told in milliseconds: who comes back then must not be early.
                let wait = until.wait_time_from(limiter.clock.now());
                let millis = u64::try_from(wait.as_nanos().div_ceil(1_000_000));
                Err(TooMany::For(Duration::from_millis(millis.unwrap_or(u64::MAX))))
            }
            Err(_) => Err(TooMany::AtOnce { operations, most: limiter.burst.get() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(text: &str, clock: &Clock) -> Rates {
        Rates::new(Rate::parse(text), clock)
    }

    fn named(byte: u8) -> LimitKey {
        LimitKey::Name([byte; 32])
    }

    #[test]
    fn a_caller_may_ask_so_often_and_again_after_the_time_that_is_named() {
        let clock = Clock::default();
        let rates = rates("2/m", &clock);

        let taken = [1, 1, 1].map(|operations| rates.take(|| named(1), operations));

        let [Ok(()), Ok(()), Err(TooMany::For(wait))] = taken else { panic!("{taken:?}") };
        assert!(wait > Duration::from_secs(29) && wait <= Duration::from_secs(30), "{wait:?}");
        clock.advance(wait + Duration::from_millis(1));
        assert_eq!(rates.take(|| named(1), 1), Ok(()));
    }

    #[test]
    fn callers_have_rates_of_their_own() {
        let rates = rates("1/h", &Clock::default());

        let taken = [1, 2, 1].map(|caller| rates.take(|| named(caller), 1).is_ok());

        assert_eq!(taken, [true, true, false]);
    }

    #[test]
    fn a_batch_is_taken_whole_or_not_at_all() {
        let clock = Clock::default();
        let rates = rates("3/h", &clock);

        assert!(matches!(
            rates.take(|| named(1), 4),
            Err(TooMany::AtOnce { operations: 4, most: 3 })
        ));
        assert_eq!(rates.take(|| named(1), 2), Ok(()));
        assert!(matches!(rates.take(|| named(1), 2), Err(TooMany::For(_))));
        assert_eq!(rates.take(|| named(1), 1), Ok(()));
    }

    #[test]
    fn who_has_rested_is_forgotten() {
        let clock = Clock::default();
        let rates = rates("10/s", &clock);
        rates.take(|| named(1), 1).unwrap();

        clock.advance(Duration::from_secs(5));
        let limiter = rates.0.as_ref().unwrap();
        limiter.rates.retain_recent();

        assert_eq!(limiter.rates.len(), 0);
    }

    #[test]
    fn without_a_rate_nothing_is_limited() {
        let rates = Rates::new(None, &Clock::default());

        assert!((0..10_000).all(|_| rates.take(|| named(1), 1000).is_ok()));
    }
}
