//! GraphiQL, served from the binary. Built by `web/graphiql/build`; loads nothing from outside.

use std::io;
use std::sync::LazyLock;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use moka::sync::Cache;

use crate::http::compression::{self, Coding};
use crate::http::state::{Endpoint, GraphiqlDefaults};
use crate::http::{etag, heavy};

/// The page may load its own files and ask its own address, and nothing else. Styles are the
/// exception: the editor puts its own into the page as it goes.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; \
     style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// A placeholder in the page that the server fills in.
const PLACEHOLDER: &str = "__GRAPHIQL_DEFAULTS__";
const PAGE: &str = include_str!("../graphiql/assets/index.html");

/// The files that the page loads: name, content type and content.
const FILES: [(&str, &str, &[u8]); 5] = [
    ("graphiql.js", JAVASCRIPT, include_bytes!("../graphiql/assets/graphiql.js")),
    ("worker.js", JAVASCRIPT, include_bytes!("../graphiql/assets/worker.js")),
    ("graphiql.css", "text/css; charset=utf-8", include_bytes!("../graphiql/assets/graphiql.css")),
    ("icon.svg", "image/svg+xml", include_bytes!("../graphiql/assets/icon.svg")),
    // The licences of the software in the other files.
    ("notices.txt", "text/plain; charset=utf-8", include_bytes!("../graphiql/assets/notices.txt")),
];
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

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

/// A file in a coding, and its validator.
#[derive(Clone)]
struct EncodedFile {
    body: Bytes,
    etag: HeaderValue,
}

/// One of the page's files, by name. The first request for it in a coding hashes and compresses it.
pub(crate) async fn file(name: &str, request: &HeaderMap, endpoint: &Endpoint) -> Option<Response> {
    static ENCODED: LazyLock<Cache<(&str, Option<Coding>), EncodedFile>> =
        LazyLock::new(|| Cache::new(100));
    let (name, content_type, content) = FILES.into_iter().find(|(file, ..)| *file == name)?;
    let coding = endpoint.compression.then(|| compression::choose(request, content)).flatten();
    let encode = move || -> io::Result<EncodedFile> {
        let compressed = coding.map(|coding| coding.compress(content)).transpose()?;
        let body = compressed.unwrap_or(Bytes::from_static(content));
        Ok(EncodedFile { body, etag: etag::etag(content, coding) })
    };
    let encode = move || ENCODED.try_get_with((name, coding), encode);
    let EncodedFile { body, etag } =
        heavy::run(&endpoint.tasks, content.len(), encode).await.ok()?.ok()?;
    let is_known = etag::has(request, &etag);
    let mut headers = HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        // Names stay the same from release to release, so browsers have to revalidate.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::VARY, HeaderValue::from_static("Accept-Encoding")),
        (header::ETAG, etag),
    ]);
    if is_known {
        return Some((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    headers.extend(coding.map(|coding| (header::CONTENT_ENCODING, coding.header())));
    Some((headers, Body::from(body)).into_response())
}

/// Text as the value of an HTML attribute.
fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_starts_with_cannot_break_out_of_its_attribute() {
        assert_eq!(attribute(r#"{"a":"<'&>"}"#), "{&quot;a&quot;:&quot;&lt;'&amp;&gt;&quot;}");
    }
}
