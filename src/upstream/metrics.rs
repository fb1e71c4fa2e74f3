//! The upstream's metrics.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::breaker::Circuit;
use crate::domain::{Failure, FailureCode};

/// The states of a circuit, and their words.
const CIRCUITS: [(Circuit, &str); 3] =
    [(Circuit::Closed, "closed"), (Circuit::HalfOpen, "half_open"), (Circuit::Open, "open")];
/// Outcomes that start at 0, for rates. The first is the most frequent.
const WATCHED_OUTCOMES: [&str; 8] =
    ["200", "401", "403", "429", "500", "503", "timeout", "unreachable"];

/// The upstream's metrics, of all regions.
#[derive(Clone, Debug)]
pub struct UpstreamMetrics {
    attempts: Family<AttemptLabel, Counter>,
    duration: Family<RegionLabel, Histogram, fn() -> Histogram>,
    shed: Family<RegionLabel, Counter>,
    waiting: Family<RegionLabel, Gauge>,
    in_flight: Family<RegionLabel, Gauge>,
    most_in_flight: Family<RegionLabel, Gauge>,
    resends: Family<RegionLabel, Counter>,
    retries: Family<RegionLabel, Counter>,
    retries_over_budget: Family<RegionLabel, Counter>,
    breaker_opened: Family<RegionLabel, Counter>,
    breaker_refused: Family<RegionLabel, Counter>,
    breaker: Family<CircuitLabel, Gauge>,
}

/// The metrics of one region. Its gauges end with it.
#[derive(Debug)]
pub(crate) struct RegionMetrics {
    all: UpstreamMetrics,
    label: RegionLabel,
    /// Attempts with status 200, the most frequent outcome.
    good: Counter,
    duration: Histogram,
    pub(crate) shed: Counter,
    pub(crate) resends: Counter,
    pub(crate) retries: Counter,
    pub(crate) retries_over_budget: Counter,
    pub(crate) breaker_opened: Counter,
    pub(crate) breaker_refused: Counter,
}

/// A region.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegionLabel {
    region: String,
}

/// A state of a region's circuit; the one it is in reads 1, the others 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CircuitLabel {
    region: String,
    state: &'static str,
}

/// An HTTP status, or the code of a failure to get one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabel {
    region: String,
    outcome: String,
}

impl Default for UpstreamMetrics {
    fn default() -> Self {
        Self {
            attempts: Family::default(),
            duration: Family::new_with_constructor(attempt_duration),
            shed: Family::default(),
            waiting: Family::default(),
            in_flight: Family::default(),
            most_in_flight: Family::default(),
            resends: Family::default(),
            retries: Family::default(),
            retries_over_budget: Family::default(),
            breaker_opened: Family::default(),
            breaker_refused: Family::default(),
            breaker: Family::default(),
        }
    }
}

fn attempt_duration() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
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

    /// The metrics of a region, which start at 0.
    pub(crate) fn of_region(&self, region: &str) -> RegionMetrics {
        let label = RegionLabel { region: region.to_owned() };
        let attempts = |outcome: &str| {
            let (region, outcome) = (region.to_owned(), outcome.to_owned());
            self.attempts.get_or_create_owned(&AttemptLabel { region, outcome })
        };
        let [good, ..] = WATCHED_OUTCOMES.map(attempts);
        RegionMetrics {
            all: self.clone(),
            good,
            duration: self.duration.get_or_create_owned(&label),
            shed: self.shed.get_or_create_owned(&label),
            resends: self.resends.get_or_create_owned(&label),
            retries: self.retries.get_or_create_owned(&label),
            retries_over_budget: self.retries_over_budget.get_or_create_owned(&label),
            breaker_opened: self.breaker_opened.get_or_create_owned(&label),
            breaker_refused: self.breaker_refused.get_or_create_owned(&label),
            label,
        }
    }
}

impl RegionMetrics {
    /// Shows the calls in flight and their limit.
    pub(crate) fn show_calls(&self, most: u32, free: usize) {
        let (most, left) = (i64::from(most), i64::try_from(free).unwrap_or(i64::MAX));
        self.all.most_in_flight.get_or_create(&self.label).set(most);
        self.all.in_flight.get_or_create(&self.label).set(most.saturating_sub(left));
    }

    /// Shows how many calls wait for a permit.
    pub(crate) fn show_waiting(&self, calls: usize) {
        let waiting = self.all.waiting.get_or_create(&self.label);
        waiting.set(i64::try_from(calls).unwrap_or(i64::MAX));
    }

    pub(crate) fn show_circuit(&self, circuit: Circuit) {
        for (known, state) in CIRCUITS {
            let gauge = self.all.breaker.get_or_create(&self.circuit(state));
            gauge.set(i64::from(known == circuit));
        }
    }

    fn circuit(&self, state: &'static str) -> CircuitLabel {
        CircuitLabel { region: self.label.region.clone(), state }
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
        let region = self.label.region.clone();
        self.all.attempts.get_or_create(&AttemptLabel { region, outcome }).inc();
    }
}

/// A region that the settings no longer have must not look stuck.
impl Drop for RegionMetrics {
    fn drop(&mut self) {
        let Self { all, label, .. } = &*self;
        for gauges in [&all.waiting, &all.in_flight, &all.most_in_flight] {
            gauges.remove(label);
        }
        for (_, state) in CIRCUITS {
            all.breaker.remove(&self.circuit(state));
        }
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
