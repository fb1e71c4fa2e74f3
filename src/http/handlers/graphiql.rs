//! GraphiQL, served from the binary. Built by `web/graphiql/build`; loads nothing from outside.

use std::sync::OnceLock;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use tokio_util::task::TaskTracker;

use crate::http::compression::{Coding, Effort, LEAST};
use crate::http::state::GraphiqlDefaults;
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

/// One of the page's files, by name, in a coding.
pub(crate) async fn file(
    name: &str,
    request: &HeaderMap,
    coding: Option<Coding>,
    tasks: &TaskTracker,
) -> Option<Response> {
    let place = FILES.iter().position(|(file, ..)| *file == name)?;
    let (_, content_type, content) = FILES.get(place).copied()?;
    let coding = coding.filter(|_| content.len() >= LEAST);
    let digest = digests(tasks).await?.get(place)?;
    let wanted = etag::etag(digest, coding);
    if etag::has(request, &wanted) {
        return Some((StatusCode::NOT_MODIFIED, headers(content_type, &wanted)).into_response());
    }
    if let Some(coding) = coding
        && let Some(body) = compressed(place, coding, tasks).await
    {
        let mut headers = headers(content_type, &wanted);
        headers.insert(header::CONTENT_ENCODING, coding.header());
        return Some((headers, Body::from(body)).into_response());
    }
    let headers = headers(content_type, &etag::etag(digest, None));
    Some((headers, Body::from(content)).into_response())
}

/// The digest of each file. The files are part of the binary, so they are read once.
async fn digests(tasks: &TaskTracker) -> Option<&'static [String; FILES.len()]> {
    static DIGESTS: OnceLock<[String; FILES.len()]> = OnceLock::new();
    if let Some(digests) = DIGESTS.get() {
        return Some(digests);
    }
    let bytes = FILES.iter().map(|(.., content)| content.len()).sum();
    let hash = || FILES.map(|(.., content)| hex::encode(Sha256::digest(content)));
    let digests = heavy::run(tasks, bytes, hash).await.ok()?;
    Some(DIGESTS.get_or_init(|| digests))
}

fn headers(content_type: &'static str, etag: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Names stay the same from release to release, so browsers have to revalidate.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    headers
}

/// A compressed file. The first request for it compresses it.
async fn compressed(place: usize, coding: Coding, tasks: &TaskTracker) -> Option<Bytes> {
    static DONE: [[OnceLock<Bytes>; Coding::ALL.len()]; FILES.len()] =
        [const { [const { OnceLock::new() }; Coding::ALL.len()] }; FILES.len()];
    let (_, _, content) = FILES.get(place).copied()?;
    let column = Coding::ALL.iter().position(|one| *one == coding)?;
    let done = DONE.get(place)?.get(column)?;
    if let Some(content) = done.get() {
        return Some(content.clone());
    }
    let compress = move || coding.compress(content, Effort::Fair);
    let content = heavy::run(tasks, content.len(), compress).await.ok()?.ok()?;
    Some(done.get_or_init(|| content).clone())
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

    #[tokio::test]
    async fn every_file_the_page_names_is_there() {
        let named: Vec<&str> =
            PAGE.split('"').filter_map(|attribute| attribute.strip_prefix(ASSETS)).collect();

        assert!(!named.is_empty());
        for name in named {
            let found = file(name, &HeaderMap::new(), None, &TaskTracker::new()).await;
            assert!(found.is_some(), "{name} is missing");
        }
    }

    #[test]
    fn what_the_page_starts_with_cannot_break_out_of_its_attribute() {
        assert_eq!(attribute(r#"{"a":"<'&>"}"#), "{&quot;a&quot;:&quot;&lt;'&amp;&gt;&quot;}");
    }
}
