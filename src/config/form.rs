//! The forms a setting's value can have: how each is read, and how what is allowed is put in words.
//!
//! Knows nothing of single settings or of where a value came from.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytesize::ByteSize;

/// What a source gave for one setting. Without `Debug`, for it may hold a secret.
#[derive(Clone, PartialEq)]
pub(super) enum Raw {
    Text(String),
    /// A number of the settings file.
    Number(String),
    /// `true` or `false` of the settings file.
    Switch(bool),
    /// A list of the settings file.
    List(Vec<String>),
    /// Something no setting can be, in words: "a table".
    Unusable(&'static str),
}

/// How often a setting's flag may stand and whether it needs a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    Switch,
    Many,
}

/// A form of values.
pub(super) trait Form {
    type Value;

    /// Reads a value; the error is a clause that says what is allowed.
    fn read(&self, raw: &Raw) -> Result<Self::Value, String>;

    /// What is allowed, as the end of a sentence: "true or false".
    fn allowed(&self) -> String;

    /// Stands for the value in the usage of a flag.
    fn placeholder(&self) -> &'static str;

    fn shape(&self) -> Shape {
        Shape::One
    }
}

/// The address of a listener.
pub(super) struct Address;

/// A duration within bounds.
pub(super) struct Span {
    pub(super) least: Duration,
    pub(super) most: Duration,
}

/// A number of bytes within bounds.
pub(super) struct Bytes {
    pub(super) least: u64,
    pub(super) most: u64,
}

/// A whole number within bounds.
pub(super) struct Count {
    pub(super) least: u64,
    pub(super) most: u64,
}

/// A share of a whole, from 0 to 1.
pub(super) struct Share;

/// `true` or `false`.
pub(super) struct Switch;

/// One of some words.
pub(super) struct OneOf<T: 'static>(pub(super) &'static [(&'static str, T)]);

/// A text that has a type of its own.
pub(super) struct Parsed<T> {
    pub(super) allowed: &'static str,
    pub(super) placeholder: &'static str,
    pub(super) parse: fn(&str) -> Option<T>,
}

/// Any number of values: commas between them in a text, or a list in the settings file.
pub(super) struct ListOf<F>(pub(super) F);

impl Raw {
    /// The text, where it is one.
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.trim()),
            Self::Number(_) | Self::Switch(_) | Self::List(_) | Self::Unusable(_) => None,
        }
    }

    /// The text or the number, as text.
    fn text_or_number(&self) -> Option<&str> {
        match self {
            Self::Number(number) => Some(number),
            Self::Text(_) | Self::Switch(_) | Self::List(_) | Self::Unusable(_) => self.text(),
        }
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Number(text) => f.write_str(&one_line(text)),
            Self::Switch(switch) => write!(f, "{switch}"),
            Self::List(items) => write!(f, "[{}]", one_line(&items.join(", "))),
            Self::Unusable(what) => f.write_str(what),
        }
    }
}

/// Writes foreign text so that it stays on one line of a sensible length.
pub(super) fn one_line(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    let is_plain = !shown.is_empty() && shown.trim() == shown;
    if is_plain && shown.escape_debug().eq(shown.chars()) { shown } else { format!("{shown:?}") }
}

/// Writes a duration in the form in which settings are written.
pub(super) fn duration_text(duration: Duration) -> String {
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

impl Form for Address {
    type Value = SocketAddr;

    fn read(&self, raw: &Raw) -> Result<SocketAddr, String> {
        let address = raw.text().and_then(|text| text.parse().ok());
        address.ok_or_else(|| must_be(self.allowed()))
    }

    fn allowed(&self) -> String {
        "an IP address with a port, such as 127.0.0.1:8080 or [::1]:0".to_owned()
    }

    fn placeholder(&self) -> &'static str {
        "ADDRESS"
    }
}

impl Form for Span {
    type Value = Duration;

    fn read(&self, raw: &Raw) -> Result<Duration, String> {
        let duration = match raw.text_or_number() {
            Some(text) if text != "0" && text.parse::<f64>().is_ok() => {
                return Err(format!("needs a unit: {}", must_be(self.allowed())));
            }
            Some(text) => parse_duration(text),
            None => None,
        };
        duration
            .filter(|duration| (self.least..=self.most).contains(duration))
            .ok_or_else(|| must_be(self.allowed()))
    }

    fn allowed(&self) -> String {
        let [least, most] = [self.least, self.most].map(duration_text);
        format!("a duration from {least} to {most}, such as 250ms, 5s or 1m30s")
    }

    fn placeholder(&self) -> &'static str {
        "DURATION"
    }
}

/// Reads `250ms`, `5s`, `1m30s`.
///
/// Bounded before it is handed on: the sum of absurdly large parts overflows in the library.
fn parse_duration(text: &str) -> Option<Duration> {
    const LONGEST: usize = 64;
    const MOST_DIGITS: usize = 9;
    let parts = text.split(|character: char| !character.is_ascii_digit());
    let is_sane = text.len() <= LONGEST && parts.map(str::len).all(|digits| digits <= MOST_DIGITS);
    if is_sane { humantime::parse_duration(text).ok() } else { None }
}

impl Form for Bytes {
    type Value = u64;

    fn read(&self, raw: &Raw) -> Result<u64, String> {
        raw.text_or_number()
            .and_then(|text| text.parse::<ByteSize>().ok())
            .map(|size| size.as_u64())
            .filter(|bytes| (self.least..=self.most).contains(bytes))
            .ok_or_else(|| must_be(self.allowed()))
    }

    fn allowed(&self) -> String {
        let [least, most] = [self.least, self.most].map(bytes_text);
        format!("a size from {least} to {most}, such as 64KiB, 256MiB or a number of bytes")
    }

