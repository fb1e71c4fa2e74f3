//! The formats of values: how each is read, and what is allowed, in words.
//!
//! Knows no single setting and no source.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

/// What a source gave for one setting. Without `Debug`, because it may hold a secret.
#[derive(Clone, PartialEq)]
pub(crate) enum RawValue {
    Text(String),
    /// A number of the settings file.
    Number(String),
    /// `true` or `false` of the settings file.
    Bool(bool),
    /// A list of the settings file.
    List(Vec<String>),
    /// Something no setting can be, in words: "a table".
    Unusable(&'static str),
}

/// How many values a setting's flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arity {
    One,
    /// The flag alone means `true`.
    AtMostOne,
    /// The flag may be repeated.
    Many,
}

/// What the values of a setting look like.
pub(crate) trait ValueFormat: Sync {
    /// What is allowed, as the end of a sentence: "true or false".
    fn allowed(&self) -> String;

    /// Stands for the value in the usage of a flag.
    fn placeholder(&self) -> &'static str;

    fn arity(&self) -> Arity {
        Arity::One
    }
}

/// A format whose values are read as `T`.
pub(crate) trait ReadValue<T>: ValueFormat {
    /// Reads a value; the error is a clause that says what is allowed.
    fn read(&self, raw: &RawValue) -> Result<T, String>;

    /// The value of a setting that is not set and has no default.
    fn unset(&self) -> Option<T> {
        None
    }
}

/// The address of a listener.
pub(crate) const LISTEN_ADDRESS: Parsed<SocketAddr> = Parsed {
    allowed: "an IP address with a port, such as 127.0.0.1:8080 or [::1]:0",
    placeholder: "ADDRESS",
    parse: |text| text.parse().ok(),
};

/// A duration within bounds.
pub(crate) struct DurationRange(pub(crate) RangeInclusive<Duration>);

/// A number of bytes within bounds.
pub(crate) struct ByteRange(pub(crate) RangeInclusive<u64>);

/// A whole number within bounds.
pub(crate) struct NumberRange(pub(crate) RangeInclusive<u64>);

/// A number from 0 to 1.
pub(crate) struct Ratio;

/// `true` or `false`.
pub(crate) struct Bool;

/// One of some words.
pub(crate) struct OneOf<T: 'static>(pub(crate) &'static [(&'static str, T)]);

/// A text that has a type of its own.
pub(crate) struct Parsed<T> {
    pub(crate) allowed: &'static str,
    pub(crate) placeholder: &'static str,
    pub(crate) parse: fn(&str) -> Option<T>,
}

/// Any number of values: commas between them in a text, or a list in the settings file.
pub(crate) struct ListOf<F>(pub(crate) F);

/// A value that may be left out.
pub(crate) struct Optional<F>(pub(crate) F);

impl RawValue {
    /// The text, if it is one.
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.trim()),
            Self::Number(_) | Self::Bool(_) | Self::List(_) | Self::Unusable(_) => None,
        }
    }

    /// The text or the number, as text.
    fn text_or_number(&self) -> Option<&str> {
        match self {
            Self::Number(number) => Some(number),
            Self::Text(_) | Self::Bool(_) | Self::List(_) | Self::Unusable(_) => self.text(),
        }
    }
}

impl fmt::Display for RawValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Number(text) => f.write_str(&one_line(text)),
            Self::Bool(value) => write!(f, "{value}"),
            Self::List(items) => write!(f, "[{}]", one_line(&items.join(", "))),
            Self::Unusable(what) => f.write_str(what),
        }
    }
}

/// Writes foreign text on one line of bounded length.
pub(crate) fn one_line(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    let is_plain = !shown.is_empty() && shown.trim() == shown;
    if is_plain && shown.escape_debug().eq(shown.chars()) { shown } else { format!("{shown:?}") }
}

/// Writes a duration the way settings are written.
pub(crate) fn duration_text(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace("days", "d").replace(' ', "")
}

fn bytes_text(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        _ => ByteSize::b(bytes).display().iec().to_string().replace(".0 ", "").replace(' ', ""),
    }
}

fn must_be(allowed: impl fmt::Display) -> String {
    format!("must be {allowed}")
}

impl ValueFormat for DurationRange {
    fn allowed(&self) -> String {
        let [least, most] = [self.0.start(), self.0.end()].map(|bound| duration_text(*bound));
        format!("a duration from {least} to {most}, such as 250ms, 5s or 1m30s")
    }

    fn placeholder(&self) -> &'static str {
        "DURATION"
    }
}

