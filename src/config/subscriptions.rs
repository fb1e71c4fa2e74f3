//! `subscriptions.*`: how watched records are read, and how long clients may take to listen.

use std::time::Duration;

use super::form::{Count, Span};
use super::setting::{Row, Setting};
use super::values::Values;

static POLL_INTERVAL: Setting<Span> = Setting::new(
    "subscriptions.poll_interval",
    Span { least: Duration::from_millis(10), most: Duration::from_hours(1) },
    "how often a watched record is read, however many watch it",
)
.or("5s")
.changeable();

static SEND_TIMEOUT: Setting<Span> = Setting::new(
    "subscriptions.send_timeout",
    Span { least: Duration::from_millis(10), most: Duration::from_hours(1) },
    "how long a message may take to go out over a WebSocket; a client that reads slower is let go \
     with close code 1008",
)
.or("10s")
.changeable();

static MAX_CONNECTIONS_PER_CALLER: Setting<Count> = Setting::new(
    "subscriptions.max_connections_per_caller",
    Count { least: 1, most: 1_000_000 },
    "sockets and event streams that one caller may have open; a socket more is closed with 4429, an \
     event stream more gets 429; limits.max_in_flight bounds those of all callers together",
)
.or("100")
.changeable();

pub(super) static ROWS: &[&dyn Row] = &[&POLL_INTERVAL, &SEND_TIMEOUT, &MAX_CONNECTIONS_PER_CALLER];

/// How watched records are read, and how long clients may take to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionsConfig {
    /// `subscriptions.poll_interval`
    pub poll_interval: Duration,
    /// `subscriptions.send_timeout`: for one message over a WebSocket.
    pub send_timeout: Duration,
    /// `subscriptions.max_connections_per_caller`: sockets and event streams of one caller.
    pub max_connections_per_caller: usize,
}

impl SubscriptionsConfig {
    pub(super) fn read(values: &mut Values<'_>) -> Self {
        let defaults = Self::default();
        Self {
            poll_interval: values.read_or(&POLL_INTERVAL, defaults.poll_interval),
            send_timeout: values.read_or(&SEND_TIMEOUT, defaults.send_timeout),
            max_connections_per_caller: values
                .read_size(&MAX_CONNECTIONS_PER_CALLER, defaults.max_connections_per_caller),
        }
    }
}

impl Default for SubscriptionsConfig {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(5),
            send_timeout: Duration::from_secs(10),
            max_connections_per_caller: 100,
        }
    }
}
