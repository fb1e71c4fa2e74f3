//! Timestamps: one instant, whatever shape it is written in.
//!
//! | shape | examples |
//! | --- | --- |
//! | ISO 8601 and its relatives | `2024-10-15T10:04:41.263Z`, `2024-03-12 12:02:01`, `2024/10/15 10:04`, `2024-1-5 10:04:41`, `20241015T100441Z` |
//! | fraction | after `.`, `,` or `:`; digits past the ninth are cut |
//! | zone | `Z`, `+08:00`, `+0800`, `+08`, ` UTC`, ` GMT`, `GMT+08:00`, `Z+0800` (the offset counts) |
//! | date only | `2024-10-15`: the day's first instant |
//! | names of months | `Tue, 15 Oct 2024 10:04:41 GMT`, `Oct 15, 2024 10:04:41 AM` |
//! | 14 digits, as number or text | `20241015100441`, `20241015100441.263`, `20241015100441Z` |
//! | epoch, as number or text | 9–10 digits are seconds, 12–13 milliseconds, 15–16 microseconds, 18–19 nanoseconds; `1728986681.263`, `1.728986681e9` |
//!
//! **Epochs are told apart by their number of digits before the point.** Each unit then covers the same span, from
//! 1973-03-03T09:46:40Z to 2286-11-20T17:46:39Z, and no value can be read in two units. Other numbers
//! of digits are refused, and so are `0` and `-1`, with which several products say "never".
//!
//! **Without a zone** a value is read in the configured one. A time that a clock change skips is
//! moved on by the change; one that it repeats is the first of the two (RFC 5545, section 3.3.5).
//!
//! A **leap second** is read as the second before it: losing the value would be worse than being
//! a second early. Everything else is refused with a reason; nothing is guessed.

use jiff::fmt::strtime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, civil};

use super::decimal::{Decimal, LONGEST};
use crate::domain::Timestamp;

/// Why a value is not read, as a clause.
type Problem = &'static str;

/// A date and a time of day without anything between them.
const DIGITS_OF_A_DATE_TIME: usize = 14;
/// Bytes of the shortest text with a zone, without it. In `2024-10-15`, `-15` is no zone.
const SHORTEST_WITH_ZONE: usize = "2024-1-5 10:04".len();
const NO_TIME: Problem = "is not a time in a known shape";
const OUT_OF_RANGE: Problem = "is outside the years 0000 to 9999";
const NOT_AN_EPOCH: Problem = "is a number, but not a time: seconds have 9 to 10 digits before the point, \
     milliseconds 12 to 13, microseconds 15 to 16, nanoseconds 18 to 19";
/// A date and a time of day, without fraction and zone, the documented shapes first.
const SHAPES: [&str; 15] = [
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%dT%H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%dT%H:%M",
    "%Y/%m/%d %H:%M",
    "%Y%m%dT%H%M%S",
    "%Y%m%d%H%M%S",
    "%a, %d %b %Y %H:%M:%S",
    "%d %b %Y %H:%M:%S",
    "%a, %d-%b-%Y %H:%M:%S",
    "%b %d, %Y %H:%M:%S",
    "%b %d, %Y %I:%M:%S %p",
];
const DATES: [&str; 2] = ["%Y-%m-%d", "%Y/%m/%d"];

/// Reads a text or a number without white space around it.
pub(super) fn from_text(text: &str, zone: &TimeZone) -> Result<Timestamp, Problem> {
    if text.len() > LONGEST {
        return Err("is too long for a time");
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits != DIGITS_OF_A_DATE_TIME
        && let Some(number) = Decimal::parse(text)
    {
        return from_number(&number);
    }
    let (local, offset) = without_zone(text);
    let (local, nanosecond) = without_fraction(local);
    let local = date_time(local).ok_or(NO_TIME)?;
    let offset = offset.unwrap_or_else(|| offset_at(local, zone));
    let since_utc = SignedDuration::new(-i64::from(offset.seconds()), nanosecond);
    let utc = local.checked_add(since_utc).ok();
    utc.and_then(Timestamp::from_utc).ok_or(OUT_OF_RANGE)
}

/// Reads an epoch. The digits before the point tell the unit.
fn from_number(number: &Decimal) -> Result<Timestamp, Problem> {
    if number.is_negative || number.whole.is_empty() {
        return Err("is a number that stands for no time");
    }
    // Digits of the fraction down to the nanosecond.
    let finer = match number.whole.len() {
        9 | 10 => 9,
        12 | 13 => 6,
        15 | 16 => 3,
        18 | 19 => 0,
        _ => return Err(NOT_AN_EPOCH),
    };
    let fraction = number.fraction.bytes().chain(std::iter::repeat(b'0')).take(finer);
    let digits = number.whole.bytes().chain(fraction);
    let nanoseconds = digits.fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    let instant = jiff::Timestamp::from_nanosecond(nanoseconds);
    let utc = instant.ok().map(|instant| Offset::UTC.to_datetime(instant));
    utc.and_then(Timestamp::from_utc).ok_or(OUT_OF_RANGE)
}

/// The zone's offset at a local time; where a clock change makes it ambiguous, that before it.
fn offset_at(local: civil::DateTime, zone: &TimeZone) -> Offset {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Gap { before, .. } | AmbiguousOffset::Fold { before, .. } => before,
    }
}

