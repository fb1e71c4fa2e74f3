//! The upstream's metrics.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::breaker::Circuit;
use crate::counters::counted;
use crate::domain::{Failure, FailureCode};

/// Outcomes that start at 0, for rates.
const WATCHED_OUTCOMES: [&str; 8] =
    ["200", "401", "403", "429", "500", "503", "timeout", "unreachable"];

/// The upstream's metrics.
#[derive(Clone, Debug)]
pub struct UpstreamMetrics {
    attempts: Family<AttemptLabel, Counter>,
    /// Attempts with status 200, the most frequent outcome.
    good: Counter,
    duration: Histogram,
    pub(crate) shed: Counter,
    waiting: Gauge,
    in_flight: Gauge,
    most_in_flight: Gauge,
    pub(crate) resends: Counter,
    pub(crate) retries: Counter,
    pub(crate) retries_over_budget: Counter,
    pub(crate) breaker_opened: Counter,
    pub(crate) breaker_refused: Counter,
    breaker: Family<CircuitLabel, Gauge>,
}

/// A state of the circuit; the one it is in reads 1, the others 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CircuitLabel {
    state: &'static str,
}

/// An HTTP status, or the code of a failure to get one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabel {
    outcome: String,
}

impl Default for UpstreamMetrics {
    fn default() -> Self {
        let bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let duration = Histogram::new(bounds);
        let watched = WATCHED_OUTCOMES.map(str::to_owned);
        let attempts = counted(watched.map(|outcome| AttemptLabel { outcome }));
        Self {
            good: attempts.get_or_create_owned(&AttemptLabel { outcome: "200".to_owned() }),
            attempts,
            duration,
            shed: Counter::default(),
            waiting: Gauge::default(),
            in_flight: Gauge::default(),
            most_in_flight: Gauge::default(),
            resends: Counter::default(),
            retries: Counter::default(),
            retries_over_budget: Counter::default(),
            breaker_opened: Counter::default(),
            breaker_refused: Counter::default(),
            breaker: Family::default(),
        }
    }
}

impl UpstreamMetrics {
    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let upstream = registry.sub_registry_with_prefix("gateway_upstream");
        upstream.register(
            "attempts",
            "Attempts to call the upstream, by HTTP status or by the reason that there was none",
            self.attempts.clone(),
        );
        upstream.register_with_unit(
            "attempt_duration",
            "Time from sending a request to the end of its answer",
            Unit::Seconds,
            self.duration.clone(),
        );
        for (name, help, gauge) in [
            ("waiting", "Calls that wait for a permit to call the upstream", &self.waiting),
            ("calls_in_flight", "Calls in progress", &self.in_flight),
            ("calls_in_flight_limit", "Limit of calls in progress", &self.most_in_flight),
        ] {
            upstream.register(name, help, gauge.clone());
        }
        for (name, help, counter) in [
            ("shed", "Calls given up because too many were in progress", &self.shed),
            (
                "resends",
                "Requests sent again, within an attempt, because the upstream had not processed them",
                &self.resends,
            ),
            ("retries", "Attempts after a failed one", &self.retries),
            (
                "retries_over_budget",
                "Retries not made because the retry budget was used up",
                &self.retries_over_budget,
            ),
            ("breaker_opened", "How often the circuit breaker opened", &self.breaker_opened),
            (
                "breaker_refused",
                "Calls not made because the circuit breaker was open",
                &self.breaker_refused,
            ),
        ] {
            upstream.register(name, help, counter.clone());
        }
        upstream.register(
            "breaker_state",
            "State of the circuit breaker: 1 for the current one",
            self.breaker.clone(),
        );
    }

    /// Shows the calls in flight and their limit.
    pub(crate) fn show_calls(&self, most: u32, free: usize) {
        let (most, left) = (i64::from(most), i64::try_from(free).unwrap_or(i64::MAX));
        self.most_in_flight.set(most);
        self.in_flight.set(most.saturating_sub(left));
    }

    /// Shows how many calls wait for a permit.
    pub(crate) fn show_waiting(&self, calls: usize) {
        self.waiting.set(i64::try_from(calls).unwrap_or(i64::MAX));
    }

    pub(crate) fn show_circuit(&self, circuit: Circuit) {
        for (known, state) in
            [(Circuit::Closed, "closed"), (Circuit::HalfOpen, "half_open"), (Circuit::Open, "open")]
        {
            let gauge = self.breaker.get_or_create(&CircuitLabel { state });
            gauge.set(i64::from(known == circuit));
        }
    }

    pub(crate) fn count_attempt(&self, answer: Result<u16, &Failure>, took: Duration) {
        self.duration.observe(took.as_secs_f64());
        let outcome = match answer {
            Ok(200) => {
                self.good.inc();
                return;
            }
            // Only registered statuses get a row of their own, so that labels stay few.
            Ok(status) if (100..600).contains(&status) => status.to_string(),
            Ok(_) => "other".to_owned(),
            Err(failure) => reason(failure.code()).to_owned(),
        };
        self.attempts.get_or_create(&AttemptLabel { outcome }).inc();
    }
}

/// Why there was no answer, in a word.
pub(super) fn reason(code: FailureCode) -> &'static str {
    match code {
        FailureCode::UpstreamTimeout => "timeout",
        FailureCode::UpstreamUnavailable => "unreachable",
        FailureCode::UpstreamInvalidResponse => "invalid_response",
        FailureCode::BadUserInput
        | FailureCode::Unauthenticated
        | FailureCode::UpstreamUnauthenticated
        | FailureCode::Forbidden
        | FailureCode::NotFound
        | FailureCode::Conflict
        | FailureCode::RateLimited
        | FailureCode::UpstreamError
        | FailureCode::ResponseTooLarge
        | FailureCode::Overloaded => "other",
    }
}
