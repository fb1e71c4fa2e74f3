//! Reads single values as the upstream writes them, odd spellings included.
//!
//! Every value is read on its own: what cannot be read is noted in its place and costs nothing else.

mod timestamp;

use std::borrow::Cow;
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::domain::{
    DesktopOperationLevel, DesktopOperationType, Field, OpenEnum, Timestamp, Unreadable,
};

/// One value as it stands in the upstream's JSON.
#[derive(Clone, Copy, Debug)]
pub struct WireValue<'a>(&'a str);

impl<'a> WireValue<'a> {
    /// A value, given as JSON text without white space around it.
    pub fn new(json: &'a str) -> Self {
        Self(json)
    }

    /// A text, kept to the letter.
    pub fn text(self) -> Field<Cow<'a, str>> {
        if self.is_null() {
            return None;
        }
        Some(match self.as_text() {
            Some(text) => Ok(text),
            None => Err(self.unreadable("is not a text")),
        })
    }

    /// A text that names something: `None` where it is absent, blank or of another type.
    pub fn name(self) -> Option<Cow<'a, str>> {
        self.as_text().filter(|text| !text.trim().is_empty())
    }

    /// A whole number of 64 bits: written as an integer, an integral decimal or a numeric text.
    pub fn long(self) -> Field<i64> {
        if self.is_null() {
            return None;
        }
        let written = self.as_text().unwrap_or(Cow::Borrowed(self.0));
        Some(whole_number(written.trim()).ok_or_else(|| self.unreadable("is not a whole number")))
    }

    /// A whole number of 32 bits.
    pub fn int(self) -> Field<i32> {
        let narrowed =
            |long| i32::try_from(long).map_err(|_| self.unreadable("does not fit into 32 bits"));
        self.long().map(|long| long.and_then(narrowed))
    }

    /// An instant, in any of the shapes that the module of timestamps lists. Blank means absent.
    pub fn timestamp(self, zone: &TimeZone) -> Field<Timestamp> {
        if self.is_null() {
            return None;
        }
        let read = match self.as_text() {
            Some(text) if text.trim().is_empty() => return None,
            Some(text) => timestamp::from_text(text.trim(), zone),
            None => timestamp::from_number(self.0),
        };
        Some(read.map_err(|problem| self.unreadable(problem)))
    }

    /// The type of an operation on a desktop.
    pub fn operation_type(self) -> Field<OpenEnum<DesktopOperationType>> {
        self.open_enum(DesktopOperationType::from_upstream)
    }

    /// The level of an operation on a desktop.
    pub fn operation_level(self) -> Field<OpenEnum<DesktopOperationLevel>> {
        self.open_enum(DesktopOperationLevel::from_upstream)
    }

    /// Whether this is `null`, which means the same as absent.
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    fn open_enum<T>(self, known: impl Fn(&str) -> T) -> Field<OpenEnum<T>> {
        let read = |raw: Cow<'_, str>| OpenEnum { known: known(&raw), raw: Arc::from(raw) };
        self.text().map(|text| text.map(read))
    }

    fn as_text(self) -> Option<Cow<'a, str>> {
        if !self.0.starts_with('"') {
            return None;
        }
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if inner.as_bytes().contains(&b'\\') {
            return serde_json::from_str(self.0).ok().map(Cow::Owned);
        }
        Some(Cow::Borrowed(inner))
    }

    fn unreadable(self, problem: &str) -> Arc<Unreadable> {
        Unreadable::new(problem, &self.as_text().unwrap_or(Cow::Borrowed(self.0)))
    }
}

/// Reads `42`, `-42`, `42.0` and `4.2e1`, exactly or not at all.
fn whole_number(written: &str) -> Option<i64> {
    if let Ok(number) = written.parse() {
        return Some(number);
    }
    if let Some((whole, fraction)) = written.split_once('.')
        && !fraction.is_empty()
        && fraction.bytes().all(|digit| digit == b'0')
    {
        return whole.parse().ok();
    }
    let is_number = written.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    let number: f64 = if is_number { written.parse().ok()? } else { return None };
    exact(number)
}

/// A float as an integer, where floats are exact.
fn exact(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "integral and below 2^53, checked here")]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        for (json, expected) in [
            ("4262", Some(4262)),
            ("\"4262\"", Some(4262)),
            ("\" 4262 \"", Some(4262)),
            ("4262.0", Some(4262)),
            ("4.262e3", Some(4262)),
            ("9007199254740993", Some(9_007_199_254_740_993)),
            ("9007199254740993.0", Some(9_007_199_254_740_993)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-1", Some(-1)),
            ("9223372036854775808", None),
            ("4262.5", None),
            ("1e300", None),
            ("\"\"", None),
            ("\"unknown\"", None),
            ("\"NaN\"", None),
            ("\"inf\"", None),
            ("true", None),
            ("{}", None),
        ] {
            let read = WireValue::new(json).long().unwrap().ok();

            assert_eq!(read, expected, "of {json}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_shown_without_quotes_and_cut() {
        let long = format!("\"{}\"", "ü".repeat(100));

        let unreadable = WireValue::new(&long).long().unwrap().unwrap_err();

        assert_eq!(unreadable.value, "ü".repeat(64));
    }
}