/// Splits the zone off the end of a text, if there is one.
fn without_zone(text: &str) -> (&str, Option<Offset>) {
    let (local, offset) = match text.rfind(['+', '-']).and_then(|sign| text.split_at_checked(sign))
    {
        Some((local, written)) if local.len() >= SHORTEST_WITH_ZONE => (local, offset(written)),
        Some(_) | None => (text, None),
    };
    let local = if offset.is_some() { local.trim_end() } else { text };
    let is_name = |name: &str| ["z", "utc", "gmt"].iter().any(|utc| utc.eq_ignore_ascii_case(name));
    let name = local.len() - local.bytes().rev().take_while(u8::is_ascii_alphabetic).count();
    match local.split_at_checked(name) {
        Some((local, name)) if is_name(name) => {
            (local.trim_end(), Some(offset.unwrap_or(Offset::UTC)))
        }
        Some(_) | None => (local, offset),
    }
}

/// Reads `+08:00`, `+0800` and `+08`.
fn offset(written: &str) -> Option<Offset> {
    let (sign, digits) = written.split_at_checked(1)?;
    let (hours, minutes) = digits.split_once(':').or_else(|| digits.split_at_checked(2))?;
    let minutes = if digits.len() == 2 { "00" } else { minutes };
    let number = |digits: &str| {
        let is_number = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit());
        digits.parse::<i32>().ok().filter(|_| is_number)
    };
    let hours = number(hours).filter(|hours| *hours < 24)?;
    let minutes = number(minutes).filter(|minutes| *minutes < 60)?;
    let seconds = hours * 3600 + minutes * 60;
    Offset::from_seconds(if sign == "-" { -seconds } else { seconds }).ok()
}

/// Splits the fraction of a second off the end, in nanoseconds.
fn without_fraction(text: &str) -> (&str, i32) {
    let digits = text.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (before, digits) = text.split_at_checked(text.len() - digits).unwrap_or((text, ""));
    let has_seconds = |text: &&str| match text.bytes().filter(|byte| *byte == b':').count() {
        0 => text.len() >= DIGITS_OF_A_DATE_TIME,
        colons => colons == 2,
    };
    match before.strip_suffix(['.', ',', ':']).filter(has_seconds) {
        Some(whole) if !digits.is_empty() => {
            let digits = digits.bytes().chain(std::iter::repeat(b'0')).take(9);
            (whole, digits.fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0')))
        }
        Some(_) | None => (text, 0),
    }
}

/// Reads a text in one of the [`SHAPES`], or a date alone.
fn date_time(text: &str) -> Option<civil::DateTime> {
    // The documented shapes: the library's own parser takes a fifth of the time.
    let is_documented = matches!(
        text.as_bytes(),
        [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b' ', _, _, b':', _, _, b':', _, _]
    );
    if is_documented && let Ok(read) = text.parse() {
        return Some(read);
    }
    // A year has four digits, alone or at the beginning of a date or a date and a time.
    text.split(|c: char| !c.is_ascii_digit()).find(|run| [4, 8, 14].contains(&run.len()))?;
    // Names of months and `t` may be in lower case.
    let written = text.to_ascii_uppercase();
    // The library takes a blank of a shape for any number of blanks, even none.
    let is_like = |shape: &&&str| shape.contains(' ') == written.contains(' ');
    let read = |shape: &&str| strtime::parse(shape, &written).ok()?.to_datetime().ok();
    let date = |shape: &&str| strtime::parse(shape, &written).ok()?.to_date().ok();
    let date_time = SHAPES.iter().filter(is_like).find_map(read);
    date_time.or_else(|| Some(DATES.iter().find_map(date)?.at(0, 0, 0, 0)))
}

#[cfg(test)]
mod tests;
