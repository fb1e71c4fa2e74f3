//! Cross-site request forgery: requests that a page of another site makes a browser send.
//!
//! Such a page cannot read the answer unless CORS lets it, but the request alone spends upstream calls, and under
//! the gateway's own credentials it needs no secret. Browsers say where a request comes from: all of them by
//! `Origin`, on HTTPS and on this machine also by `Sec-Fetch-Site`. Programs say nothing.

use axum::http::{HeaderMap, Method, StatusCode, header};

use super::refusal::Refusal;
use crate::graphql::ErrorCode;

/// Refuses a request of a page whose origin is not the gateway's own and not in `cors.allow_origins`.
pub(crate) fn check(
    method: &Method,
    headers: &HeaderMap,
    allow_origins: &[String],
) -> Result<(), Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text("origin");
    let is_listed =
        origin.is_some_and(|origin| allow_origins.iter().any(|one| one == origin || one == "*"));
    let is_own = match (text("sec-fetch-site"), origin) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        // Without `Sec-Fetch-Site` an application/json POST of another site has passed a CORS preflight. One of this
        // site may have another `Origin` than `Host`, as proxies rewrite the latter.
        (None, _) if method == Method::POST => true,
        (None, None) => true,
        (None, Some(origin)) => text(header::HOST.as_str()).is_some_and(|host| {
            origin.split_once("://").is_some_and(|(_, own)| own.eq_ignore_ascii_case(host))
        }),
    };
    if is_own || is_listed {
        return Ok(());
    }
    let message = "a page of another site made the browser send this: cors.allow_origins lists the \
                   origins whose pages may";
    Err(Refusal::new(StatusCode::FORBIDDEN, ErrorCode::BadRequest, message))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn an_origin_is_own_by_the_browsers_word_or_by_the_host() {
        let listed = ["https://app.example".to_owned()];
        for (marks, passes) in [
            (&[][..], true),
            (&[("sec-fetch-site", "none"), ("origin", "https://other.example")], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://other.example")], true),
            (&[("sec-fetch-site", "same-site"), ("origin", "https://other.example")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://app.example")], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "null")], false),
            (&[("host", "a.example:80"), ("origin", "http://A.example:80")], true),
            (&[("host", "a.example"), ("origin", "http://a.example:80")], false),
            (&[("host", "a.example"), ("origin", "null")], false),
        ] {
            let headers = marks
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
                .collect();

            assert_eq!(check(&Method::GET, &headers, &listed).is_ok(), passes, "{marks:?}");
        }
    }
}
