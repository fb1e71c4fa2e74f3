//! GraphiQL, served from the binary. Built by `web/graphiql/build`; loads nothing from outside.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The page may load its own files and ask its own address, and nothing else. Styles are the
/// exception: the editor puts its own into the page as it goes.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; \
     style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// What the build leaves in the page for the server to fill in.
const PLACEHOLDER: &str = "__GRAPHIQL_DEFAULTS__";
const PAGE: &str = include_str!("graphiql/assets/index.html");

/// The files that the page loads: name, content type and content.
const FILES: [(&str, &str, &[u8]); 5] = [
    ("graphiql.js", JAVASCRIPT, include_bytes!("graphiql/assets/graphiql.js")),
    ("worker.js", JAVASCRIPT, include_bytes!("graphiql/assets/worker.js")),
    ("graphiql.css", "text/css; charset=utf-8", include_bytes!("graphiql/assets/graphiql.css")),
    ("icon.svg", "image/svg+xml", include_bytes!("graphiql/assets/icon.svg")),
    // The licences of what the others are made of.
    ("notices.txt", "text/plain; charset=utf-8", include_bytes!("graphiql/assets/notices.txt")),
];
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// What GraphiQL starts with.
#[derive(Clone, Debug, Default, Serialize)]
pub struct GraphiqlDefaults {
    /// The query in the editor.
    pub query: Option<String>,
    /// The headers in the editor, as JSON text. Only the demo fills them in.
    pub headers: Option<String>,
}

/// The page.
pub(crate) fn page(defaults: &GraphiqlDefaults) -> Response {
    let defaults = serde_json::to_string(defaults).unwrap_or_default();
    let page = PAGE.replace(PLACEHOLDER, &attribute(&defaults));
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, page).into_response()
}

/// One of the page's files, by name.
pub(crate) fn file(name: &str, request: &HeaderMap) -> Option<Response> {
    let (_, content_type, content) = FILES.iter().find(|(file, ..)| *file == name).copied()?;
    let etag = format!("\"{}\"", hex::encode(Sha256::digest(content)));
    let known = request
        .get(header::IF_NONE_MATCH)
        .is_some_and(|tags| tags.to_str().is_ok_and(|tags| tags.contains(&etag)));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Names stay the same from release to release, so browsers ask whether they still have it.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    if known {
        return Some((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    Some((headers, Body::from(content)).into_response())
}

/// Text as the value of an HTML attribute.
fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the files of the page are, seen from the page.
    const ASSETS: &str = "graphql/assets/";

    #[test]
    fn every_file_the_page_names_is_there() {
        let named: Vec<&str> =
            PAGE.split('"').filter_map(|attribute| attribute.strip_prefix(ASSETS)).collect();

        assert!(!named.is_empty());
        for name in named {
            assert!(file(name, &HeaderMap::new()).is_some(), "{name} is missing");
        }
    }

    #[test]
    fn what_the_page_starts_with_cannot_break_out_of_its_attribute() {
        assert_eq!(attribute(r#"{"a":"<'&>"}"#), "{&quot;a&quot;:&quot;&lt;'&amp;&gt;&quot;}");
    }
}
