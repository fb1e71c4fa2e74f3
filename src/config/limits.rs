//! `limits.*`: how much one request, and all of them together, may ask for.

use std::num::NonZeroU32;
use std::time::Duration;

use super::form::{Bytes, Count, Parsed, Span};
use super::setting::{Row, Setting};
use super::values::Values;

const TIMEOUT: Span = Span { least: Duration::from_millis(1), most: Duration::from_hours(1) };

static MAX_BODY_BYTES: Setting<Bytes> = Setting::new(
    "limits.max_body_bytes",
    Bytes { least: 1024, most: 64 << 20 },
    "largest body of a request; a larger one gets 413",
)
.or("256KiB")
.changeable();
static MAX_DEPTH: Setting<Count> = Setting::new(
    "limits.max_depth",
    Count { least: 1, most: 100 },
    "levels of fields in a request, batches included; introspection does not count",
)
.or("10")
.changeable();
static MAX_COMPLEXITY: Setting<Count> = Setting::new(
    "limits.max_complexity",
    Count { least: 1, most: 1_000_000_000 },
    "weight of all fields of a request, batches included",
)
.or("10000")
.changeable();
static MAX_ALIASES: Setting<Count> = Setting::new(
    "limits.max_aliases",
    Count { least: 1, most: 1_000_000 },
    "aliases in a request, batches included",
)
.or("100")
.changeable();
static MAX_DIRECTIVES: Setting<Count> = Setting::new(
    "limits.max_directives",
    Count { least: 1, most: 1_000_000 },
    "directives in a request, batches included",
)
.or("50")
.changeable();
static MAX_ROOT_FIELDS: Setting<Count> = Setting::new(
    "limits.max_root_fields",
    Count { least: 1, most: 1_000_000 },
    "fields of the root in a request, batches included",
)
.or("200")
.changeable();
static MAX_REPRESENTATIONS: Setting<Count> = Setting::new(
    "limits.max_representations",
    Count { least: 1, most: 1_000_000 },
    "entities that a router asks for in a request, batches included",
)
.or("1000")
.changeable();
static MAX_TOKENS: Setting<Count> = Setting::new(
    "limits.max_tokens",
    Count { least: 1, most: 1_000_000 },
    "words and signs in a request, batches included",
)
.or("10000")
.changeable();
static MAX_BATCH: Setting<Count> = Setting::new(
    "limits.max_batch",
    Count { least: 1, most: 1000 },
    "operations in one HTTP request",
)
.or("10")
.changeable();
static REQUEST_TIMEOUT: Setting<Span> = Setting::new(
    "limits.request_timeout",
    TIMEOUT,
    "time for a whole operation; loads go on for other callers until upstream.deadline",
)
.or("15s")
.changeable();
static MAX_IN_FLIGHT: Setting<Count> = Setting::new(
    "limits.max_in_flight",
    Count { least: 1, most: 1_000_000 },
    "requests under way; more get 503 with Retry-After at once",
)
.or("1024")
.changeable();
static MAX_CONNECTIONS: Setting<Count> = Setting::new(
    "limits.max_connections",
    Count { least: 1, most: 1_000_000 },
    "connections to a listener, sockets and event streams among them; more wait to be accepted until \
     one ends. The process needs as many open files, and some more",
)
.or("10000")
.changeable();
static HEADER_TIMEOUT: Setting<Span> = Setting::new(
    "limits.header_timeout",
    TIMEOUT,
    "time for the TLS handshake, and again for the headers of a request; who needs longer is \
     disconnected",
)
.or("10s")
.changeable();
static IDLE_TIMEOUT: Setting<Span> = Setting::new(
    "limits.idle_timeout",
    TIMEOUT,
    "how long a connection is kept without a request; what stands before the gateway should keep its \
     connections for less",
)
.or("75s")
.changeable();
static WRITE_TIMEOUT: Setting<Span> = Setting::new(
    "limits.write_timeout",
    TIMEOUT,
    "how long a client may take nothing of an answer before it is disconnected",
)
.or("30s")
.changeable();
static RATE: Setting<Parsed<Rate>> = Setting::new(
    "limits.rate",
    Parsed {
        allowed: "a number from 1 to 1000000 for each s, m or h, such as 50/s or 600/m",
        placeholder: "N/UNIT",
        parse: Rate::parse,
    },
    "operations of one caller, each of a batch by itself; more get 429 with Retry-After",
)
.or_unset("no limit")
.changeable();
static RATE_BURST: Setting<Count> = Setting::new(
    "limits.rate_burst",
    Count { least: 1, most: 1_000_000 },
    "operations that a caller who has rested may ask for at once; only with limits.rate",
)
.or_unset("the number in limits.rate")
.changeable();

