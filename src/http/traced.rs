//! The spans of requests and of their operations, as OpenTelemetry's conventions for HTTP servers and for
//! GraphQL have them. Documents, variables, queries of addresses, callers and their credentials are not in
//! them.

use axum::http::uri::{Authority, Scheme};
use axum::http::{Method, Request, Version, header};

use super::log_line::{code_of, shown_name};
use super::response::Served;
use crate::graphql::{Answer, ErrorCode};
use crate::trace::{Begun, Kind, Span, Trace, Tracer};

/// What is called so by clients that hung up.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// The longest address of this server, as its clients write it, that is kept.
const LONGEST_ADDRESS: usize = 255;

/// The span of a request for the endpoint.
pub(crate) fn request<B>(tracer: &Tracer, request: &Request<B>, id: &str) -> Span {
    tracer.accept(request.headers(), || {
        let path = request.uri().path();
        let method = method(request.method());
        let authority = authority(request);
        let address = authority.as_ref().map(Authority::host);
        let address = address.filter(|address| address.len() <= LONGEST_ADDRESS);
        let begun = Begun {
            name: format!("{} {path}", if method == OTHER { "HTTP" } else { method }).into(),
            kind: Kind::Server,
            attributes: Vec::with_capacity(10),
        };
        begun
            .with("http.request.method", method)
            .with("http.route", path.to_owned())
            .with("url.path", path.to_owned())
            .with_some("url.scheme", scheme(request))
            .with_some("server.address", address.map(str::to_owned))
            .with_some(
                "server.port",
                authority.as_ref().and_then(Authority::port_u16).map(i64::from),
            )
            .with_some("network.protocol.version", version(request.version()))
            .with("gateway.request.id", id.to_owned())
    })
}

/// Says what a request was answered with.
pub(crate) fn answered(span: &Span, status: u16) {
    let trace = span.trace();
    if status == CLIENT_CLOSED_REQUEST {
        // Nothing was answered.
        trace.fail("client_closed_request");
        return;
    }
    trace.tell("http.response.status_code", i64::from(status));
    if status >= 500 {
        trace.fail(&status.to_string());
    }
}

/// The span of an operation of a request.
pub(crate) fn operation(request: &Trace, name: Option<&str>) -> Span {
    request.begin(|| begun(name, Kind::Internal))
}

/// The span of an operation of a socket. It begins a trace of its own: a socket may live for days.
pub(crate) fn socket_operation(upgrade: &Trace, name: Option<&str>) -> Span {
    upgrade.begin_apart(|| begun(name, Kind::Server))
}

/// Says what became of an operation, of one of its answers.
pub(crate) fn told(span: &Span, served: &Served) {
    let trace = span.trace();
    if !trace.is_kept() {
        return;
    }
    match &served.answer {
        Answer::Written(_) => trace.tell_operation("query"),
        Answer::NotAQuery => trace.fail(ErrorCode::BadRequest.as_str()),
        Answer::Executed(_) | Answer::Refused(_) => {}
    }
    if let Some(error) = served.errors().first() {
        trace.fail(&code_of(error));
    }
}

fn begun(name: Option<&str>, kind: Kind) -> Begun {
    let begun = Begun { name: "GraphQL operation".into(), kind, attributes: Vec::new() };
    begun.with_some("graphql.operation.name", name.map(shown_name))
}

const OTHER: &str = "_OTHER";

/// The method's name where it is one of the standards': a client may send any word.
fn method(method: &Method) -> &'static str {
    let known = [
        Method::GET,
        Method::POST,
        Method::HEAD,
        Method::OPTIONS,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::CONNECT,
        Method::TRACE,
    ];
    let names = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE"];
    let found = known.iter().zip(names).find(|(known, _)| *known == method);
    found.map_or(OTHER, |(_, name)| name)
}

/// TLS where the request came over it, else what the client says: what stands before the gateway may have
/// taken TLS off.
fn scheme<B>(request: &Request<B>) -> Option<String> {
    let seen = request.extensions().get::<Scheme>().or_else(|| request.uri().scheme());
    seen.map(Scheme::to_string)
}

/// The server as its client names it.
fn authority<B>(request: &Request<B>) -> Option<Authority> {
    let of_uri = request.uri().authority().cloned();
    of_uri.or_else(|| request.headers().get(header::HOST)?.as_bytes().try_into().ok())
}

fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}
