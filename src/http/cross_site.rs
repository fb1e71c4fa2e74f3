//! Requests that another site makes a browser send.
//!
//! A POST has to carry `application/json`, which no page of another site can send without asking
//! first (a CORS preflight). A GET needs no such question, so one that the browser itself marks as
//! coming from another site, and not by a script that CORS governs, is refused unless it carries a
//! header that needs one.

use axum::http::{HeaderMap, StatusCode, header};

use super::refusal::Refusal;
use crate::graphql::ErrorCode;

/// Any of these makes a browser ask first.
const CUSTOMARY: [&str; 3] =
    ["apollo-require-preflight", "x-apollo-operation-name", "graphql-preflight"];

/// Refuses a GET that another site has put into a page as a link, an image, a script or the like.
pub(crate) fn check_get(headers: &HeaderMap) -> Result<(), Refusal> {
    let mark = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let from_elsewhere =
        matches!(mark("sec-fetch-site"), Some(site) if !matches!(site, "same-origin" | "none"));
    let governed = matches!(mark("sec-fetch-mode"), Some("cors" | "same-origin" | "websocket"));
    let asked_first = CUSTOMARY.iter().any(|name| headers.contains_key(*name));
    if from_elsewhere && !governed && !asked_first {
        return Err(Refusal::bad_request(
            "another site made the browser send this: a GET from another site needs one of the \
             headers Apollo-Require-Preflight, X-Apollo-Operation-Name or GraphQL-Preflight",
        ));
    }
    Ok(())
}

/// Refuses a WebSocket that a page of another site opens: browsers ask nobody before they do that.
pub(crate) fn check_websocket(headers: &HeaderMap, allowed: &[String]) -> Result<(), Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text(header::ORIGIN) else { return Ok(()) };
    let own = text(header::HOST).is_some_and(|host| {
        origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    });
    if own || allowed.iter().any(|listed| listed == origin || listed == "*") {
        return Ok(());
    }
    let message = "pages of this origin may not open a WebSocket: cors.allow_origins lists those \
                   that may";
    Err(Refusal::new(StatusCode::FORBIDDEN, ErrorCode::BadRequest, message))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn only_what_another_site_made_a_browser_load_is_refused() {
        for (marks, passes) in [
            (&[][..], true),
            (&[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")], true),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "no-cors")], true),
            (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")], true),
            (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], false),
            (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], false),
            (&[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "cross-site"), ("graphql-preflight", "1")], true),
        ] {
            let headers = marks
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));

            let verdict = check_get(&headers.collect());

            assert_eq!(verdict.is_ok(), passes, "{marks:?}");
        }
    }
}
