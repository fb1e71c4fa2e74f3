//! `subscriptions.*`: how watched records are read, and how long clients may take to listen.

use std::time::Duration;

use super::settings::{SERVE_AND_DEMO, Setting, duration, number, settings};

settings! {
    /// How watched records are read, and how long clients may take to listen.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct SubscriptionsConfig in "subscriptions." for SERVE_AND_DEMO {
        /// how often a watched record is read, once for all its subscribers
        pub poll_interval: Duration = interval().default("5s"),
        /// time to send a message over a WebSocket; the socket of a client that reads slower is closed with
        /// 1008
        pub send_timeout: Duration = interval().default("10s"),
        /// sockets and event streams that one caller may have open. A further socket is closed with 4429, a
        /// further event stream is answered with 429. `limits.max_in_flight` bounds those of all callers
        pub max_connections_per_caller: usize = number(1..=1_000_000).default("100"),
    }
}

fn interval() -> Setting<Duration> {
    duration(Duration::from_millis(10)..=Duration::from_hours(1))
}
