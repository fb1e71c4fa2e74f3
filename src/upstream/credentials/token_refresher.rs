//! Credentials that expire: fetched once for all callers, renewed ahead, and used until their end.
//!
//! Valid credentials are returned at once, and renewed in the background when their end is near.
//! Otherwise all callers wait for one shared future. After a failure the issuer is left alone for a while:
//! a refused login could lock the account.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::domain::Failure;

/// The pause after a first transient failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The least time between two renewals in the background.
const BETWEEN_RENEWALS: Duration = Duration::from_secs(30);
/// The least time between two renewals because credentials were refused.
const BETWEEN_FORGETTING: Duration = Duration::from_mins(1);

/// A source of credentials.
pub(crate) trait Issuer: Send + Sync + 'static {
    type Issued: Clone + Send + Sync + 'static;

    /// Its name in logs.
    const NAME: &'static str;

    /// Fetches new credentials.
    fn issue(&self) -> impl Future<Output = Result<Lease<Self::Issued>, Failure>> + Send;

    /// How long to leave the issuer alone after a refusal; `None` for transient failures.
    fn rest_after(&self, failure: &Failure) -> Option<Duration>;

    /// What the credentials are for, in logs.
    fn scope(&self) -> Option<String> {
        None
    }

    /// Whether it is left alone for another reason than the failure of these credentials.
    fn is_stopped(&self) -> bool {
        false
    }
}

/// Credentials and their lifetime.
#[derive(Clone)]
pub(crate) struct Lease<T> {
    pub(crate) value: T,
    /// When they should be renewed.
    pub(crate) renew_at: Instant,
    /// When they end.
    pub(crate) ends_at: Instant,
}

impl<T> Lease<T> {
    /// Credentials that end at `ends` and are to be renewed `ahead` of that, given their lifetime.
    pub(crate) fn until(
        ends: Timestamp,
        value: T,
        clock: &Clock,
        ahead: impl Fn(Duration) -> Duration,
    ) -> Self {
        let now = clock.now();
        let life = Duration::try_from(ends.duration_since(clock.timestamp())).unwrap_or_default();
        let renew_at = now + life.saturating_sub(ahead(life));
        Self { value, renew_at, ends_at: now + life }
    }
}

/// Numbers leases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Generation(u64);

impl Generation {
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Credentials and the generation of their lease.
type Held<T> = (T, Generation);
type Issuing<T> = BoxFuture<'static, Result<Held<T>, Failure>>;
type Renewal<T> = Shared<Issuing<T>>;

/// Credentials of one issuer, shared by all calls.
pub(crate) struct TokenRefresher<I: Issuer>(Arc<Inner<I>>);

struct Inner<I: Issuer> {
    issuer: I,
    clock: Clock,
    tasks: TaskTracker,
    state: Mutex<State<I::Issued>>,
}

struct State<T> {
    lease: Option<Lease<T>>,
    /// The earlier credentials, which calls in flight may still carry.
    previous: Option<T>,
    generation: u64,
    under_way: Option<WeakShared<Issuing<T>>>,
    /// When credentials were last dropped before their end.
    forgotten: Option<Instant>,
    rest: Option<Rest>,
    failures: u32,
    /// How often the issuer's own settings have changed.
    beginnings: u64,
}

struct Rest {
    until: Instant,
    failure: Failure,
}

impl<I: Issuer> Clone for TokenRefresher<I> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I: Issuer> TokenRefresher<I> {
    pub(crate) fn new(issuer: I, clock: Clock) -> Self {
        let state = State {
            lease: None,
            previous: None,
            generation: 0,
            under_way: None,
            forgotten: None,
            rest: None,
            failures: 0,
            beginnings: 0,
        };
        let tasks = TaskTracker::new();
        Self(Arc::new(Inner { issuer, clock, tasks, state: Mutex::new(state) }))
    }

    pub(crate) fn issuer(&self) -> &I {
        &self.0.issuer
    }

    /// The current credentials, after a renewal if need be.
    pub(crate) async fn get(&self) -> Result<Held<I::Issued>, Failure> {
        let now = self.0.clock.now();
        if let Some(valid) = self.valid(now) {
            return Ok(valid);
        }
        let renewal = {
            let mut state = self.0.state.lock();
            if let Some(rest) = state.rest.as_ref().filter(|rest| now < rest.until) {
                return Err(rest.failure.clone());
            }
            self.renewal(&mut state)
        };
        renewal.await
    }

