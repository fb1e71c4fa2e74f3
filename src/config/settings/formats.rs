//! The formats of values: how each is read, and what is allowed, in words.
//!
//! Knows no single setting and no source.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

/// How many values a setting's flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arity {
    One,
    /// The flag alone means `true`.
    AtMostOne,
    /// The flag may be repeated.
    Many,
}

/// Reads a value; the error is a clause that says what is allowed.
pub(crate) type ReadValue<T> = Box<dyn Fn(&str) -> Result<T, String>>;

/// What the values of a setting look like, and how they are read.
pub(crate) struct Format<T> {
    /// What is allowed, as the end of a sentence: "true or false".
    pub(crate) allowed: String,
    /// Stands for the value in the usage of a flag.
    pub(crate) placeholder: &'static str,
    pub(crate) arity: Arity,
    pub(crate) read: ReadValue<T>,
    /// The value of a setting that is not set and has no default.
    pub(crate) unset: fn() -> Option<T>,
}

impl<T: 'static> Format<T> {
    /// Texts that have a type of their own. Blanks at the ends do not count.
    pub(crate) fn new(
        placeholder: &'static str,
        allowed: impl Into<String>,
        parse: impl Fn(&str) -> Option<T> + 'static,
    ) -> Self {
        let allowed = allowed.into();
        let problem = format!("must be {allowed}");
        let read = move |text: &str| parse(text.trim()).ok_or_else(|| problem.clone());
        Self { allowed, placeholder, arity: Arity::One, read: Box::new(read), unset: || None }
    }

    /// A value that may be left out.
    pub(crate) fn optional(self) -> Format<Option<T>> {
        let Self { allowed, placeholder, arity, read, .. } = self;
        let read = Box::new(move |text: &str| read(text).map(Some));
        Format { allowed, placeholder, arity, read, unset: || Some(None) }
    }

    /// Any number of values, with commas between them.
    pub(crate) fn list<C: FromIterator<T>>(self) -> Format<C> {
        let Self { allowed, placeholder, read, .. } = self;
        let read = move |text: &str| {
            let items = text.split(',').filter(|_| !text.trim().is_empty());
            // The item is named by its position, because it may be a secret.
            let item = |(at, item)| {
                read(item).map_err(|problem| format!("item {}: {problem}", at + 1_usize))
            };
            items.enumerate().map(item).collect()
        };
        Format {
            allowed: format!("a list with commas between the items, each {allowed}"),
            placeholder,
            arity: Arity::Many,
            read: Box::new(read),
            unset: || Some(std::iter::empty().collect()),
        }
    }
}

/// The address of a listener.
pub(crate) fn listen_address() -> Format<SocketAddr> {
    let allowed = "an IP address with a port, such as 127.0.0.1:8080 or [::1]:0";
    Format::new("ADDRESS", allowed, |text| text.parse().ok())
}

/// A duration within bounds.
pub(crate) fn duration(range: RangeInclusive<Duration>) -> Format<Duration> {
    let [least, most] = [range.start(), range.end()].map(|bound| duration_text(*bound));
    let allowed = format!("a duration from {least} to {most}, such as 250ms, 5s or 1m30s");
    Format::new("DURATION", allowed, move |text| {
        parse_duration(text).filter(|duration| range.contains(duration))
    })
}

/// A number of bytes within bounds.
pub(crate) fn bytes<T: TryFrom<u64> + 'static>(range: RangeInclusive<u64>) -> Format<T> {
    let [least, most] = [range.start(), range.end()].map(|bound| bytes_text(*bound));
    let allowed =
        format!("a size from {least} to {most}, such as 64KiB, 256MiB or a number of bytes");
    Format::new("SIZE", allowed, move |text| {
        let bytes = text.parse::<ByteSize>().ok()?.as_u64();
        bytes.try_into().ok().filter(|_| range.contains(&bytes))
    })
}

/// A whole number within bounds.
pub(crate) fn number<T: FromStr + 'static>(range: RangeInclusive<u64>) -> Format<T> {
    let allowed = format!("a whole number from {} to {}", range.start(), range.end());
    Format::new("N", allowed, move |text| {
        text.parse().ok().filter(|_| text.parse().is_ok_and(|number| range.contains(&number)))
    })
}

/// A number from 0 to 1.
pub(crate) fn share() -> Format<f64> {
    Format::new("SHARE", "a share from 0 to 1, such as 0.05", |text| {
        text.parse().ok().filter(|share| (0.0..=1.0).contains(share))
    })
}

/// `true` or `false`.
pub(crate) fn switch() -> Format<bool> {
    let format = Format::new("true|false", "true or false", |text| text.parse().ok());
    Format { arity: Arity::AtMostOne, ..format }
}

/// One of some words.
pub(crate) fn one_of<T: Copy + 'static>(words: &'static [(&'static str, T)]) -> Format<T> {
    let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let allowed = match all.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        all => all.concat(),
    };
    Format::new("WORD", allowed, |text| {
        words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
    })
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

/// Reads `250ms`, `5s`, `1m30s`. A number without a unit is none.
///
/// The number of digits is bounded because humantime overflows when it adds up huge parts.
fn parse_duration(text: &str) -> Option<Duration> {
    const LONGEST: usize = 64;
    const MOST_DIGITS: usize = 9;
    let mut parts = text.split(|character: char| !character.is_ascii_digit());
    let is_bounded = text.len() <= LONGEST && parts.all(|digits| digits.len() <= MOST_DIGITS);
    if is_bounded { humantime::parse_duration(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_bounds() {
        let hour = duration(Duration::from_millis(1)..=Duration::from_hours(1));
        for (written, expected) in [
            ("250ms", Some(250)),
            ("5s", Some(5_000)),
            ("10m", Some(600_000)),
            ("1h", Some(3_600_000)),
            ("1m30s", Some(90_000)),
            ("5", None),
            ("0", None),
            ("0s", None),
            ("1M", None),
            ("2h", None),
            ("-5s", None),
            ("5 parsecs", None),
            ("", None),
            // Too large to add up.
            ("18446744073709551615s1000ms", None),
        ] {
            let read = (hour.read)(written).ok().map(|duration| duration.as_millis());
            assert_eq!(read, expected, "of {written:?}");
        }
        assert!(hour.allowed.contains("a duration from 1ms to 1h,"), "{}", hour.allowed);
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
            assert_eq!((super::bytes(0..=u64::MAX).read)(written), Ok(bytes), "of {written}");
        }
        let sizes = bytes::<u64>(0..=1 << 40).allowed;
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
