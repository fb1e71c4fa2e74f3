//! Base addresses of HTTP servers.

use url::Url;

use super::settings::Format;

/// A base address. Combine it with `secret_if(may_hold_secret)`.
pub(super) fn web_address() -> Format<Url> {
    let allowed = "an http or https address without user, query and fragment";
    Format::new("URL", allowed, base_address)
}

/// Reads a base address.
pub(super) fn base_address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_base = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && !may_hold_secret(text)
        && url.port() != Some(0);
    is_base.then_some(url)
}

/// Whether a text has a user, query or fragment, where a password or token may stand.
pub(super) fn may_hold_secret(text: &str) -> bool {
    text.contains(['@', '?', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;

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
