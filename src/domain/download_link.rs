//! A signed link to a video.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, civil};
use url::form_urlencoded;

use super::Timestamp;

/// A link that anyone can download a video with for a while. It is a secret, so `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct DownloadLink {
    url: Box<str>,
    expires_at: Option<Timestamp>,
}

impl DownloadLink {
    /// Reads a link; `None` for anything but a web address, which could harm a page.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let clean = !text.chars().any(|c| c.is_control() || c.is_whitespace());
        let expires_at = expiry(rest);
        (clean && !rest.is_empty()).then(|| Self { url: text.into(), expires_at })
    }

    /// The link itself, for the caller who asked for it.
    pub fn expose(&self) -> &str {
        &self.url
    }

    /// When the link expires; `None` where its query does not say so.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }
}

/// The expiry in a link's query; the earliest one if there are several.
fn expiry(link: &str) -> Option<Timestamp> {
    let without_fragment = link.split_once('#').map_or(link, |(link, _)| link);
    let (_, query) = without_fragment.split_once('?')?;
    let value = |wanted: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then_some(value))
    };
    let epoch = || {
        let instant = jiff::Timestamp::from_second(seconds(&value("Expires")?)?).ok()?;
        Timestamp::from_utc(TimeZone::UTC.to_datetime(instant))
    };
    let signed = |date, lifetime| {
        let signed_at = civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &*value(date)?).ok()?;
        let lifetime = SignedDuration::from_secs(seconds(&value(lifetime)?)?);
        Timestamp::from_utc(signed_at.checked_add(lifetime).ok()?)
    };
    let aws = || signed("X-Amz-Date", "X-Amz-Expires");
    let obs = || signed("X-Obs-Date", "X-Obs-Expires");
    [epoch(), aws(), obs()].into_iter().flatten().min()
}

fn seconds(text: &str) -> Option<i64> {
    text.parse().ok().filter(|seconds| *seconds >= 0)
}

impl fmt::Debug for DownloadLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DownloadLink(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_on_the_web_are_links() {
        for text in ["", "https://", "javascript:alert(1)", "file:///etc/passwd", "https://a b"] {
            assert_eq!(DownloadLink::parse(text), None, "{text:?} was taken");
        }
        let link = DownloadLink::parse("https://obs.example/v.mp4?Signature=s").unwrap();
        assert_eq!(link.expose(), "https://obs.example/v.mp4?Signature=s");
        assert!(!format!("{link:?}").contains("Signature"));
    }

    #[test]
    fn a_link_expires_when_its_query_says() {
        let day = "2024-10-15T11:04:41.000Z";
        for (query, expires_at) in [
            ("AccessKeyId=a&Expires=1728990281&Signature=s", Some(day)),
            ("EXPIRES=1728990281", Some(day)),
            ("%45xpires=%31728990281", Some(day)),
            ("X-Amz-Date=20241015T100441Z&X-Amz-Expires=3600&X-Amz-Signature=s", Some(day)),
            ("x-obs-expires=3600&x-obs-date=20241015T100441Z", Some(day)),
            // Of several ends the earliest counts.
            ("Expires=1728990282&X-Amz-Date=20241015T100441Z&X-Amz-Expires=3600", Some(day)),
            ("Expires=0", Some("1970-01-01T00:00:00.000Z")),
            ("X-Amz-Date=20241015T110441Z&X-Amz-Expires=0", Some(day)),
            ("X-Amz-Date=99991231T235959Z&X-Amz-Expires=0", Some("9999-12-31T23:59:59.000Z")),
            ("", None),
            ("Signature=s", None),
            ("Expires", None),
            ("Expires=", None),
            ("Expires=soon", None),
            ("Expires=-1", None),
            ("Expires=1728990281.5", None),
            ("Expires=99999999999999999999", None),
            ("Expires=9223372036854775807", None),
            ("NotExpires=1728990281", None),
            ("X-Amz-Date=20241015T100441Z", None),
            ("X-Amz-Expires=3600", None),
            ("X-Amz-Date=20241015T100441Z&X-Obs-Expires=3600", None),
            ("X-Amz-Date=20241315T100441Z&X-Amz-Expires=3600", None),
            ("X-Amz-Date=2024-10-15T10:04:41Z&X-Amz-Expires=3600", None),
            ("X-Amz-Date=99991231T235959Z&X-Amz-Expires=1", None),
            ("X-Amz-Date=20241015T100441Z&X-Amz-Expires=9223372036854775807", None),
        ] {
            let link = DownloadLink::parse(&format!("https://obs.example/v?{query}")).unwrap();
            let read = link.expires_at().map(|at| at.to_string());
            assert_eq!(read.as_deref(), expires_at, "of {query:?}");
        }
        let fragment = DownloadLink::parse("https://obs.example/v#?Expires=1728990281").unwrap();
        assert_eq!(fragment.expires_at(), None);
    }
}
