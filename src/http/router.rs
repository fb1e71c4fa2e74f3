//! The main listener: the way into `/graphql` and the pages, and out again with what every answer carries.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderValue, Method, Request, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use opentelemetry::trace::TraceContextExt as _;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::access_log::{AccessLogEntry, CLIENT_CLOSED_REQUEST, Ended};
use super::caller_request::{ClientApp, IncomingRequest, X_REQUEST_ID, request_id};
use super::handlers::admin::Reasons;
use super::handlers::{self, pages};
use super::refusal::Refusal;
use super::security_headers::secure;
use super::server::Serve;
use super::setting_file::FileError;
use super::spans;
use super::state::{Endpoint, MainParts};
use crate::config::{GraphqlConfig, LimitsConfig, Live, SubscriptionsConfig};

const GRAPHQL: &str = "/graphql";
/// What an answer depends on beside its address.
const VARY: HeaderValue =
    HeaderValue::from_static("Accept, Accept-Encoding, X-Auth-Token, X-API-Key, Authorization");

/// What the main listener serves. Clones share it.
#[derive(Clone)]
pub struct Main(Live<Endpoint>);

/// The endpoint under other settings.
pub struct MainChange(Endpoint);

impl Main {
    /// What the main listener serves.
    ///
    /// # Errors
    /// When the trusted documents cannot be read.
    pub fn new(parts: MainParts) -> Result<Self, FileError> {
        Ok(Self(Live::new(Endpoint::new(parts)?)))
    }

    /// Updates the gauges of readiness, caches, limits and streams.
    pub fn observe(&self, reasons: &Reasons) {
        let endpoint = self.0.load();
        let metrics = &endpoint.parts.metrics;
        metrics.readiness(reasons);
        let (documents, document_bytes) = endpoint.engine.documents();
        metrics.documents.set(documents);
        metrics.document_bytes.set(document_bytes);
        endpoint.parts.records.metrics.set_size("answers", endpoint.responses.size());
        metrics.in_flight_limit.set(endpoint.parts.limits.max_in_flight as u64);
        metrics.streams.set(endpoint.connections.open() as u64);
    }

    /// Prepares other settings.
    ///
    /// # Errors
    /// When the trusted documents cannot be read.
    pub fn prepare(
        &self,
        limits: &LimitsConfig,
        subscriptions: &SubscriptionsConfig,
        graphql: &GraphqlConfig,
    ) -> Result<MainChange, FileError> {
        self.0.load().changed(limits, subscriptions, graphql).map(MainChange)
    }

    /// Serves new requests under other settings.
    pub fn change(&self, MainChange(endpoint): MainChange) {
        endpoint.resize_permits();
        self.0.set(endpoint);
    }

    /// Answers a request. One for the endpoint is logged and counted, and answered even if its handler panics.
    async fn handle(
        &self,
        endpoint: &Endpoint,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Response {
        if request.uri().path() != GRAPHQL {
            return Box::pin(page(endpoint, request)).await;
        }
        let (id, id_value) = request_id(request.headers());
        let app = ClientApp::of(request.headers());
        let span = spans::request(&request, &id, &app);
        let (parts, body) = request.into_parts();
        let incoming = IncomingRequest { parts, peer, id: Arc::clone(&id), app: app.clone() };
        let mut guard = RequestGuard::new(endpoint, id, app, span.clone());
        let answer = {
            // Pinned before it is wrapped, because it is large.
            let answering =
                pin!(handlers::answer(&self.0, endpoint, incoming, body, &mut guard.log));
            // A panic in one request is an error for that request only.
            AssertUnwindSafe(answering).catch_unwind().instrument(span).await
        };
        let answer = answer.unwrap_or_else(|_| Err(Refusal::panicked()));
        let mut response = answer.unwrap_or_else(|refusal| {
            let code = refusal.code().as_str().to_owned();
            guard.log.add_error(code, &endpoint.parts.metrics);
            refusal.into_response()
        });
        guard.status = response.status().as_u16();
        let headers = response.headers_mut();
        headers.insert(&X_REQUEST_ID, id_value);
        headers.append(header::VARY, VARY);
        secure(headers);
        response
    }
}

impl Serve for Main {
    async fn serve(&self, peer: SocketAddr, request: Request<Incoming>) -> Response {
        let (endpoint, peer) = (self.0.get(), peer.ip());
        let is_head = request.method() == Method::HEAD;
        // Boxed: hyper and the connection move it several times, and it is large.
        let handle = |request| Box::pin(self.handle(&endpoint, peer, request));
        let mut response = match &endpoint.cors {
            None => handle(request).await,
            Some(cors) => {
                let service = service_fn(|request| handle(request).map(Ok::<_, Infallible>));
                let answer = cors.layer(service).oneshot(request).await;
                answer.unwrap_or_else(|never| match never {})
            }
        };
        // hyper leaves out the body itself in HTTP/1, but not in HTTP/2.
        if is_head && let Some(length @ 1..) = response.body().size_hint().exact() {
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            *response.body_mut() = Body::empty();
        }
        response
    }
}

/// Answers a request for a page or one of its files.
async fn page(endpoint: &Endpoint, request: Request<Incoming>) -> Response {
    let (parts, _) = request.into_parts();
    let answer = AssertUnwindSafe(pages::answer(endpoint, &parts)).catch_unwind().await;
    let answer = answer.unwrap_or_else(|_| Err(Refusal::panicked()));
    let mut response = answer.unwrap_or_else(Refusal::into_response);
    secure(response.headers_mut());
    response
}

/// Logs and counts a request at its end, even one that is dropped because its client has closed the connection.
struct RequestGuard<'e> {
    endpoint: &'e Endpoint,
    id: Arc<str>,
    app: ClientApp,
    span: Span,
    since: Instant,
    log: AccessLogEntry,
    status: u16,
}

impl<'e> RequestGuard<'e> {
    fn new(endpoint: &'e Endpoint, id: Arc<str>, app: ClientApp, span: Span) -> Self {
        endpoint.parts.metrics.in_flight.inc();
        let (since, log) = (endpoint.parts.clock.now(), AccessLogEntry::default());
        Self { endpoint, id, app, span, since, log, status: CLIENT_CLOSED_REQUEST }
    }
}

impl Drop for RequestGuard<'_> {
    fn drop(&mut self) {
        let MainParts { clock, metrics, .. } = &self.endpoint.parts;
        let took = clock.now().saturating_duration_since(self.since);
        spans::answered(&self.span, self.status);
        metrics.in_flight.dec();
        metrics.count(self.status, took);
        let context = self.span.context();
        let span = context.span();
        self.log.log(&Ended {
            message: "answered",
            id: &self.id,
            span: span.span_context(),
            app: &self.app,
            status: Some(self.status),
            answers: None,
            took,
        });
    }
}
