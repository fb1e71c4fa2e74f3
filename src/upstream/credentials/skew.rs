//! Clocks that differ: a common reason for refused credentials, so it is worth a word in the log.

use http::header::{DATE, HeaderMap};
use jiff::{SignedDuration, Timestamp};

/// How far the clocks may be apart before it is worth a word; the upstream refuses at 15 minutes.
const NOTABLE: SignedDuration = SignedDuration::from_mins(5);

/// Says so where an answer's clock differs from this machine's.
pub(crate) fn report(headers: &HeaderMap, now: Timestamp) {
    if let Some(skew) = skew(headers, now) {
        tracing::error!(
            skew_seconds = skew.as_secs(),
            "the upstream refused credentials and its clock differs from this machine's"
        );
    }
}

fn skew(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    between(headers, now).filter(|skew| skew.abs() > NOTABLE)
}

/// How far an answer's clock is ahead of this machine's; nothing where it does not say.
pub(crate) fn between(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(theirs.duration_since(now))
}