impl ReadValue<Duration> for DurationRange {
    fn read(&self, raw: &RawValue) -> Result<Duration, String> {
        let duration = match raw.text_or_number() {
            Some(text) if text != "0" && text.parse::<f64>().is_ok() => {
                return Err(format!("needs a unit: {}", must_be(self.allowed())));
            }
            Some(text) => parse_duration(text),
            None => None,
        };
        let allowed = duration.filter(|duration| self.0.contains(duration));
        allowed.ok_or_else(|| must_be(self.allowed()))
    }
}

/// Reads `250ms`, `5s`, `1m30s`.
///
/// The number of digits is bounded because humantime overflows when it adds up huge parts.
fn parse_duration(text: &str) -> Option<Duration> {
    const LONGEST: usize = 64;
    const MOST_DIGITS: usize = 9;
    let mut parts = text.split(|character: char| !character.is_ascii_digit());
    let is_bounded = text.len() <= LONGEST && parts.all(|digits| digits.len() <= MOST_DIGITS);
    if is_bounded { humantime::parse_duration(text).ok() } else { None }
}

impl ValueFormat for ByteRange {
    fn allowed(&self) -> String {
        let [least, most] = [self.0.start(), self.0.end()].map(|bound| bytes_text(*bound));
        format!("a size from {least} to {most}, such as 64KiB, 256MiB or a number of bytes")
    }

    fn placeholder(&self) -> &'static str {
        "SIZE"
    }
}

impl<T: TryFrom<u64>> ReadValue<T> for ByteRange {
    fn read(&self, raw: &RawValue) -> Result<T, String> {
        let size = raw.text_or_number().and_then(|text| text.parse::<ByteSize>().ok());
        let bytes = size.map(|size| size.as_u64()).filter(|bytes| self.0.contains(bytes));
        bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| must_be(self.allowed()))
    }
}

impl ValueFormat for NumberRange {
    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", self.0.start(), self.0.end())
    }

    fn placeholder(&self) -> &'static str {
        "N"
    }
}

impl<T: FromStr> ReadValue<T> for NumberRange {
    fn read(&self, raw: &RawValue) -> Result<T, String> {
        let is_allowed = |text: &&str| text.parse().is_ok_and(|number| self.0.contains(&number));
        let number = raw.text_or_number().filter(is_allowed).and_then(|text| text.parse().ok());
        number.ok_or_else(|| must_be(self.allowed()))
    }
}

impl ValueFormat for Ratio {
    fn allowed(&self) -> String {
        "a share from 0 to 1, such as 0.05".to_owned()
    }

    fn placeholder(&self) -> &'static str {
        "SHARE"
    }
}

impl ReadValue<f64> for Ratio {
    fn read(&self, raw: &RawValue) -> Result<f64, String> {
        let ratio = raw.text_or_number().and_then(|text| text.parse().ok());
        let allowed = ratio.filter(|ratio| (0.0..=1.0).contains(ratio));
        allowed.ok_or_else(|| must_be(self.allowed()))
    }
}

impl ValueFormat for Bool {
    fn allowed(&self) -> String {
        "true or false".to_owned()
    }

    fn placeholder(&self) -> &'static str {
        "true|false"
    }

    fn arity(&self) -> Arity {
        Arity::AtMostOne
    }
}

impl ReadValue<bool> for Bool {
    fn read(&self, raw: &RawValue) -> Result<bool, String> {
        match raw {
            RawValue::Bool(value) => Ok(*value),
            RawValue::Text(text) => text.trim().parse().map_err(|_| must_be(self.allowed())),
            RawValue::Number(_) | RawValue::List(_) | RawValue::Unusable(_) => {
                Err(must_be(self.allowed()))
            }
        }
    }
}

impl<T: Sync> ValueFormat for OneOf<T> {
    fn allowed(&self) -> String {
        let words: Vec<&str> = self.0.iter().map(|(word, _)| *word).collect();
        match words.as_slice() {
            [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
            words => words.concat(),
        }
    }

    fn placeholder(&self) -> &'static str {
        "WORD"
    }
}

impl<T: Copy + Sync> ReadValue<T> for OneOf<T> {
    fn read(&self, raw: &RawValue) -> Result<T, String> {
        let chosen = self.0.iter().find(|(word, _)| raw.text() == Some(word));
        chosen.map(|(_, value)| *value).ok_or_else(|| must_be(self.allowed()))
    }
}

impl<T> ValueFormat for Parsed<T> {
    fn allowed(&self) -> String {
        self.allowed.to_owned()
    }

    fn placeholder(&self) -> &'static str {
        self.placeholder
    }
}

