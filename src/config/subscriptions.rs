//! `subscriptions.*`: how watched records are read.

use std::time::Duration;

use super::form::{Count, Span};
use super::setting::{Row, Setting};
use super::values::Values;

static POLL_INTERVAL: Setting<Span> = Setting::new(
    "subscriptions.poll_interval",
    Span { least: Duration::from_millis(10), most: Duration::from_hours(1) },
    "how often a watched record is read, however many watch it",
)
.or("5s");

static MAX_CONNECTIONS_PER_CALLER: Setting<Count> = Setting::new(
    "subscriptions.max_connections_per_caller",
    Count { least: 1, most: 1_000_000 },
    "WebSockets and event streams that one caller may have open; limits.max_in_flight bounds those \
     of all callers together",
)
.or("100");

pub(super) static ROWS: &[&dyn Row] = &[&POLL_INTERVAL, &MAX_CONNECTIONS_PER_CALLER];

/// How watched records are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionsConfig {
    /// `subscriptions.poll_interval`
    pub poll_interval: Duration,
    /// `subscriptions.max_connections_per_caller`
    pub max_connections_per_caller: usize,
}

impl SubscriptionsConfig {
    pub(super) fn read(values: &mut Values<'_>) -> Self {
        let defaults = Self::default();
        Self {
            poll_interval: values.read_or(&POLL_INTERVAL, defaults.poll_interval),
            max_connections_per_caller: values
                .read_size(&MAX_CONNECTIONS_PER_CALLER, defaults.max_connections_per_caller),
        }
    }
}

impl Default for SubscriptionsConfig {
    fn default() -> Self {
        Self { poll_interval: Duration::from_secs(5), max_connections_per_caller: 100 }
    }
}
