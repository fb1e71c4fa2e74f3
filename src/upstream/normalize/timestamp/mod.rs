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

use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, civil};

use super::decimal::{Decimal, LONGEST};
use crate::domain::Timestamp;

/// Why a value is not read, as a clause.
type Problem = &'static str;

/// A date and a time of day without anything between them.
const DIGITS_OF_A_DATE_TIME: usize = 14;
const UNKNOWN_SHAPE: Problem = "is not a time in a known shape";
const NO_SUCH_TIME: Problem = "is not a time that exists";
const OUT_OF_RANGE: Problem = "is outside the years 0000 to 9999";
const NOT_AN_EPOCH: Problem = "is a number, but not a time: seconds have 9 to 10 digits before the point, \
     milliseconds 12 to 13, microseconds 15 to 16, nanoseconds 18 to 19";
const MONTHS: [&[u8; 3]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];
const WEEKDAYS: [&[u8; 3]; 7] = [b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun"];

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
    let mut cursor = Cursor { rest: text.as_bytes() };
    let (written, offset) = cursor.date_time().ok_or(UNKNOWN_SHAPE)?;
    if !cursor.rest.is_empty() {
        return Err(UNKNOWN_SHAPE);
    }
    let local = written.civil().ok_or(NO_SUCH_TIME)?;
    let offset = offset.unwrap_or_else(|| offset_at(local, zone));
    let utc = local.checked_sub(SignedDuration::from_secs(offset.seconds().into())).ok();
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

/// A date and a time of day as they were written, not yet checked against the calendar.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
    weekday: Option<i8>,
}

impl Written {
    fn civil(self) -> Option<civil::DateTime> {
        let second = if self.minute == 59 && self.second == 60 { 59 } else { self.second };
        let date = civil::Date::new(self.year, self.month, self.day).ok()?;
        let time = civil::Time::new(self.hour, self.minute, second, self.nanosecond).ok()?;
        let day_agrees =
            self.weekday.is_none_or(|day| date.weekday().to_monday_zero_offset() == day);
        day_agrees.then(|| date.to_datetime(time))
    }
}

