//! Clock skew, a common reason for refused credentials.

use http::header::{DATE, HeaderMap};
use jiff::{SignedDuration, Timestamp};

/// Skew that is logged; the upstream refuses at 15 minutes.
const NOTABLE: SignedDuration = SignedDuration::from_mins(5);

/// Logs an error if the clock of a response differs from this machine's.
pub(crate) fn report(headers: &HeaderMap, now: Timestamp) {
    if let Some(skew) = between(headers, now).filter(|skew| skew.abs() > NOTABLE) {
        tracing::error!(
            skew_seconds = skew.as_secs(),
            "the upstream refused credentials and its clock differs from this machine's"
        );
    }
}

/// How far the clock of a response is ahead of this machine's, if it has a `Date`.
pub(crate) fn between(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(theirs.duration_since(now))
}
