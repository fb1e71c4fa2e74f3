//! `subscriptions.*`: how watched records are read, and how long clients may take to listen.

use std::time::Duration;

use super::settings::{DurationRange, NumberRange, setting, settings};

const INTERVAL: DurationRange = DurationRange(Duration::from_millis(10)..=Duration::from_hours(1));

settings! {
    /// How watched records are read, and how long clients may take to listen.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct SubscriptionsConfig in "subscriptions." {
        /// how often a watched record is read, however many watch it
        pub poll_interval: Duration = setting(&INTERVAL).default("5s").reloadable(),
        /// how long a message may take to go out over a WebSocket; a client that reads slower is let go
        /// with close code 1008
        pub send_timeout: Duration = setting(&INTERVAL).default("10s").reloadable(),
        /// sockets and event streams that one caller may have open; a socket more is closed with 4429, an
        /// event stream more gets 429; `limits.max_in_flight` bounds those of all callers together
        pub max_connections_per_caller: usize =
            setting(&NumberRange(1..=1_000_000)).default("100").reloadable(),
    }
}
