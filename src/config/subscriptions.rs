//! `subscriptions.*`: how watched records are read.

use std::time::Duration;

use super::form::Span;
use super::setting::{Row, Setting};
use super::values::Values;

static POLL_INTERVAL: Setting<Span> = Setting::new(
    "subscriptions.poll_interval",
    Span { least: Duration::from_millis(10), most: Duration::from_hours(1) },
    "how often a watched record is read, however many watch it",
)
.or("5s");

pub(super) static ROWS: &[&dyn Row] = &[&POLL_INTERVAL];

/// How watched records are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionsConfig {
    /// `subscriptions.poll_interval`
    pub poll_interval: Duration,
}

impl SubscriptionsConfig {
    pub(super) fn read(values: &mut Values<'_>) -> Self {
        let defaults = Self::default();
        Self { poll_interval: values.read_or(&POLL_INTERVAL, defaults.poll_interval) }
    }
}

impl Default for SubscriptionsConfig {
    fn default() -> Self {
        Self { poll_interval: Duration::from_secs(5) }
    }
}
