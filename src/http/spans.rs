//! The spans of requests and of their operations, with the attributes of OpenTelemetry's conventions for
//! HTTP servers and for GraphQL. No attribute holds a document, a variable, a query string or a caller.

use axum::http::uri::Scheme;
use axum::http::{Method, Request};
use opentelemetry::Context;
use opentelemetry::trace::SpanContext;
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::access_log::{CLIENT_CLOSED_REQUEST, code_of, shown_name};
use super::caller_request::ClientApp;
use super::response::OperationResponse;
use crate::spans::{TARGET, extract, fail};

/// The span of a request for the endpoint, in the trace that its headers name.
pub(crate) fn request<B>(request: &Request<B>, id: &str, app: &ClientApp) -> Span {
    if !tracing::span_enabled!(target: TARGET, tracing::Level::INFO) {
        return Span::none();
    }
    let path = request.uri().path();
    let method = method(request.method());
    let span = info_span!(
        target: TARGET,
        parent: None,
        "request",
        otel.name = format!("{} {path}", if method == OTHER { "HTTP" } else { method }),
        otel.kind = "server",
        http.request.method = method,
        http.route = path,
        url.path = path,
        url.scheme = scheme(request),
        gateway.request.id = id,
        graphql.client.name = app.name.as_deref(),
        graphql.client.version = app.version.as_deref(),
    );
    below(span, extract(request.headers()))
}

/// Records the response's status.
pub(crate) fn answered(span: &Span, status: u16) {
    if status == CLIENT_CLOSED_REQUEST {
        // There was no response.
        fail(span, "client_closed_request");
        return;
    }
    span.set_attribute("http.response.status_code", i64::from(status));
    if status >= 500 {
        fail(span, &status.to_string());
    }
}

/// The span of an operation of the current request.
pub(crate) fn operation(name: Option<&str>) -> Span {
    below(operation_span(name, None, &ClientApp::default()), Context::current())
}

/// The span of an operation of a WebSocket. It starts a trace, because a socket may live for days, with a
/// link to the request that opened the socket.
pub(crate) fn socket_operation(upgrade: &SpanContext, name: Option<&str>, app: &ClientApp) -> Span {
    let span = operation_span(name, Some("server"), app);
    span.add_link(upgrade.clone());
    span
}

fn operation_span(name: Option<&str>, kind: Option<&str>, app: &ClientApp) -> Span {
    info_span!(
        target: TARGET,
        // A parent in `tracing` is exported after its children, and an event stream may last for days.
        parent: None,
        "GraphQL operation",
        otel.kind = kind,
        graphql.operation.name = name.map(shown_name),
        graphql.client.name = app.name.as_deref(),
        graphql.client.version = app.version.as_deref(),
    )
}

/// Records the outcome of an operation, or of one event of it.
pub(crate) fn operation_answered(span: &Span, response: &OperationResponse) {
    if let Some(error) = response.result.errors.first() {
        fail(span, &code_of(error));
    }
}

fn below(span: Span, parent: Context) -> Span {
    // Fails only for a span that is disabled.
    let _ = span.set_parent(parent);
    span
}

const OTHER: &str = "_OTHER";

/// The method's name where it is one of the standards': a client may send any word.
fn method(method: &Method) -> &'static str {
    const NAMES: [&str; 9] =
        ["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE"];
    NAMES.into_iter().find(|name| method == *name).unwrap_or(OTHER)
}

/// `https` where this listener ended TLS, else the scheme of the request's address: a proxy may have ended
/// TLS.
fn scheme<B>(request: &Request<B>) -> Option<&str> {
    let seen = request.extensions().get::<Scheme>().or_else(|| request.uri().scheme());
    seen.map(Scheme::as_str)
}
