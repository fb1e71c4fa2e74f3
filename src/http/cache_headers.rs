//! `Cache-Control` and `Cache-Status`, by what a request read. Pure.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use smallvec::SmallVec;

use super::header_fields;
use crate::records::{CacheOutcome, ReadSummary};

/// Room for a header of common length.
const COMMON_BYTES: usize = 80;

/// What a request's `Cache-Control` demands of its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheDirectives {
    pub(crate) no_cache: bool,
    pub(crate) max_age: Option<Duration>,
}

impl CacheDirectives {
    /// Reads a request's `Cache-Control`. Ignores what it does not understand, as RFC 9111 demands.
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for directive in header_fields::list(headers, &header::CACHE_CONTROL) {
            match directive.to_ascii_lowercase().split_once('=') {
                None if directive.eq_ignore_ascii_case("no-cache") => directives.no_cache = true,
                Some(("max-age", seconds)) => {
                    let seconds = seconds.trim_matches('"').parse().ok();
                    directives.max_age = seconds.map(Duration::from_secs);
                }
                Some(_) | None => {}
            }
        }
        directives
    }
}

/// The age of the oldest part of an answer, in whole seconds; `None` if nothing was read.
pub(crate) fn age(summary: &ReadSummary) -> Option<HeaderValue> {
    (!summary.reads.is_empty())
        .then(|| HeaderText::of("").and_number(summary.age().as_secs()).into_value())
}

/// How long an answer without errors may be cached: as long as its shortest-lived part, and only by the caller,
/// whose token decided what is in it. Stale data in place of an error is not cached.
pub(crate) fn cache_control(summary: &ReadSummary) -> HeaderValue {
    if summary.reads.is_empty() || summary.is_stale_on_error() {
        return HeaderValue::from_static("no-store");
    }
    HeaderText::of("private, max-age=").and_number(summary.remaining().as_secs()).into_value()
}

/// What the cache did (RFC 9211); of several reads the one that went furthest.
pub(crate) fn cache_status(summary: &ReadSummary) -> Option<HeaderValue> {
    let read = summary.reads.iter().max_by_key(|read| read.outcome)?;
    let ttl = summary.remaining().as_secs();
    let status = HeaderText::of("screen-record-gateway; ");
    let forwarded = |status: HeaderText| match read.upstream_status {
        None => status,
        Some(code) => status.and("; fwd-status=").and_number(code),
    };
    let stored = |status: HeaderText| match read.remaining {
        Duration::ZERO => status,
        remaining => status.and("; stored; ttl=").and_number(remaining.as_secs()),
    };
    let status = match read.outcome {
        CacheOutcome::Hit => status.and("hit; ttl=").and_number(ttl),
        CacheOutcome::Stale => {
            status.and("hit; ttl=-").and_number(read.overdue.as_secs()).and("; detail=stale")
        }
        CacheOutcome::Collapsed => stored(status.and("fwd=miss; collapsed")),
        CacheOutcome::Miss => stored(forwarded(status.and("fwd=miss"))),
        CacheOutcome::Expired => stored(forwarded(status.and("fwd=stale"))),
        CacheOutcome::Bypass => stored(forwarded(status.and("fwd=request"))),
        CacheOutcome::StaleOnError => {
            forwarded(status.and("fwd=stale")).and("; detail=stale-if-error")
        }
    };
    Some(status.into_value())
}

/// The text of a header. It is made on the stack, and copied once.
struct HeaderText(SmallVec<[u8; COMMON_BYTES]>);

impl HeaderText {
    fn of(text: &str) -> Self {
        Self(SmallVec::from_slice(text.as_bytes()))
    }

    fn and(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn and_number(self, number: impl itoa::Integer) -> Self {
        self.and(itoa::Buffer::new().format(number))
    }

    /// Texts made here are always valid.
    fn into_value(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or(HeaderValue::from_static(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Read;

    fn read(outcome: CacheOutcome, remaining: u64) -> Read {
        let upstream_status = match outcome {
            CacheOutcome::Hit | CacheOutcome::Stale | CacheOutcome::Collapsed => None,
            CacheOutcome::StaleOnError => Some(503),
            CacheOutcome::Miss | CacheOutcome::Expired | CacheOutcome::Bypass => Some(200),
        };
        Read {
            outcome,
            age: Duration::from_secs(7),
            remaining: Duration::from_secs(remaining),
            overdue: Duration::from_secs(2),
            upstream_status,
            is_shared: false,
        }
    }

    #[test]
    fn the_status_tells_what_the_cache_did() {
        for (outcome, remaining, expected) in [
            (CacheOutcome::Hit, 42, "screen-record-gateway; hit; ttl=42"),
            (CacheOutcome::Stale, 0, "screen-record-gateway; hit; ttl=-2; detail=stale"),
            (
                CacheOutcome::StaleOnError,
                0,
                "screen-record-gateway; fwd=stale; fwd-status=503; detail=stale-if-error",
            ),
            (
                CacheOutcome::Miss,
                5,
                "screen-record-gateway; fwd=miss; fwd-status=200; stored; ttl=5",
            ),
            (CacheOutcome::Miss, 0, "screen-record-gateway; fwd=miss; fwd-status=200"),
            (
                CacheOutcome::Collapsed,
                5,
                "screen-record-gateway; fwd=miss; collapsed; stored; ttl=5",
            ),
            (
                CacheOutcome::Expired,
                60,
                "screen-record-gateway; fwd=stale; fwd-status=200; stored; ttl=60",
            ),
            (
                CacheOutcome::Bypass,
                60,
                "screen-record-gateway; fwd=request; fwd-status=200; stored; ttl=60",
            ),
        ] {
            let summary = summary(vec![read(outcome, remaining)]);

            assert_eq!(cache_status(&summary).unwrap(), expected);
        }
    }

    fn summary(reads: Vec<Read>) -> ReadSummary {
        ReadSummary { reads: reads.into(), ..ReadSummary::default() }
    }
}
