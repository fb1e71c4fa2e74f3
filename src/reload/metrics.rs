//! The metrics of reloads.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::clock::Clock;
use crate::counters::counted;

/// The metrics of the settings.
#[derive(Clone, Debug)]
pub struct ReloadMetrics {
    reloads: Family<OutcomeLabel, Counter>,
    last_successful: Gauge,
    last_success: Gauge,
    waiting: Gauge,
    clock: Clock,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

const SUCCESS: OutcomeLabel = OutcomeLabel { outcome: "success" };
const FAILURE: OutcomeLabel = OutcomeLabel { outcome: "failure" };

impl ReloadMetrics {
    /// The metrics of a process that has just read its settings.
    pub fn new(clock: Clock) -> Self {
        let reloads = counted([SUCCESS, FAILURE]);
        let (last_successful, last_success) = (Gauge::default(), Gauge::default());
        let metrics =
            Self { reloads, last_successful, last_success, waiting: Gauge::default(), clock };
        metrics.show_success();
        metrics
    }

    /// Adds the metrics to the metrics page.
    pub fn register(&self, registry: &mut Registry) {
        let config = registry.sub_registry_with_prefix("gateway_config");
        config.register("reloads", "Reloads of the settings, by outcome", self.reloads.clone());
        config.register(
            "last_reload_successful",
            "Whether the last reload of the settings succeeded",
            self.last_successful.clone(),
        );
        config.register_with_unit(
            "last_reload_success_timestamp",
            "When the last successful reload was, as Unix time",
            Unit::Seconds,
            self.last_success.clone(),
        );
        config.register(
            "settings_pending_restart",
            "Changed settings that need a restart",
            self.waiting.clone(),
        );
    }

    pub(super) fn succeeded(&self, waiting: usize) {
        self.reloads.get_or_create(&SUCCESS).inc();
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.show_success();
    }

    pub(super) fn failed(&self) {
        self.reloads.get_or_create(&FAILURE).inc();
        self.last_successful.set(0);
    }

    fn show_success(&self) {
        self.last_successful.set(1);
        self.last_success.set(self.clock.timestamp().as_second());
    }
}
