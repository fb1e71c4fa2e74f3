//! `/graphql`, by method: operations in the parameters of a GET or the body of a POST, event streams, sockets.

mod sse;
pub(crate) mod pages;
pub(crate) mod admin;

use std::pin::pin;

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::poll_immediate;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::access_log::AccessLogEntry;
use super::cache_headers::CacheDirectives;
use super::caller_request::{CallerRequest, IncomingRequest, RequestOrigin};
use super::csrf;
use super::negotiation::{MEDIA_TYPES, MEDIA_TYPES_WITH_HTML, MediaType, negotiate};
use super::pipeline;
use super::refusal::{Refusal, quoted};
use super::request;
use super::response_cache::ResponseKey;
use super::state::Endpoint;
use super::websocket;
use crate::config::{LimitsConfig, Live};
use crate::domain::ErrorCode;

/// With the value `1` it asks for a response that says where all that was read for it came from. Only if
/// introspection is on.
static X_GATEWAY_EXPLAIN: HeaderName = HeaderName::from_static("x-gateway-explain");
const METHODS: &str = "GET, HEAD, POST, OPTIONS";

/// Answers a request with the endpoint that is current as it arrives. Everything that may wait is boxed, so that
/// this future, which is moved for each request, stays small.
///
/// # Errors
/// When the request is refused.
pub(crate) async fn answer(
    endpoints: &Live<Endpoint>,
    endpoint: &Endpoint,
    incoming: IncomingRequest,
    body: Incoming,
    log: &mut AccessLogEntry,
) -> Result<Response, Refusal> {
    let Ok(_permit) = endpoint.in_flight.try_acquire() else {
        return Err(Refusal::unavailable("the gateway has too many requests under way"));
    };
    match incoming.parts.method {
        Method::POST => post(endpoint, incoming, body, log).await,
        _ => Box::pin(answer_without_body(endpoints, endpoint, incoming, log)).await,
    }
}

async fn answer_without_body(
    endpoints: &Live<Endpoint>,
    endpoint: &Endpoint,
    incoming: IncomingRequest,
    log: &mut AccessLogEntry,
) -> Result<Response, Refusal> {
    match incoming.parts.method {
        Method::GET if is_upgrade(&incoming.parts.headers) => {
            websocket::upgrade(endpoints, incoming, log).await
        }
        Method::GET | Method::HEAD => get(endpoint, incoming, log).await,
        Method::OPTIONS => Ok((StatusCode::NO_CONTENT, [(header::ALLOW, METHODS)]).into_response()),
        other => Err(Refusal::method(
            METHODS,
            format!("{} is not a method of GraphQL over HTTP", quoted(other.as_str().as_bytes())),
        )),
    }
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

async fn get(
    endpoint: &Endpoint,
    incoming: IncomingRequest,
    log: &mut AccessLogEntry,
) -> Result<Response, Refusal> {
    let offered = if endpoint.parts.graphql.graphiql { MEDIA_TYPES_WITH_HTML } else { MEDIA_TYPES };
    let media_type = negotiate(&incoming.parts.headers, offered)?;
    if media_type == MediaType::Html {
        return Ok(pages::graphiql(&endpoint.parts.page_defaults));
    }
    let uri = incoming.parts.uri.clone();
    let request = authenticate(endpoint, incoming, media_type, log).await?;
    let bytes = Bytes::copy_from_slice(uri.query().unwrap_or_default().as_bytes());
    execute(endpoint, &request, bytes, log).await
}

async fn post(
    endpoint: &Endpoint,
    incoming: IncomingRequest,
    body: Incoming,
    log: &mut AccessLogEntry,
) -> Result<Response, Refusal> {
    let media_type = negotiate(&incoming.parts.headers, MEDIA_TYPES)?;
    // Before the body is read: unauthenticated callers get no memory.
    let request = authenticate(endpoint, incoming, media_type, log).await?;
    let bytes = read_body(endpoint, &request, body).await?;
    execute(endpoint, &request, bytes, log).await
}

/// Refuses cross-site requests and authenticates the caller, who is named in the access log.
async fn authenticate(
    endpoint: &Endpoint,
    incoming: IncomingRequest,
    media_type: MediaType,
    log: &mut AccessLogEntry,
) -> Result<CallerRequest, Refusal> {
    let IncomingRequest { parts: Parts { method, headers, .. }, peer, id, app } = incoming;
    csrf::check(&method, &headers, &endpoint.parts.graphql.allow_origins)?;
    let credentials = endpoint.parts.callers.credentials(&headers)?;
    let caller = endpoint.parts.callers.authenticate(credentials, peer).await?;
    log.caller.clone_from(&caller.name);
    let cache = CacheDirectives::read(&headers);
    // The contents and ages of a cache are for developers of pages, not for users.
    let explain = endpoint.engine.shows_itself()
        && headers.get(&X_GATEWAY_EXPLAIN).is_some_and(|value| value == "1");
    let origin = RequestOrigin { caller, id, peer, app };
    let data_of = endpoint.parts.records.caller(origin.caller.token.as_ref());
    let by_get = method != Method::POST;
    Ok(CallerRequest { by_get, headers, origin, data_of, media_type, cache, explain })
}

/// Reads the body. A caller whose body has not arrived yet needs a permit to wait.
async fn read_body(
    endpoint: &Endpoint,
    request: &CallerRequest,
    body: Incoming,
) -> Result<Bytes, Refusal> {
    request::check_content_type(&request.headers)?;
    let LimitsConfig { max_body_bytes, request_timeout, .. } = endpoint.parts.limits;
    let mut reading = pin!(request::body(body, max_body_bytes));
    // Most bodies arrive with the headers: no need to set a timer.
    if let Some(body) = poll_immediate(reading.as_mut()).await {
        return body;
    }
    let _permit = endpoint.permit_to_wait(&request.origin.caller)?;
    timeout(request_timeout, reading).await.map_err(|_| {
        let message = "the body did not arrive within limits.request_timeout";
        Refusal::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::BadRequest, message)
    })?
}

/// Answers the operations in these bytes. Cache hits are answered synchronously: no task, no timer.
async fn execute(
    endpoint: &Endpoint,
    request: &CallerRequest,
    bytes: Bytes,
    log: &mut AccessLogEntry,
) -> Result<Response, Refusal> {
    let caller = &request.origin.caller;
    let key = request.data_of.map(|data_of| ResponseKey {
        data_of,
        grant: caller.grant.key(),
        name: caller.identity.name().cloned(),
        media_type: request.media_type,
        by_get: request.by_get,
        bytes: bytes.clone(),
    });
    if let Some(key) = &key
        && let Some(response) = pipeline::cached(endpoint, request, key, log).await?
    {
        return Ok(response);
    }
    let operations = if request.by_get {
        request::from_query(&bytes)?
    } else {
        request::from_body(&bytes, endpoint.parts.limits.max_batch)?
    };
    if request.media_type == MediaType::EventStream {
        // Also by GET: a browser's event source can do nothing else, and a subscription changes nothing.
        return sse::answer(endpoint, request, operations, log);
    }
    pipeline::run(endpoint, request, operations, key, log).await
}