impl<T> ReadValue<T> for Parsed<T> {
    fn read(&self, raw: &RawValue) -> Result<T, String> {
        raw.text().and_then(self.parse).ok_or_else(|| must_be(self.allowed))
    }
}

impl<F: ValueFormat> ValueFormat for ListOf<F> {
    fn allowed(&self) -> String {
        format!("a list with commas between the items, each {}", self.0.allowed())
    }

    fn placeholder(&self) -> &'static str {
        self.0.placeholder()
    }

    fn arity(&self) -> Arity {
        Arity::Many
    }
}

impl<C, F> ReadValue<C> for ListOf<F>
where
    C: IntoIterator + FromIterator<C::Item>,
    F: ReadValue<C::Item>,
{
    fn read(&self, raw: &RawValue) -> Result<C, String> {
        let items: Vec<&str> = match raw {
            RawValue::Text(text) if text.trim().is_empty() => Vec::new(),
            RawValue::Text(text) => text.split(',').collect(),
            RawValue::List(items) => items.iter().map(String::as_str).collect(),
            RawValue::Number(_) | RawValue::Bool(_) | RawValue::Unusable(_) => {
                return Err(must_be(self.allowed()));
            }
        };
        let read = |(at, item): (usize, &str)| {
            // The item is named by its position, because it may be a secret.
            let refused = |problem| format!("item {}: {problem}", at + 1);
            self.0.read(&RawValue::Text(item.to_owned())).map_err(refused)
        };
        items.into_iter().enumerate().map(read).collect()
    }

    fn unset(&self) -> Option<C> {
        Some(std::iter::empty().collect())
    }
}

impl<F: ValueFormat> ValueFormat for Optional<F> {
    fn allowed(&self) -> String {
        self.0.allowed()
    }

    fn placeholder(&self) -> &'static str {
        self.0.placeholder()
    }

    fn arity(&self) -> Arity {
        self.0.arity()
    }
}

impl<T, F: ReadValue<T>> ReadValue<Option<T>> for Optional<F> {
    fn read(&self, raw: &RawValue) -> Result<Option<T>, String> {
        self.0.read(raw).map(Some)
    }

    fn unset(&self) -> Option<Option<T>> {
        Some(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: DurationRange = DurationRange(Duration::from_millis(1)..=Duration::from_hours(1));

    fn text(text: &str) -> RawValue {
        RawValue::Text(text.to_owned())
    }

    #[test]
    fn durations_have_units_and_bounds() {
        let bounds = format!("must be {}", HOUR.allowed());
        let needs_unit = format!("needs a unit: {bounds}");
        for (written, expected) in [
            ("250ms", Ok(250)),
            ("5s", Ok(5_000)),
            ("10m", Ok(600_000)),
            ("1h", Ok(3_600_000)),
            ("1m30s", Ok(90_000)),
            ("5", Err(&needs_unit)),
            ("0", Err(&bounds)),
            ("0s", Err(&bounds)),
            ("1M", Err(&bounds)),
            ("2h", Err(&bounds)),
            ("-5s", Err(&bounds)),
            ("5 parsecs", Err(&bounds)),
            ("", Err(&bounds)),
            // Too large to add up.
            ("18446744073709551615s1000ms", Err(&bounds)),
        ] {
            let expected = expected.map(Duration::from_millis).map_err(String::clone);

            assert_eq!(HOUR.read(&text(written)), expected, "of {written:?}");
        }
        assert!(bounds.contains("a duration from 1ms to 1h,"), "{bounds}");
    }

    #[test]
    fn sizes_have_binary_and_decimal_units_or_none() {
        for (written, bytes) in [
            ("64KiB", 65_536),
            ("1.5MiB", 1_572_864),
            ("1 GiB", 1 << 30),
            ("64KB", 64_000),
            ("64k", 64_000),
            ("1024", 1024),
            ("0", 0),
        ] {
            assert_eq!(ByteRange(0..=u64::MAX).read(&text(written)), Ok(bytes), "of {written}");
        }
        let sizes = ByteRange(0..=1 << 40).allowed();
        assert!(sizes.starts_with("a size from 0 to 1TiB,"), "{sizes}");
    }

    #[test]
    fn foreign_text_stays_on_one_line() {
        for (text, shown) in
            [("12s", "12s"), ("", "\"\""), ("a\nb", "\"a\\nb\""), (" a", "\" a\""), ("ü", "ü")]
        {
            assert_eq!(one_line(text), shown);
        }
        assert_eq!(one_line(&"x".repeat(101)), format!("{}…", "x".repeat(100)));
    }
}
