//! The metrics of reloads.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::clock::Clock;
use crate::counters::LabelledCounter;

/// The metrics of the settings.
#[derive(Clone, Debug)]
pub(super) struct ReloadMetrics {
    reloads: LabelledCounter,
    last_successful: Gauge,
    last_success: Gauge,
    waiting: Gauge,
    clock: Clock,
}

impl ReloadMetrics {
    /// The metrics of a process that has just read its settings.
    pub(super) fn new(clock: Clock) -> Self {
        let reloads = LabelledCounter::new("outcome", &["success", "failure"]);
        let (last_successful, last_success) = (Gauge::default(), Gauge::default());
        let metrics =
            Self { reloads, last_successful, last_success, waiting: Gauge::default(), clock };
        metrics.show_success();
        metrics
    }

    /// Adds the metrics to the metrics page.
    pub(super) fn register(&self, registry: &mut Registry) {
        let config = registry.sub_registry_with_prefix("gateway_config");
        config.register("reloads", "Reloads of the settings, by outcome", self.reloads.family());
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
        self.reloads.inc("success");
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.show_success();
    }

    pub(super) fn failed(&self) {
        self.reloads.inc("failure");
        self.last_successful.set(0);
    }

    fn show_success(&self) {
        self.last_successful.set(1);
        self.last_success.set(self.clock.timestamp().as_second());
    }
}