pub(super) static ROWS: &[&dyn Row] = &[
    &MAX_BODY_BYTES,
    &MAX_DEPTH,
    &MAX_COMPLEXITY,
    &MAX_ALIASES,
    &MAX_DIRECTIVES,
    &MAX_ROOT_FIELDS,
    &MAX_REPRESENTATIONS,
    &MAX_TOKENS,
    &MAX_BATCH,
    &REQUEST_TIMEOUT,
    &MAX_IN_FLIGHT,
    &MAX_CONNECTIONS,
    &HEADER_TIMEOUT,
    &IDLE_TIMEOUT,
    &WRITE_TIMEOUT,
    &RATE,
    &RATE_BURST,
];

/// The limits of a whole HTTP request, batches included, and of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// `limits.max_body_bytes`
    pub max_body_bytes: usize,
    /// `limits.max_depth`
    pub max_depth: usize,
    /// `limits.max_complexity`
    pub max_complexity: usize,
    /// `limits.max_aliases`
    pub max_aliases: usize,
    /// `limits.max_directives`
    pub max_directives: usize,
    /// `limits.max_root_fields`
    pub max_root_fields: usize,
    /// `limits.max_representations`: keys in `_entities`.
    pub max_representations: usize,
    /// `limits.max_tokens`
    pub max_tokens: usize,
    /// `limits.max_batch`: operations in one HTTP request.
    pub max_batch: usize,
    /// `limits.request_timeout`: the whole operation.
    pub request_timeout: Duration,
    /// `limits.max_in_flight`: requests under way; more get 503 at once.
    pub max_in_flight: usize,
    /// `limits.max_connections`: to a listener; more wait to be accepted.
    pub max_connections: usize,
    /// `limits.header_timeout`: the TLS handshake, and the headers of each request.
    pub header_timeout: Duration,
    /// `limits.idle_timeout`: a connection without a request.
    pub idle_timeout: Duration,
    /// `limits.write_timeout`: a client that takes nothing of an answer.
    pub write_timeout: Duration,
    /// `limits.rate`, `limits.rate_burst`: operations of one caller; `None` for as many as there are.
    pub rate: Option<Rate>,
}

/// How often something may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How often in a span of time.
    pub count: NonZeroU32,
    /// The span.
    pub per: Duration,
    /// How often at once, after a rest.
    pub burst: NonZeroU32,
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
        Some(Self { count, per, burst: count })
    }

    fn read(values: &mut Values<'_>) -> Option<Self> {
        let rate = values.read(&RATE);
        let burst = values.read(&RATE_BURST);
        if burst.is_some() && rate.is_none() && values.are_sound(&[&RATE]) {
            values.refuse(&RATE_BURST, "does nothing without limits.rate: set that as well");
        }
        let burst = burst.and_then(|burst| NonZeroU32::new(u32::try_from(burst).ok()?));
        rate.map(|rate| Self { burst: burst.unwrap_or(rate.burst), ..rate })
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 256 * 1024,
            max_depth: 10,
            max_complexity: 10_000,
            max_aliases: 100,
            max_directives: 50,
            max_root_fields: 200,
            max_representations: 1000,
            max_tokens: 10_000,
            max_batch: 10,
            request_timeout: Duration::from_secs(15),
            max_in_flight: 1024,
            max_connections: 10_000,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            rate: None,
        }
    }
}

impl LimitsConfig {
    pub(super) fn read(values: &mut Values<'_>) -> Self {
        let default = Self::default();
        Self {
            max_body_bytes: values.read_size(&MAX_BODY_BYTES, default.max_body_bytes),
            max_depth: values.read_size(&MAX_DEPTH, default.max_depth),
            max_complexity: values.read_size(&MAX_COMPLEXITY, default.max_complexity),
            max_aliases: values.read_size(&MAX_ALIASES, default.max_aliases),
            max_directives: values.read_size(&MAX_DIRECTIVES, default.max_directives),
            max_root_fields: values.read_size(&MAX_ROOT_FIELDS, default.max_root_fields),
            max_representations: values
                .read_size(&MAX_REPRESENTATIONS, default.max_representations),
            max_tokens: values.read_size(&MAX_TOKENS, default.max_tokens),
            max_batch: values.read_size(&MAX_BATCH, default.max_batch),
            request_timeout: values.read_or(&REQUEST_TIMEOUT, default.request_timeout),
            max_in_flight: values.read_size(&MAX_IN_FLIGHT, default.max_in_flight),
            max_connections: values.read_size(&MAX_CONNECTIONS, default.max_connections),
            header_timeout: values.read_or(&HEADER_TIMEOUT, default.header_timeout),
            idle_timeout: values.read_or(&IDLE_TIMEOUT, default.idle_timeout),
            write_timeout: values.read_or(&WRITE_TIMEOUT, default.write_timeout),
            rate: Rate::read(values),
        }
    }
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
