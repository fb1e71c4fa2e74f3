//! `limits.*`: how much one request, and all of them together, may ask for.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::settings::{SERVE_AND_DEMO, Setting, SettingsLoader, bytes, number, settings, timeout};

settings! {
    /// The limits of a whole HTTP request, batches included, and of the process.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct LimitsConfig in "limits." for SERVE_AND_DEMO {
        /// largest body of a request; a larger one is answered with 413
        pub max_body_bytes: usize = bytes(1024..=64 << 20).default("256KiB"),
        /// largest answer before compression, a batch as a whole; an error replaces a larger one
        pub max_response_bytes: usize = bytes(1024..=1 << 30).default("16MiB"),
        /// nesting of fields in a request, batches included; introspection does not count
        pub max_depth: usize = number(1..=100).default("10"),
        /// cost of all fields of a request, batches included
        pub max_complexity: usize = number(1..=1_000_000_000).default("10000"),
        /// aliases in a request, batches included
        pub max_aliases: usize = million().default("100"),
        /// directives in a request, batches included
        pub max_directives: usize = million().default("50"),
        /// root fields in a request, batches included
        pub max_root_fields: usize = million().default("200"),
        /// entities that a router requests in one request, batches included
        pub max_representations: usize = million().default("1000"),
        /// tokens of the documents in a request, batches included
        pub max_tokens: usize = million().default("10000"),
        /// rows that one operation may scan, all aliases together, cached or not: for statistics, in lists with
        /// a filter that the upstream lacks, and in lists of callers with constraints; other lists do not count
        pub max_scanned_rows: usize = million().default("2000"),
        /// operations in one HTTP request
        pub max_batch: usize = number(1..=1000).default("10"),
        /// time for a whole operation; its loads continue for other callers until `upstream.deadline`
        pub request_timeout: Duration = timeout().default("15s"),
        /// requests in progress; further ones are answered with 503 and Retry-After at once
        pub max_in_flight: usize = million().default("1024"),
        /// bytes of answers that clients have not read yet; further large answers are OVERLOADED. One caller
        /// gets at most seven eighths of them
        pub max_unsent_bytes: usize = bytes(1024..=1 << 40).default("128MiB"),
        /// connections to a listener, sockets and event streams included; further ones wait until one
        /// closes. The process needs a few more open files than that
        pub max_connections: usize = million().default("10000"),
        /// time for the TLS handshake, and then for the headers of a request; a slower client is
        /// disconnected
        pub header_timeout: Duration = timeout().default("10s"),
        /// how long a connection without a request stays open; a proxy in front of the gateway should close
        /// its idle connections sooner
        pub idle_timeout: Duration = timeout().default("75s"),
        /// a client that reads nothing of its answer for this long is disconnected
        pub write_timeout: Duration = timeout().default("30s"),
        /// operations of one caller, each operation of a batch included; further ones are answered with 429 and
        /// Retry-After. An idle caller may send as many at once as the number says
        pub rate: Option<Rate> = rates().optional().shown_when_unset("no limit"),
    } and {
        /// How many projects the settings name: the length of the list `projects`, for
        /// `limits.max_complexity`.
        pub projects: usize = 0,
    }
}

/// How often something may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How often within [`Self::per`].
    pub count: NonZeroU32,
    /// The period that the count is for.
    pub per: Duration,
}

impl LimitsConfig {
    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Self {
        let limits = Self::read(loader);
        if limits.max_unsent_bytes < limits.max_response_bytes {
            let problem = "must not be less than limits.max_response_bytes";
            loader.refuse(&[&Self::max_unsent_bytes(), &Self::max_response_bytes()], problem);
        }
        limits
    }
}

impl Rate {
    /// The highest number in a rate.
    const MOST: u32 = 1_000_000;

    /// Reads `50/s`, `600/m`, `1000/h`.
    pub fn parse(text: &str) -> Option<Self> {
        let (count, unit) = text.split_once('/')?;
        let per = match unit.trim() {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return None,
        };
        let count: u32 = count.trim().parse().ok().filter(|count| *count <= Self::MOST)?;
        let count = NonZeroU32::new(count)?;
        Some(Self { count, per })
    }
}

fn million<T: FromStr + 'static>() -> Setting<T> {
    number(1..=1_000_000)
}

fn rates() -> Setting<Rate> {
    let allowed = "a number from 1 to 1000000 for each s, m or h, such as 50/s or 600/m";
    Setting::new("N/UNIT", allowed, Rate::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_unit_of_time() {
        let read = |text| Rate::parse(text).map(|rate| (rate.count.get(), rate.per.as_secs()));
        for (text, expected) in [
            ("50/s", Some((50, 1))),
            ("600/m", Some((600, 60))),
            ("1000000/h", Some((1_000_000, 3600))),
            ("1 / s", Some((1, 1))),
            ("0/s", None),
            ("1000001/s", None),
            ("50", None),
            ("50/d", None),
            ("-1/s", None),
            ("1.5/s", None),
            ("", None),
        ] {
            assert_eq!(read(text), expected, "of {text:?}");
        }
    }
}
