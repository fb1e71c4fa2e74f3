//! A signed link to a video.

use std::fmt;

/// A link that anyone can download a video with for a while. It is a secret, so `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct DownloadLink(Box<str>);

impl DownloadLink {
    /// Reads a link; `None` for anything but a web address, which could harm a page.
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
