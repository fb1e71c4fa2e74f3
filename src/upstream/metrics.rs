//! The upstream's metrics.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::breaker::Circuit;
use crate::domain::{ErrorCode, Failure};
use crate::fair_semaphore::FairSemaphore;

/// The states of a circuit, and their words.
const CIRCUITS: [(Circuit, &str); 3] =
    [(Circuit::Closed, "closed"), (Circuit::HalfOpen, "half_open"), (Circuit::Open, "open")];
/// Outcomes that start at 0, for rates. The first is the most frequent.
const WATCHED_OUTCOMES: [&str; 8] =
    ["200", "401", "403", "429", "500", "503", "timeout", "unreachable"];

/// Names and descriptions of the counters of a region, in the order of the fields of [`RegionMetrics`].
const COUNTERS: [(&str, &str); 6] = [
    ("shed", "Calls given up because too many were in progress"),
    (
        "resends",
        "Requests sent again, within an attempt, because the upstream had not processed them",
    ),
    ("retries", "Attempts after a failed one"),
    ("retries_over_budget", "Retries not made because the retry budget was used up"),
    ("breaker_opened", "How often the circuit breaker opened"),
    ("breaker_refused", "Calls not made because the circuit breaker was open"),
];
/// Names and descriptions of the gauges of a region.
const GAUGES: [(&str, &str); 3] = [
    ("waiting", "Calls that wait for a permit to call the upstream"),
    ("calls_in_flight", "Calls in progress"),
    ("calls_in_flight_limit", "Limit of calls in progress"),
];

/// A label: its name and its value.
type LabelPair = (&'static str, String);
type ByRegion<M> = Family<[LabelPair; 1], M>;

/// The upstream's metrics, of all regions.
#[derive(Clone, Debug, Default)]
pub struct UpstreamMetrics {
    /// By region, and by HTTP status or the reason that there was none.
    attempts: Family<[LabelPair; 2], Counter>,
    duration: Durations,
    /// As in [`COUNTERS`].
    counters: [ByRegion<Counter>; 6],
    /// As in [`GAUGES`].
    gauges: [ByRegion<Gauge>; 3],
    /// By region and state: 1 for the state that the circuit is in, else 0.
    breaker: Family<[LabelPair; 2], Gauge>,
}

/// The counters of one region.
#[derive(Debug)]
pub(crate) struct RegionMetrics {
    region: String,
    attempts: Family<[LabelPair; 2], Counter>,
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

/// By region.
#[derive(Clone, Debug)]
struct Durations(Family<[LabelPair; 1], Histogram, fn() -> Histogram>);

impl Default for Durations {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| {
            Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
        }))
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
            self.duration.0.clone(),
        );
        for ((name, help), gauge) in GAUGES.into_iter().zip(&self.gauges) {
            upstream.register(name, help, gauge.clone());
        }
        for ((name, help), counter) in COUNTERS.into_iter().zip(&self.counters) {
            upstream.register(name, help, counter.clone());
        }
        upstream.register(
            "breaker_state",
            "State of the circuit breaker: 1 for the current one",
            self.breaker.clone(),
        );
    }

    /// The counters of a region, which start at 0.
    pub(crate) fn of_region(&self, region: &str) -> RegionMetrics {
        let attempts =
            |outcome: &str| self.attempts.get_or_create_owned(&labels(region, "outcome", outcome));
        let [good, ..] = WATCHED_OUTCOMES.map(attempts);
        let label = [("region", region.to_owned())];
        let [shed, resends, retries, retries_over_budget, breaker_opened, breaker_refused] =
            self.counters.each_ref().map(|counter| counter.get_or_create_owned(&label));
        RegionMetrics {
            region: region.to_owned(),
            attempts: self.attempts.clone(),
            good,
            duration: self.duration.0.get_or_create_owned(&label),
            shed,
            resends,
            retries,
            retries_over_budget,
            breaker_opened,
            breaker_refused,
        }
    }

    /// Sets the gauges of a region.
    pub(crate) fn show(&self, region: &str, permits: &FairSemaphore, circuit: Circuit) {
        let label = [("region", region.to_owned())];
        let numbers = [permits.waiting(), permits.held(), permits.size()];
        for (gauge, number) in self.gauges.iter().zip(numbers) {
            gauge.get_or_create(&label).set(i64::try_from(number).unwrap_or(i64::MAX));
        }
        for (state, name) in CIRCUITS {
            let gauge = self.breaker.get_or_create(&labels(region, "state", name));
            gauge.set(i64::from(state == circuit));
        }
    }

    /// Removes the gauges of all regions: one that the settings no longer have must not look stuck.
    pub(crate) fn clear_gauges(&self) {
        self.gauges.iter().for_each(Family::clear);
        self.breaker.clear();
    }
}

impl RegionMetrics {
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
        self.attempts.get_or_create(&labels(&self.region, "outcome", &outcome)).inc();
    }
}

fn labels(region: &str, name: &'static str, value: &str) -> [LabelPair; 2] {
    [("region", region.to_owned()), (name, value.to_owned())]
}

/// Why there was no answer, in a word.
pub(super) fn reason(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::UpstreamTimeout => "timeout",
        ErrorCode::UpstreamUnavailable => "unreachable",
        ErrorCode::UpstreamInvalidResponse => "invalid_response",
        _ => "other",
    }
}
