//! What is counted of the upstream's answers.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::{Failure, FailureCode};

/// The upstream's metrics.
#[derive(Clone, Debug)]
pub struct UpstreamMetrics {
    attempts: Family<AttemptLabel, Counter>,
    duration: Histogram,
    pub(crate) shed: Counter,
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
        Self { attempts: Family::default(), duration, shed: Counter::default() }
    }
}

impl UpstreamMetrics {
    /// Puts the metrics on show.
    pub fn register(&self, registry: &mut Registry) {
        let upstream = registry.sub_registry_with_prefix("gateway_upstream");
        upstream.register(
            "attempts",
            "Attempts to call the upstream, by HTTP status or by why there was none",
            self.attempts.clone(),
        );
        upstream.register_with_unit(
            "attempt_duration",
            "Time from sending a request to the end of its answer",
            Unit::Seconds,
            self.duration.clone(),
        );
        upstream.register(
            "shed",
            "Calls given up because too many were under way",
            self.shed.clone(),
        );
    }

    pub(crate) fn count_attempt(&self, answer: Result<u16, &Failure>, took: Duration) {
        let outcome = match answer {
            // Only registered statuses get a row of their own, so that labels stay few.
            Ok(status) if (100..600).contains(&status) => status.to_string(),
            Ok(_) => "other".to_owned(),
            Err(failure) => reason(failure.code()).to_owned(),
        };
        self.attempts.get_or_create(&AttemptLabel { outcome }).inc();
        self.duration.observe(took.as_secs_f64());
    }
}

fn reason(code: FailureCode) -> &'static str {
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
        | FailureCode::Overloaded => "other",
    }
}