    fn placeholder(&self) -> &'static str {
        "SIZE"
    }
}

impl Form for Count {
    type Value = u64;

    fn read(&self, raw: &Raw) -> Result<u64, String> {
        raw.text_or_number()
            .and_then(|text| text.parse().ok())
            .filter(|count| (self.least..=self.most).contains(count))
            .ok_or_else(|| must_be(self.allowed()))
    }

    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", self.least, self.most)
    }

    fn placeholder(&self) -> &'static str {
        "N"
    }
}

impl Form for Share {
    type Value = f64;

    fn read(&self, raw: &Raw) -> Result<f64, String> {
        raw.text_or_number()
            .and_then(|text| text.parse().ok())
            .filter(|share| (0.0..=1.0).contains(share))
            .ok_or_else(|| must_be(self.allowed()))
    }

    fn allowed(&self) -> String {
        "a share from 0 to 1, such as 0.05".to_owned()
    }

    fn placeholder(&self) -> &'static str {
        "SHARE"
    }
}

impl Form for Switch {
    type Value = bool;

    fn read(&self, raw: &Raw) -> Result<bool, String> {
        match raw {
            Raw::Switch(switch) => Ok(*switch),
            Raw::Text(text) => text.trim().parse().map_err(|_| must_be(self.allowed())),
            Raw::Number(_) | Raw::List(_) | Raw::Unusable(_) => Err(must_be(self.allowed())),
        }
    }

    fn allowed(&self) -> String {
        "true or false".to_owned()
    }

    fn placeholder(&self) -> &'static str {
        "true|false"
    }

    fn shape(&self) -> Shape {
        Shape::Switch
    }
}

impl<T: Copy> Form for OneOf<T> {
    type Value = T;

    fn read(&self, raw: &Raw) -> Result<T, String> {
        let chosen = self.0.iter().find(|(word, _)| raw.text() == Some(word));
        chosen.map(|(_, value)| *value).ok_or_else(|| must_be(self.allowed()))
    }

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

impl<T> Form for Parsed<T> {
    type Value = T;

    fn read(&self, raw: &Raw) -> Result<T, String> {
        raw.text().and_then(self.parse).ok_or_else(|| must_be(self.allowed))
    }

    fn allowed(&self) -> String {
        self.allowed.to_owned()
    }

    fn placeholder(&self) -> &'static str {
        self.placeholder
    }
}

impl<F: Form> Form for ListOf<F> {
    type Value = Vec<F::Value>;

    fn read(&self, raw: &Raw) -> Result<Self::Value, String> {
        let items: Vec<&str> = match raw {
            Raw::Text(text) if text.trim().is_empty() => Vec::new(),
            Raw::Text(text) => text.split(',').collect(),
            Raw::List(items) => items.iter().map(String::as_str).collect(),
            Raw::Number(_) | Raw::Switch(_) | Raw::Unusable(_) => {
                return Err(must_be(self.allowed()));
            }
        };
        let read = |(at, item): (usize, &str)| {
            // The item is named by its place: it may be a secret.
            let refused = |problem| format!("item {}: {problem}", at + 1);
            self.0.read(&Raw::Text(item.to_owned())).map_err(refused)
        };
        items.into_iter().enumerate().map(read).collect()
    }

    fn allowed(&self) -> String {
        format!("a list with commas between the items, each {}", self.0.allowed())
    }

    fn placeholder(&self) -> &'static str {
        self.0.placeholder()
    }

    fn shape(&self) -> Shape {
        Shape::Many
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { least: Duration::from_millis(1), most: Duration::from_hours(1) };

    #[test]
    fn durations_are_written_with_units_and_may_be_compound() {
        for (text, milliseconds) in
            [("250ms", 250), ("5s", 5_000), ("10m", 600_000), ("1h", 3_600_000), ("1m30s", 90_000)]
        {
            let duration = SPAN.read(&Raw::Text(text.to_owned()));

            assert_eq!(duration, Ok(Duration::from_millis(milliseconds)), "of {text}");
        }
    }

    #[test]
    fn a_duration_without_a_unit_is_refused_with_a_hint() {
        for raw in [Raw::Text("5".to_owned()), Raw::Number("5".to_owned())] {
            let problem = SPAN.read(&raw).unwrap_err();

            assert!(problem.starts_with("needs a unit: "), "{problem}");
        }
    }

    #[test]
    fn durations_out_of_bounds_or_too_large_to_add_up_are_refused() {
        for text in ["0s", "0", "1M", "2h", "-5s", "5 parsecs", "", "18446744073709551615s1000ms"] {
            let problem = SPAN.read(&Raw::Text(text.to_owned())).unwrap_err();

            assert_eq!(problem, format!("must be {}", SPAN.allowed()), "of {text:?}");
        }
    }

    #[test]
    fn sizes_have_binary_and_decimal_units_or_none() {
        let form = Bytes { least: 0, most: u64::MAX };
        for (text, bytes) in [
            ("64KiB", 65_536),
            ("1.5MiB", 1_572_864),
            ("1 GiB", 1 << 30),
            ("64KB", 64_000),
            ("64k", 64_000),
            ("1024", 1024),
            ("0", 0),
        ] {
            assert_eq!(form.read(&Raw::Text(text.to_owned())), Ok(bytes), "of {text}");
        }
    }

    #[test]
    fn bounds_are_shown_the_way_values_are_written() {
        let form = Bytes { least: 0, most: 1 << 40 };

        assert!(form.allowed().starts_with("a size from 0 to 1TiB,"), "{}", form.allowed());
        assert!(SPAN.allowed().starts_with("a duration from 1ms to 1h,"), "{}", SPAN.allowed());
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
