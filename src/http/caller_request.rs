//! A request before and after its caller is authenticated.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use tracing::Span;

use super::cache_headers::CacheDirectives;
use super::client_app::ClientApp;
use super::csrf;
use super::negotiation::{MediaType, negotiate};
use super::refusal::Refusal;
use super::request_origin::RequestOrigin;
use super::state::Endpoint;
use crate::domain::ErrorCode;
use crate::records::RequestContext;
use crate::spans;

/// The media types of responses to operations.
pub(crate) const MEDIA_TYPES: &[MediaType] =
    &[MediaType::Json, MediaType::GraphqlResponse, MediaType::EventStream];
/// The same where a browser may ask for GraphiQL.
pub(crate) const MEDIA_TYPES_WITH_HTML: &[MediaType] =
    &[MediaType::Json, MediaType::GraphqlResponse, MediaType::EventStream, MediaType::Html];

/// With the value `1` it asks for a response that says where all that was read for it came from. Only if
/// introspection is on.
static X_GATEWAY_EXPLAIN: HeaderName = HeaderName::from_static("x-gateway-explain");

/// A request as it arrives.
pub(crate) struct IncomingRequest {
    pub(crate) parts: Parts,
    /// The other end of the connection, which may be a proxy.
    pub(crate) peer: Option<IpAddr>,
    pub(crate) id: Arc<str>,
    pub(crate) app: ClientApp,
}

/// A request of an authenticated caller.
pub(crate) struct CallerRequest {
    pub(crate) headers: HeaderMap,
    pub(crate) origin: RequestOrigin,
    pub(crate) media_type: MediaType,
    /// What `Cache-Control` demands.
    pub(crate) cache: CacheDirectives,
    /// Whether the response lists the reads that it was made from.
    pub(crate) explain: bool,
}

impl IncomingRequest {
    /// The media type of the response, one of those that are offered.
    pub(crate) fn media_type(&self, offered: &[MediaType]) -> Result<MediaType, Refusal> {
        negotiate(&self.parts.headers, offered).ok_or_else(|| {
            let message = "none of the accepted media types can be served: \
                           application/graphql-response+json, application/json and \
                           text/event-stream can";
            Refusal::new(StatusCode::NOT_ACCEPTABLE, ErrorCode::BadRequest, message)
        })
    }

    /// Refuses cross-site requests and authenticates the caller.
    pub(crate) async fn authenticate(
        self,
        endpoint: &Endpoint,
        media_type: MediaType,
    ) -> Result<CallerRequest, Refusal> {
        let Self { parts: Parts { method, headers, .. }, peer, id, app } = self;
        csrf::check(&method, &headers, &endpoint.graphql.allow_origins)?;
        let credentials = endpoint.callers.credentials(&headers)?;
        let caller = endpoint.callers.authenticate(credentials, peer).await;
        let caller = caller.map_err(Refusal::unauthenticated)?;
        let cache = CacheDirectives::read(&headers);
        // The contents and ages of a cache are for developers of pages, not for users.
        let explain = endpoint.engine.shows_itself()
            && headers.get(&X_GATEWAY_EXPLAIN).is_some_and(|value| value == "1");
        let origin = RequestOrigin { caller, id, peer, app };
        Ok(CallerRequest { headers, origin, media_type, cache, explain })
    }
}

impl CallerRequest {
    /// The context in which records are read for this request.
    pub(crate) fn asking(&self) -> RequestContext {
        let CacheDirectives { no_cache, max_age } = self.cache;
        RequestContext { no_cache, max_age, ..self.origin.asking() }
    }

    /// The span of log lines that are written while the request is executed.
    pub(crate) fn log_span(&self) -> Span {
        request_span(&self.origin.id, self.origin.caller.name.as_deref())
    }
}

/// The span of log lines that are written for a request.
pub(crate) fn request_span(id: &str, caller_name: Option<&str>) -> Span {
    let current = spans::current();
    tracing::info_span!(
        "request",
        request.id = %id,
        trace_id = spans::trace_id(&current).map(display),
        span_id = spans::span_id(&current).map(display),
        caller.name = caller_name.map(display),
    )
}
