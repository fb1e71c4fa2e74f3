//! A signed link to a video.

use std::fmt;

/// A signed link to a video. It is a secret, because it lets anyone fetch the video until it expires, so
/// `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct DownloadLink(Box<str>);

impl DownloadLink {
    /// Takes what the upstream gave; `None` for anything but an address on the web, which a page
    /// could be harmed by.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let clean = !text.chars().any(|c| c.is_control() || c.is_whitespace());
        (clean && !rest.is_empty()).then(|| Self(text.into()))
    }

    /// The link itself, for the caller who asked for it.
    pub fn expose(&self) -> &str {
        &self.0
    }
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
}
