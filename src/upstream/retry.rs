//! Which failures to retry, and after which wait.
//!
//! Waits have full jitter (any time up to a bound that doubles), so that calls that failed together do
//! not come back together:
//! <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>. A budget in proportion to
//! the calls keeps retries from multiplying an outage.

use std::time::Duration;

use tower::retry::budget::TpsBudget;

use crate::domain::{ErrorCode, Failure, TimeLimit, Unreachable};

/// The bound of the first wait; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The bound of the longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// The bound of the wait before a request that was not processed is sent again; it doubles with each.
const FIRST_RESEND_WAIT: Duration = Duration::from_millis(1);
const LONGEST_RESEND_WAIT: Duration = Duration::from_millis(100);
/// The budget: some retries a second, plus a share of the calls, over a window.
const BUDGET_A_SECOND: u32 = 10;
const BUDGET_SHARE: f32 = 0.5;
const BUDGET_WINDOW: Duration = Duration::from_secs(10);

/// A budget of retries, to which each call adds a share.
pub(crate) fn budget() -> TpsBudget {
    TpsBudget::new(BUDGET_WINDOW, BUDGET_A_SECOND, BUDGET_SHARE)
}

/// How often a failed call may be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryClass {
    /// As often as the settings allow.
    Often,
    /// Once: the upstream did all the work in vain, so each retry multiplies its load.
    Once,
    Never,
}

/// What a failure means for the next attempt, and for the circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) retry: RetryClass,
    /// Whether it is an outage of the upstream. Refusals of one request are not, and neither is throttling.
    pub(crate) is_outage: bool,
}

impl Judgement {
    pub(crate) fn of(failure: &Failure) -> Self {
        let (retry, is_outage) = match failure {
            Failure::Unreachable(Unreachable::Connect | Unreachable::Cut)
            | Failure::TimedOut(TimeLimit::Connect) => (RetryClass::Often, true),
            Failure::TimedOut(TimeLimit::Attempt) => (RetryClass::Once, true),
            Failure::TimedOut(TimeLimit::Deadline) => (RetryClass::Never, true),
            Failure::Refused(refusal) => {
                let (status, code) = (refusal.answer.status, refusal.code);
                let retry = match (status, code) {
                    _ if !refusal.retryable => RetryClass::Never,
                    (504, _) | (_, ErrorCode::UpstreamTimeout) => RetryClass::Once,
                    (429 | 500 | 502 | 503, _) | (_, ErrorCode::RateLimited) => RetryClass::Often,
                    _ => RetryClass::Never,
                };
                let is_broken = matches!(
                    code,
                    ErrorCode::UpstreamError
                        | ErrorCode::UpstreamUnavailable
                        | ErrorCode::UpstreamTimeout
                );
                (retry, status >= 500 && is_broken)
            }
            Failure::BadInput { .. }
            | Failure::TokenMissing
            | Failure::ProjectNotAllowed
            | Failure::TokenOfOneProject
            | Failure::NotPermitted { .. }
            | Failure::NotVisible
            | Failure::Unreachable(Unreachable::CircuitOpen { .. })
            | Failure::TimedOut(TimeLimit::Operation)
            | Failure::Malformed { .. }
            | Failure::Unreadable(_)
            | Failure::TooManyWatched { .. }
            | Failure::ResponseTooLarge
            | Failure::Overloaded => (RetryClass::Never, false),
        };
        Self { retry, is_outage }
    }
}

/// The wait before the next attempt after `failed` ones; `chance` is from 0 to 1. It is never shorter than
/// the upstream asked for.
pub(crate) fn wait(failed: u32, asked: Option<Duration>, chance: f64) -> Duration {
    let jittered = doubling(FIRST_WAIT, failed).min(LONGEST_WAIT).mul_f64(chance);
    asked.map_or(jittered, |asked| asked + jittered.min(FIRST_WAIT))
}

/// The wait before a request that was not processed is sent again, for the `resends`-th time. The first
/// waits are tiny; an upstream that refuses more requests is overloaded.
pub(crate) fn wait_before_resend(resends: u32, chance: f64) -> Duration {
    doubling(FIRST_RESEND_WAIT, resends).min(LONGEST_RESEND_WAIT).mul_f64(chance)
}

/// `first`, doubled with each number from 1.
fn doubling(first: Duration, number: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(number.saturating_sub(1)))
}

/// A random number from 0 to 1; a fixed one if the system has no random generator.
pub(crate) fn chance() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{Refusal, UpstreamAnswer};

    fn refused(status: u16, code: ErrorCode, retryable: bool) -> Failure {
        let answer = UpstreamAnswer { status, ..UpstreamAnswer::default() };
        Failure::Refused(Arc::new(Refusal { code, retryable, retry_after: None, answer }))
    }

    #[test]
    fn only_what_may_pass_is_worth_another_attempt() {
        use ErrorCode::{
            BadUserInput, NotFound, RateLimited, UpstreamError, UpstreamTimeout,
            UpstreamUnavailable,
        };
        for (failure, class, outage) in [
            (refused(429, RateLimited, true), RetryClass::Often, false),
            (refused(500, UpstreamError, true), RetryClass::Often, true),
            (refused(502, UpstreamError, true), RetryClass::Often, true),
            (refused(503, UpstreamUnavailable, true), RetryClass::Often, true),
            (refused(504, UpstreamTimeout, true), RetryClass::Once, true),
            (refused(500, NotFound, false), RetryClass::Never, false),
            (refused(500, UpstreamError, false), RetryClass::Never, true),
            (refused(400, BadUserInput, false), RetryClass::Never, false),
            (refused(404, NotFound, false), RetryClass::Never, false),
            (Failure::Unreachable(Unreachable::Connect), RetryClass::Often, true),
            (Failure::Unreachable(Unreachable::Cut), RetryClass::Often, true),
            (Failure::TimedOut(TimeLimit::Attempt), RetryClass::Once, true),
            (Failure::TimedOut(TimeLimit::Deadline), RetryClass::Never, true),
            (Failure::Overloaded, RetryClass::Never, false),
        ] {
            let expected = Judgement { retry: class, is_outage: outage };

            assert_eq!(Judgement::of(&failure), expected, "of {failure:?}");
        }
    }

    #[test]
    fn waits_double_up_to_a_bound_and_never_undercut_what_was_asked() {
        let millis = Duration::from_millis;
        for (failed, asked, chance, expected) in [
            (1, None, 1.0, millis(100)),
            (2, None, 1.0, millis(200)),
            (2, None, 0.5, millis(100)),
            (9, None, 1.0, millis(2000)),
            (u32::MAX, None, 1.0, millis(2000)),
            (1, None, 0.0, millis(0)),
            (1, Some(millis(3000)), 0.0, millis(3000)),
            (9, Some(millis(3000)), 1.0, millis(3100)),
        ] {
            assert_eq!(wait(failed, asked, chance), expected, "of {failed} failed, {asked:?}");
        }
    }
}