/// Reads from the front of a text. Every method takes what it recognises, or gives `None`.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn date_time(&mut self) -> Option<(Written, Option<Offset>)> {
        if self.rest.first().is_some_and(u8::is_ascii_alphabetic) {
            return self.named_date_time();
        }
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        match digits {
            4 => self.extended(),
            8 | 14 => self.basic(),
            _ => None,
        }
    }

    /// `2024-10-15T10:04:41.263Z` and its relatives.
    fn extended(&mut self) -> Option<(Written, Option<Offset>)> {
        let mut written = Written { year: self.number(4, 4)?, ..Written::default() };
        let separator = self.any_of(b"-/")?;
        written.month = self.number(1, 2)?;
        self.any_of(&[separator])?;
        written.day = self.number(1, 2)?;
        if self.rest.is_empty() {
            return Some((written, None));
        }
        if self.any_of(b"Tt").is_none() {
            self.spaces()?;
        }
        self.clock_time(&mut written)?;
        Some((written, self.zone()?))
    }

    /// `20241015T100441Z`, `20241015100441` and `20241015100441.263`.
    fn basic(&mut self) -> Option<(Written, Option<Offset>)> {
        let mut written = Written {
            year: self.number(4, 4)?,
            month: self.number(2, 2)?,
            day: self.number(2, 2)?,
            ..Written::default()
        };
        let _ = self.any_of(b"Tt");
        written.hour = self.number(2, 2)?;
        written.minute = self.number(2, 2)?;
        written.second = self.number(2, 2)?;
        self.fraction(&mut written, b".,")?;
        Some((written, self.zone()?))
    }

    /// `Tue, 15 Oct 2024 10:04:41 GMT` and `Oct 15, 2024 10:04:41 AM`.
    fn named_date_time(&mut self) -> Option<(Written, Option<Offset>)> {
        let mut written = Written { weekday: self.one_of_names(&WEEKDAYS), ..Written::default() };
        if written.weekday.is_some() {
            self.any_of(b",")?;
            self.spaces()?;
        }
        if let Some(month) = self.one_of_names(&MONTHS) {
            written.month = month + 1;
            self.spaces()?;
            written.day = self.number(1, 2)?;
            self.any_of(b",")?;
        } else {
            written.day = self.number(1, 2)?;
            self.any_of(b" -")?;
            written.month = self.one_of_names(&MONTHS)? + 1;
        }
        self.any_of(b" -")?;
        written.year = self.number(4, 4)?;
        self.spaces()?;
        self.clock_time(&mut written)?;
        self.half_of_day(&mut written)?;
        Some((written, self.zone()?))
    }

    /// `10:04`, `10:04:41`, `10:04:41.263`, `10:04:41:263`.
    fn clock_time(&mut self, written: &mut Written) -> Option<()> {
        written.hour = self.number(1, 2)?;
        self.any_of(b":")?;
        written.minute = self.number(2, 2)?;
        if self.any_of(b":").is_none() {
            return Some(());
        }
        written.second = self.number(2, 2)?;
        self.fraction(written, b".,:")
    }

    /// A fraction of a second, if there is one; digits past the ninth are cut.
    fn fraction(&mut self, written: &mut Written, marks: &[u8]) -> Option<()> {
        if self.any_of(marks).is_none() {
            return Some(());
        }
        let mut unit = 100_000_000;
        let mut any = false;
        while let Some(digit) = self.digit() {
            written.nanosecond += i32::from(digit) * unit;
            unit /= 10;
            any = true;
        }
        any.then_some(())
    }

    /// ` AM` or ` PM` after an hour of 1 to 12, if there is one.
    fn half_of_day(&mut self, written: &mut Written) -> Option<()> {
        let after_noon = match self.rest {
            [b' ', b'A' | b'a', b'M' | b'm', ..] => false,
            [b' ', b'P' | b'p', b'M' | b'm', ..] => true,
            _ => return Some(()),
        };
        self.skip(3);
        if !(1..=12).contains(&written.hour) {
            return None;
        }
        written.hour = written.hour % 12 + if after_noon { 12 } else { 0 };
        Some(())
    }

    /// A zone, if there is one. The outer `None` means that something else stands there.
    #[expect(clippy::option_option, reason = "no zone and no sense are different findings")]
    fn zone(&mut self) -> Option<Option<Offset>> {
        if self.rest.is_empty() {
            return Some(None);
        }
        let _ = self.spaces();
        let named = self.any_of(b"Zz").is_some() || self.word(*b"UTC") || self.word(*b"GMT");
        if named && self.rest.is_empty() {
            return Some(Some(Offset::UTC));
        }
        let sign = if self.any_of(b"+-")? == b'-' { -1 } else { 1 };
        let hours: i32 = self.number(2, 2)?;
        let _ = self.any_of(b":");
        let minutes: i32 = if self.rest.is_empty() { 0 } else { self.number(2, 2)? };
        if hours > 23 || minutes > 59 {
            return None;
        }
        Some(Some(Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()?))
    }

    fn one_of_names(&mut self, names: &[&[u8; 3]]) -> Option<i8> {
        let word = self.rest.first_chunk::<3>()?.to_ascii_lowercase();
        let found = names.iter().position(|name| name.as_slice() == word)?;
        self.skip(3);
        i8::try_from(found).ok()
    }

    fn word(&mut self, word: [u8; 3]) -> bool {
        let found =
            self.rest.first_chunk::<3>().is_some_and(|next| next.eq_ignore_ascii_case(&word));
        if found {
            self.skip(3);
        }
        found
    }

    fn number<T: TryFrom<i32>>(&mut self, fewest: usize, most: usize) -> Option<T> {
        let (mut number, mut digits) = (0_i32, 0);
        while digits < most
            && let Some(digit) = self.digit()
        {
            number = number * 10 + i32::from(digit);
            digits += 1;
        }
        (digits >= fewest).then_some(number).and_then(|number| T::try_from(number).ok())
    }

    fn digit(&mut self) -> Option<u8> {
        let digit = *self.rest.first().filter(|byte| byte.is_ascii_digit())?;
        self.skip(1);
        Some(digit - b'0')
    }

    fn any_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let found = *self.rest.first().filter(|byte| bytes.contains(byte))?;
        self.skip(1);
        Some(found)
    }

    fn spaces(&mut self) -> Option<()> {
        self.any_of(b" ")?;
        while self.any_of(b" ").is_some() {}
        Some(())
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests;
