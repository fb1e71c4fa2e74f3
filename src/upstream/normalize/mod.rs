//! Reads single values as the upstream writes them, odd spellings included.
//!
//! Every value is read on its own: what cannot be read is noted in its place and costs nothing else.

mod decimal;
mod timestamp;

use std::borrow::Cow;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use self::decimal::Decimal;
use crate::domain::{Field, OpenEnum, Timestamp, Unreadable};

const NOT_JSON: &str = "is not JSON";

/// One value as it stands in the upstream's JSON.
#[derive(Clone, Copy, Debug)]
pub enum WireValue<'a> {
    /// JSON text without white space around it.
    Json(&'a str),
    /// Anything else: bytes that are not UTF-8, a string with a raw control character, `NaN`.
    NotJson(&'a [u8]),
}

impl<'a> WireValue<'a> {
    /// A value, given as it stands between its neighbours.
    pub fn of(bytes: &'a [u8]) -> Self {
        let json: Option<&RawValue> = serde_json::from_slice(bytes).ok();
        json.map_or(Self::NotJson(bytes), |json| Self::Json(json.get()))
    }

    /// As it stands in the body.
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Json(json) => json.as_bytes(),
            Self::NotJson(bytes) => bytes,
        }
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

    /// An id: `None` where it is absent, blank or of another type.
    pub fn name(self) -> Option<Cow<'a, str>> {
        self.as_text().filter(|text| !text.trim().is_empty())
    }

    /// A whole number of 64 bits: written as an integer, an integral decimal or a numeric text.
    pub fn long(self) -> Field<i64> {
        if self.is_null() {
            return None;
        }
        let number = self.scalar().and_then(|written| whole_number(written.trim()));
        Some(number.ok_or_else(|| self.unreadable("is not a whole number")))
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
        let Some(written) = self.scalar() else { return Some(Err(self.unreadable(NOT_JSON))) };
        let written = written.trim();
        if written.is_empty() {
            return None;
        }
        Some(timestamp::from_text(written, zone).map_err(|problem| self.unreadable(problem)))
    }

    /// A text that may be one of an enumeration's.
    pub(crate) fn open_enum<T>(self, known: impl Fn(&str) -> T) -> Field<OpenEnum<T>> {
        let read = |raw: Cow<'_, str>| OpenEnum { known: known(&raw), raw: Arc::from(raw) };
        self.text().map(|text| text.map(read))
    }

    /// Whether this is `null`, which means the same as absent.
    pub fn is_null(self) -> bool {
        matches!(self, Self::Json("null"))
    }

    /// A text or a number, with what is not UTF-8 replaced: for people to read. `None` where it is empty
    /// or of another type.
    pub(crate) fn words(self) -> Option<String> {
        let is_either = matches!(self.as_bytes(), [b'"' | b'-' | b'0'..=b'9', ..]);
        is_either.then(|| self.shown().into_owned()).filter(|text| !text.is_empty())
    }

    /// Notes what is wrong with this value.
    pub(crate) fn unreadable(self, problem: &str) -> Arc<Unreadable> {
        let problem = match self {
            Self::Json(_) => problem,
            Self::NotJson(bytes) if str::from_utf8(bytes).is_err() => "is not UTF-8",
            Self::NotJson(_) => NOT_JSON,
        };
        Unreadable::new(problem, &self.shown())
    }

    fn as_text(self) -> Option<Cow<'a, str>> {
        let Self::Json(json) = self else { return None };
        let inner = json.strip_prefix('"')?.strip_suffix('"')?;
        if inner.as_bytes().contains(&b'\\') {
            return serde_json::from_str(json).ok().map(Cow::Owned);
        }
        Some(Cow::Borrowed(inner))
    }

    /// A text, or what else stands there as JSON.
    fn scalar(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Json(json) => Some(self.as_text().unwrap_or(Cow::Borrowed(json))),
            Self::NotJson(_) => None,
        }
    }

    /// As people are shown it: without quotes, and with what is not UTF-8 replaced.
    fn shown(self) -> Cow<'a, str> {
        self.scalar().unwrap_or_else(|| {
            let bytes = self.as_bytes();
            let inner = bytes.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
            String::from_utf8_lossy(inner.unwrap_or(bytes))
        })
    }
}

/// Reads `42`, `-42`, `42.0` and `4.2e1`, exactly or not at all.
fn whole_number(written: &str) -> Option<i64> {
    written.parse().ok().or_else(|| Decimal::parse(written)?.to_whole_number())
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
            ("9.007199254740993e15", Some(9_007_199_254_740_993)),
            ("\"9.007199254740993E+15\"", Some(9_007_199_254_740_993)),
            ("42620e-1", Some(4262)),
            ("42625e-1", None),
            ("-0.0", Some(0)),
            ("0e5", Some(0)),
            ("-9223372036854775808.0", Some(i64::MIN)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-1", Some(-1)),
            ("9223372036854775808", None),
            ("4262.5", None),
            ("1e300", None),
            ("1e-300", None),
            ("\"e5\"", None),
            ("\".\"", None),
            ("\"1e\"", None),
            ("\"\"", None),
            ("\"unknown\"", None),
            ("\"NaN\"", None),
            ("\"inf\"", None),
            ("true", None),
            ("{}", None),
        ] {
            let read = WireValue::Json(json).long().unwrap().ok();

            assert_eq!(read, expected, "of {json}");
        }
    }
}
