//! Pages in the binary and the files that they load. Nothing is loaded from outside.

use std::io;
use std::sync::LazyLock;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use moka::sync::Cache;
use serde::Serialize;

use crate::http::compression::{self, Coding};
use crate::http::state::Endpoint;
use crate::http::{etag, heavy};

pub(super) const JS: &str = "text/javascript; charset=utf-8";
pub(super) const CSS: &str = "text/css; charset=utf-8";
pub(super) const SVG: &str = "image/svg+xml";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// A page whose placeholder the server fills in.
pub(super) struct StaticPage {
    pub(super) html: &'static str,
    pub(super) placeholder: &'static str,
}

impl StaticPage {
    /// The page with what it starts with, as JSON in an attribute, under a content security policy.
    pub(super) fn response(&self, defaults: &impl Serialize, policy: &str) -> Response {
        let defaults = serde_json::to_string(defaults).unwrap_or_default();
        let page = self.html.replace(self.placeholder, &attribute(&defaults));
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        (headers, page).into_response()
    }
}

/// A file in the binary.
#[derive(Clone, Copy)]
pub(super) struct StaticFile {
    /// The path of its address.
    pub(super) path: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

/// A file in a coding, and its validator.
#[derive(Clone)]
struct EncodedFile {
    body: Bytes,
    etag: HeaderValue,
}

pub(super) const fn file(
    path: &'static str,
    content_type: &'static str,
    content: &'static [u8],
) -> StaticFile {
    StaticFile { path, content_type, content }
}

impl StaticFile {
    /// Answers with the file. The first request for it in a coding hashes and compresses it.
    pub(super) async fn response(
        self,
        request: &HeaderMap,
        endpoint: &Endpoint,
    ) -> Option<Response> {
        static ENCODED: LazyLock<Cache<(&str, Option<Coding>), EncodedFile>> =
            LazyLock::new(|| Cache::new(100));
        let Self { path, content_type, content } = self;
        let coding =
            endpoint.graphql.compression.then(|| compression::choose(request, content)).flatten();
        let encode = move || -> io::Result<EncodedFile> {
            let compressed = coding.map(|coding| coding.compress(content)).transpose()?;
            let body = compressed.unwrap_or(Bytes::from_static(content));
            Ok(EncodedFile { body, etag: etag::etag(content, coding) })
        };
        let encode = move || ENCODED.try_get_with((path, coding), encode);
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
}

/// Text as the value of an HTML attribute.
fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_starts_with_cannot_break_out_of_its_attribute() {
        assert_eq!(attribute(r#"{"a":"<'&>"}"#), "{&quot;a&quot;:&quot;&lt;'&amp;&gt;&quot;}");
    }
}
