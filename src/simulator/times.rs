//! Writes instants as the upstream does: in whichever shape the part of it at work prefers.

use jiff::Timestamp;
use serde_json::Value;

use super::random::Random;

/// An instant in one of the shapes seen in the field; zone-less ones are in UTC.
pub(super) fn written(instant: Timestamp, random: &mut Random) -> Value {
    let format = match random.below(20) {
        0..=8 => "%Y-%m-%dT%H:%M:%S.%3fZ",
        9..=14 => "%Y-%m-%d %H:%M:%S",
        15 => "%Y-%m-%dT%H:%M:%SZ",
        16 => "%Y-%m-%dT%H:%M:%S.%3f+00:00",
        17 => "%Y-%m-%dT%H:%M:%S.%6fZ",
        18 => "%Y-%m-%d %H:%M:%S.%1f",
        _ => return Value::from(instant.as_millisecond()),
    };
    Value::String(instant.strftime(format).to_string())
}

/// Reads a filter's time: `yyyy-MM-dd HH:mm:ss` in UTC.
pub(super) fn filter(text: &str) -> Option<Timestamp> {
    let local = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?;
    jiff::tz::TimeZone::UTC.to_timestamp(local).ok()
}