    /// Credentials that have not ended. Starts their renewal if it is due.
    fn valid(&self, now: Instant) -> Option<Held<I::Issued>> {
        let mut state = self.0.state.lock();
        let lease = state.lease.as_ref().filter(|lease| now < lease.ends_at)?;
        let valid = (lease.value.clone(), Generation(state.generation));
        let is_due = now >= lease.renew_at;
        let rests = state.rest.as_ref().is_some_and(|rest| now < rest.until);
        if is_due && !rests {
            // It runs in the background; the old ones are used meanwhile.
            drop(self.renewal(&mut state));
        }
        Some(valid)
    }

    /// Drops credentials that were refused, unless they have been renewed since, or others were dropped
    /// shortly before: new ones would not help either.
    pub(crate) fn forget(&self, refused: Generation) {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        let is_soon = state.forgotten.is_some_and(|last| now < last + BETWEEN_FORGETTING);
        if state.generation == refused.0 && !is_soon {
            state.retire();
            state.forgotten = Some(now);
        }
    }

    /// Forgets failures, because the issuer's settings have changed. Current credentials stay in use.
    pub(crate) fn reset_failures(&self) {
        let mut state = self.0.state.lock();
        state.beginnings += 1;
        state.under_way = None;
        state.rest = None;
        state.failures = 0;
    }

    /// All credentials that calls may carry, to redact them.
    pub(crate) fn known(&self) -> Vec<I::Issued> {
        let state = self.0.state.lock();
        let current = state.lease.as_ref().map(|lease| lease.value.clone());
        current.into_iter().chain(state.previous.clone()).collect()
    }

    /// Whether there are no credentials, and none are fetched after a failure.
    pub(crate) fn is_failing(&self) -> bool {
        let now = self.0.clock.now();
        let state = self.0.state.lock();
        let ended = state.lease.as_ref().is_none_or(|lease| now >= lease.ends_at);
        let rests = state.rest.as_ref().is_some_and(|rest| now < rest.until);
        ended && (rests || self.0.issuer.is_stopped())
    }

    /// Joins or starts the renewal. A task drives it to its end: if it were dropped with its callers, a
    /// refused login would go unnoticed and be repeated.
    fn renewal(&self, state: &mut State<I::Issued>) -> Renewal<I::Issued> {
        let under_way = state.under_way.as_ref().and_then(WeakShared::upgrade);
        if let Some(renewal) = under_way {
            return renewal;
        }
        let inner = Arc::clone(&self.0);
        let renewal = async move { inner.renew().await }.boxed().shared();
        state.under_way = renewal.downgrade();
        let driven = renewal.clone();
        self.0.tasks.spawn(async move {
            // Its failure is logged where it happens.
            let _ = driven.await;
        });
        renewal
    }
}

impl<T> State<T> {
    /// Drops the current credentials.
    fn retire(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.previous = Some(lease.value);
        }
    }
}

impl<I: Issuer> Inner<I> {
    async fn renew(&self) -> Result<Held<I::Issued>, Failure> {
        let beginnings = self.state.lock().beginnings;
        let issued = self.issuer.issue().await;
        let now = self.clock.now();
        let issued =
            issued.and_then(|lease| if now < lease.ends_at { Ok(lease) } else { Err(ended()) });
        let mut state = self.state.lock();
        if state.beginnings == beginnings {
            state.under_way = None;
        } else if let Err(failure) = issued {
            // The failure is about settings of before.
            return Err(failure);
        }
        match issued {
            Ok(mut lease) => {
                // An issuer may return the same credentials until shortly before their end.
                lease.renew_at = lease.renew_at.max(now + BETWEEN_RENEWALS);
                let value = lease.value.clone();
                let scope = self.issuer.scope();
                tracing::info!(issuer = I::NAME, scope, "new credentials for the upstream");
                state.retire();
                state.lease = Some(lease);
                state.generation += 1;
                state.rest = None;
                state.failures = 0;
                Ok((value, Generation(state.generation)))
            }
            Err(failure) => {
                let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(state.failures));
                let pause = self.issuer.rest_after(&failure).unwrap_or(doubled.min(LONGEST_PAUSE));
                tracing::error!(
                    issuer = I::NAME,
                    scope = self.issuer.scope(),
                    code = failure.code().as_str(),
                    status = failure.upstream_status(),
                    request_id = failure.upstream().and_then(|answer| answer.request_id.as_deref()),
                    rest_seconds = pause.as_secs(),
                    "no credentials for the upstream"
                );
                state.failures = state.failures.saturating_add(1);
                let until = self.clock.now() + pause;
                state.rest = Some(Rest { until, failure: failure.clone() });
                Err(failure)
            }
        }
    }
}

fn ended() -> Failure {
    let problem =
        "holds credentials that have ended already: check this machine's clock".to_owned();
    Failure::Malformed { problem, answer: Arc::default() }
}
