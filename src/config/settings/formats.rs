//! The formats of values: how each is read, and what is allowed, in words.
//!
//! Knows no single setting and no source.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use url::Url;

use super::{Arity, Setting};
use crate::domain::{ProjectId, Secret};

/// The address of a listener.
pub(crate) fn listen_address() -> Setting<SocketAddr> {
    let allowed = "an IP address with a port, such as 127.0.0.1:8080 or [::1]:0";
    Setting::new("ADDRESS", allowed, |text| text.parse().ok())
}

/// A duration within bounds.
pub(crate) fn duration(range: RangeInclusive<Duration>) -> Setting<Duration> {
    let [least, most] = [range.start(), range.end()].map(|bound| duration_text(*bound));
    let allowed = format!("a duration from {least} to {most}, such as 250ms, 5s or 1m30s");
    Setting::new("DURATION", allowed, move |text| {
        parse_duration(text).filter(|duration| range.contains(duration))
    })
}

/// A time limit.
pub(crate) fn timeout() -> Setting<Duration> {
    duration(Duration::from_millis(1)..=Duration::from_hours(1))
}

/// A number of bytes within bounds.
pub(crate) fn bytes<T: TryFrom<u64> + 'static>(range: RangeInclusive<u64>) -> Setting<T> {
    let [least, most] = [range.start(), range.end()].map(|bound| bytes_text(*bound));
    let allowed =
        format!("a size from {least} to {most}, such as 64KiB, 256MiB or a number of bytes");
    Setting::new("SIZE", allowed, move |text| {
        let bytes = text.parse::<ByteSize>().ok()?.as_u64();
        bytes.try_into().ok().filter(|_| range.contains(&bytes))
    })
}

/// A whole number within bounds.
pub(crate) fn number<T: FromStr + 'static>(range: RangeInclusive<u64>) -> Setting<T> {
    let allowed = format!("a whole number from {} to {}", range.start(), range.end());
    Setting::new("N", allowed, move |text| {
        text.parse().ok().filter(|_| text.parse().is_ok_and(|number| range.contains(&number)))
    })
}

/// A number up to 1.
pub(crate) fn share(least: f64) -> Setting<f64> {
    let allowed = format!("a share from {least} to 1, such as 0.05");
    Setting::new("SHARE", allowed, move |text| {
        text.parse().ok().filter(|share| (least..=1.0).contains(share))
    })
}

/// `true` or `false`.
pub(crate) fn switch() -> Setting<bool> {
    let mut switch = Setting::new("true|false", "true or false", |text| text.parse().ok());
    switch.spec.arity = Arity::AtMostOne;
    switch
}

/// One of some words.
pub(crate) fn one_of<T: Copy + 'static>(words: &'static [(&'static str, T)]) -> Setting<T> {
    let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let allowed = match all.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        all => all.concat(),
    };
    Setting::new("WORD", allowed, |text| {
        words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
    })
}

/// A text of one line, up to a number of characters.
pub(crate) fn text(
    placeholder: &'static str,
    allowed: &'static str,
    most: usize,
) -> Setting<String> {
    Setting::new(placeholder, allowed, move |text| {
        (is_one_line(text) && text.chars().count() <= most).then(|| text.to_owned())
    })
}

/// A secret text.
pub(crate) fn secret(
    placeholder: &'static str,
    allowed: &'static str,
    is_allowed: fn(&str) -> bool,
) -> Setting<Secret> {
    let parse = move |text: &str| is_allowed(text).then(|| Secret::new(text));
    Setting::new(placeholder, allowed, parse).secret()
}

/// The path of a file.
pub(crate) fn path() -> Setting<PathBuf> {
    let allowed = "the path of a file, without control characters";
    Setting::new("FILE", allowed, |text| is_one_line(text).then(|| PathBuf::from(text)))
}

/// Whether a text is not empty and has no control characters.
pub(crate) fn is_one_line(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}

/// The id of a project.
pub(crate) fn project_id() -> Setting<ProjectId> {
    let allowed = "a project id of 1 to 64 letters, digits, - and _";
    Setting::new("PROJECT", allowed, |text| ProjectId::parse(text).ok())
}

/// A base address, such as `example`.
pub(crate) fn web_address(example: &str) -> Setting<Url> {
    let allowed =
        format!("an http or https address without user, query and fragment, such as {example}");
    Setting::new("URL", allowed, base_address).secret_if(may_hold_secret)
}

/// Reads a base address.
pub(crate) fn base_address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_base = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && !may_hold_secret(text)
        && url.port() != Some(0);
    is_base.then_some(url)
}

/// Whether a text has a user, query or fragment, where a password or token may stand.
pub(crate) fn may_hold_secret(text: &str) -> bool {
    text.contains(['@', '?', '#'])
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
            let read = hour.read(written).ok().map(|duration| duration.as_millis());
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
            assert_eq!(super::bytes(0..=u64::MAX).read(written), Ok(bytes), "of {written}");
        }
        let sizes = bytes::<u64>(0..=1 << 40);
        assert!(sizes.allowed.starts_with("a size from 0 to 1TiB,"), "{}", sizes.allowed);
    }

    #[test]
    fn a_base_address_is_a_plain_web_address() {
        for (text, is_base) in [
            ("https://workspace.ap-southeast-1.myhuaweicloud.com", true),
            ("http://127.0.0.1:8090", true),
            ("https://proxy.example.com/workspace/", true),
            ("https://user:pass@example.com", false),
            ("https://example.com?x=1", false),
            ("https://example.com#x", false),
            ("ftp://example.com", false),
            ("example.com", false),
            ("http://example.com:0", false),
            ("http://", false),
        ] {
            assert_eq!(base_address(text).is_some(), is_base, "of {text}");
        }
    }
}
