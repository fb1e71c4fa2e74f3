//! `/graphql`, by method: each request is counted, logged, and answered even if its handler panics.

mod operations;
mod sse;
mod static_files;
mod graphiql;
mod console;
pub(crate) mod admin;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use opentelemetry::trace::TraceContextExt as _;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::access_log::{AccessLogEntry, CLIENT_CLOSED_REQUEST, Ended};
use super::caller_request::{IncomingRequest, request_span};
use super::client_app::ClientApp;
use super::pipeline::Reply;
use super::refusal::{Refusal, quoted};
use super::request::IncomingBody;
use super::request_id::{self, X_REQUEST_ID};
use super::security_headers;
use super::spans;
use super::state::Endpoint;
use super::websocket;

/// What an answer depends on beside its address.
const VARY: HeaderValue =
    HeaderValue::from_static("Accept, Accept-Encoding, X-Auth-Token, X-API-Key, Authorization");

/// The console.
pub(crate) async fn console_page(State(endpoint): State<Arc<Endpoint>>) -> Response {
    console::page(&endpoint.page_defaults.console)
}

/// A file that GraphiQL or the console loads.
pub(crate) async fn static_file(
    State(endpoint): State<Arc<Endpoint>>,
    uri: Uri,
    headers: HeaderMap,
) -> Option<Response> {
    let mut files = graphiql::FILES.into_iter().chain(console::FILES);
    files.find(|file| file.path == uri.path())?.response(&headers, &endpoint).await
}

/// Answers a request, logs it and counts it.
///
/// Cache hits are answered synchronously: no task, no timer, no logging span. Everything that may wait is
/// boxed, so that this future, which is moved for each request, stays small.
pub(crate) async fn handle<B: IncomingBody>(
    endpoint: Arc<Endpoint>,
    peer: Option<IpAddr>,
    request: Request<B>,
) -> Response {
    let (id, id_value) = request_id::of(request.headers());
    let app = ClientApp::of(request.headers());
    let span = spans::request(&request, &id, &app);
    let (parts, body) = request.into_parts();
    let incoming = IncomingRequest { parts, peer, id: Arc::clone(&id), app: app.clone() };
    let since = endpoint.clock.now();
    endpoint.metrics.in_flight.inc();
    let mut guard =
        RequestGuard { endpoint: &endpoint, id, app, span: span.clone(), since, done: false };
    // A panic in one request is an error for that request only.
    let answering = AssertUnwindSafe(answer(&endpoint, incoming, body)).catch_unwind();
    let answering = answering.instrument(span);
    let Reply { mut response, log } =
        answering.await.unwrap_or_else(|_| Reply::refused(&endpoint.metrics, Refusal::panicked()));
    guard.done(&log, response.status());
    finish(response.headers_mut(), id_value);
    response
}

async fn answer(
    endpoint: &Arc<Endpoint>,
    incoming: IncomingRequest,
    body: impl IncomingBody,
) -> Reply {
    let Ok(_permit) = endpoint.in_flight.try_acquire() else {
        let refusal = Refusal::unavailable("the gateway has too many requests under way");
        return Reply::refused(&endpoint.metrics, refusal);
    };
    let reply = match incoming.parts.method {
        Method::POST => operations::post(endpoint, incoming, body).await,
        _ => Box::pin(answer_without_body(endpoint, incoming)).await,
    };
    reply.unwrap_or_else(|refusal| Reply::refused(&endpoint.metrics, refusal))
}

async fn answer_without_body(
    endpoint: &Arc<Endpoint>,
    incoming: IncomingRequest,
) -> Result<Reply, Refusal> {
    match incoming.parts.method {
        Method::GET if is_upgrade(&incoming.parts.headers) => {
            let span = request_span(&incoming.id, None);
            websocket::upgrade(endpoint, incoming).instrument(span).await
        }
        Method::GET | Method::HEAD => operations::get(endpoint, incoming).await,
        Method::OPTIONS => Ok(Reply { response: options(), log: AccessLogEntry::default() }),
        other => Err(Refusal::method(
            "GET, HEAD, POST, OPTIONS",
            format!("{} is not a method of GraphQL over HTTP", quoted(other.as_str().as_bytes())),
        )),
    }
}

/// Logs and counts a request, even one that is dropped because its client has closed the connection.
struct RequestGuard<'e> {
    endpoint: &'e Endpoint,
    id: Arc<str>,
    app: ClientApp,
    span: Span,
    since: Instant,
    done: bool,
}

impl RequestGuard<'_> {
    fn done(&mut self, entry: &AccessLogEntry, status: StatusCode) {
        self.done = true;
        self.end(entry, status.as_u16());
    }

    fn end(&self, entry: &AccessLogEntry, status: u16) {
        let Endpoint { clock, metrics, .. } = self.endpoint;
        let took = clock.now().saturating_duration_since(self.since);
        spans::answered(&self.span, status);
        metrics.in_flight.dec();
        metrics.count(status, took);
        let context = self.span.context();
        let span = context.span();
        entry.log(&Ended {
            message: "answered",
            id: &self.id,
            span: span.span_context(),
            app: &self.app,
            status: Some(status),
            answers: None,
            took,
        });
    }
}

impl Drop for RequestGuard<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.end(&AccessLogEntry::default(), CLIENT_CLOSED_REQUEST);
        }
    }
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn options() -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, "GET, HEAD, POST, OPTIONS")]).into_response()
}

/// What every answer carries.
fn finish(headers: &mut HeaderMap, request_id: HeaderValue) {
    headers.insert(&X_REQUEST_ID, request_id);
    headers.append(header::VARY, VARY);
    security_headers::secure(headers);
}
