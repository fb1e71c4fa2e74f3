//! Pages in the binary, GraphiQL and the console, and the files that they load. Nothing is loaded from outside.
//!
//! `web/graphiql/build` builds GraphiQL. The console is built from `web/console`.

use std::io;
use std::sync::LazyLock;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use moka::sync::Cache;

use crate::config::GraphqlConfig;
use crate::domain::ErrorCode;
use crate::http::compression::{self, Coding};
use crate::http::etag;
use crate::http::refusal::Refusal;
use crate::http::state::{Endpoint, PageDefaults};

const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

/// GraphiQL may load its own files and ask its own address, and nothing else. Styles are the exception: the
/// editor puts its own into the page as it goes.
const GRAPHIQL_POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; \
     style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const GRAPHIQL_FILES: [StaticFile; 5] = [
    file("/graphql/assets/graphiql.js", JS, include_bytes!("../graphiql/assets/graphiql.js")),
    file("/graphql/assets/worker.js", JS, include_bytes!("../graphiql/assets/worker.js")),
    file("/graphql/assets/graphiql.css", CSS, include_bytes!("../graphiql/assets/graphiql.css")),
    file("/graphql/assets/icon.svg", SVG, include_bytes!("../graphiql/assets/icon.svg")),
    // The licences of the software in the other files.
    file("/graphql/assets/notices.txt", TEXT, include_bytes!("../graphiql/assets/notices.txt")),
];

/// The console may load its own files and ask its own address.
const CONSOLE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";
/// Videos come from object storage, under host names that only their links tell.
const VIDEOS: &str = "media-src https:";
/// The demo's videos come from the simulator, over plain HTTP on this machine.
const DEMO_VIDEOS: &str = "media-src https: http://127.0.0.1:*";
const CONSOLE_FILES: [StaticFile; 4] = [
    file("/assets/console.js", JS, include_bytes!("../console/assets/console.js")),
    file("/assets/console.css", CSS, include_bytes!("../console/assets/console.css")),
    file("/assets/icon.svg", SVG, include_bytes!("../console/assets/icon.svg")),
    // The licences of the software in the other files.
    file("/assets/notices.txt", TEXT, include_bytes!("../console/assets/notices.txt")),
];

/// A file in the binary.
#[derive(Clone, Copy)]
struct StaticFile {
    /// The path of its address.
    path: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

/// A file in a coding, and its validator.
#[derive(Clone)]
struct EncodedFile {
    body: Bytes,
    etag: HeaderValue,
}

const fn file(
    path: &'static str,
    content_type: &'static str,
    content: &'static [u8],
) -> StaticFile {
    StaticFile { path, content_type, content }
}

/// Answers a request for anything but the endpoint.
///
/// # Errors
/// When there is nothing at its path, or its method is not one for files.
pub(crate) async fn answer(endpoint: &Endpoint, request: &Parts) -> Result<Response, Refusal> {
    let GraphqlConfig { graphiql, console, .. } = endpoint.parts.graphql;
    let is_console = console && request.uri.path() == "/";
    let graphiql_files = graphiql.then_some(GRAPHIQL_FILES).into_iter().flatten();
    let mut files = graphiql_files.chain(console.then_some(CONSOLE_FILES).into_iter().flatten());
    let file = files.find(|file| file.path == request.uri.path());
    if !is_console && file.is_none() {
        let message = "there is nothing here: the GraphQL endpoint is /graphql";
        return Err(Refusal::new(StatusCode::NOT_FOUND, ErrorCode::BadRequest, message));
    }
    if !matches!(request.method, Method::GET | Method::HEAD) {
        let message = "this file is only read: GET and HEAD are allowed";
        return Err(Refusal::method("GET, HEAD", message));
    }
    match file {
        Some(file) => file.response(&request.headers, endpoint).await,
        None => Ok(console_page(&endpoint.parts.page_defaults)),
    }
}

/// GraphiQL.
pub(super) fn graphiql(defaults: &PageDefaults) -> Response {
    let html = include_str!("../graphiql/assets/index.html");
    page(html.replace("__GRAPHIQL_DEFAULTS__", &attribute(defaults)), GRAPHIQL_POLICY)
}

/// The console.
fn console_page(defaults: &PageDefaults) -> Response {
    let html = include_str!("../console/index.html");
    let videos = if defaults.token.is_some() { DEMO_VIDEOS } else { VIDEOS };
    let policy = format!("{CONSOLE_POLICY}; {videos}");
    page(html.replace("__CONSOLE_DEFAULTS__", &attribute(defaults)), &policy)
}

/// A page under a content security policy.
fn page(html: String, policy: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, html).into_response()
}

/// What a page starts with, as JSON in an HTML attribute.
fn attribute(defaults: &PageDefaults) -> String {
    let json = serde_json::to_string(defaults).unwrap_or_default();
    json.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

impl StaticFile {
    /// Answers with the file. The first request for it in a coding hashes and compresses it.
    async fn response(self, request: &HeaderMap, endpoint: &Endpoint) -> Result<Response, Refusal> {
        static ENCODED: LazyLock<Cache<(&str, Option<Coding>), EncodedFile>> =
            LazyLock::new(|| Cache::new(100));
        let Self { path, content_type, content } = self;
        let may_compress = endpoint.parts.graphql.compression;
        let coding = may_compress.then(|| compression::choose(request, content)).flatten();
        let encode = move || -> io::Result<EncodedFile> {
            let compressed = coding.map(|coding| coding.compress(content)).transpose()?;
            let body = compressed.unwrap_or(Bytes::from_static(content));
            Ok(EncodedFile { body, etag: etag::etag(content, coding.map(Coding::name)) })
        };
        let encode = move || ENCODED.try_get_with((path, coding), encode);
        let encoded = compression::run(&endpoint.parts.tasks, content.len(), encode).await;
        let encoded = encoded.ok().and_then(Result::ok);
        let EncodedFile { body, etag } = encoded.ok_or_else(Refusal::panicked)?;
        let is_known = etag::has(request, &etag);
        let mut headers = HeaderMap::from_iter([
            (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
            // Names stay the same from release to release, so browsers have to revalidate.
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::VARY, HeaderValue::from_static("Accept-Encoding")),
            (header::ETAG, etag),
        ]);
        if is_known {
            return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
        }
        headers.extend(coding.map(|coding| (header::CONTENT_ENCODING, coding.header())));
        Ok((headers, Body::from(body)).into_response())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_starts_with_cannot_break_out_of_its_attribute() {
        let query = Some("<'&>".to_owned());

        let attribute = attribute(&PageDefaults { query, ..PageDefaults::default() });

        assert!(
            attribute.starts_with("{&quot;query&quot;:&quot;&lt;'&amp;&gt;&quot;,"),
            "{attribute}"
        );
    }
}
