//! `/graphql`: one HTTP request from its headers to its answer.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use futures_util::future::poll_immediate;
use opentelemetry::trace::TraceContextExt as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::access_log::{AccessLogEntry, CLIENT_CLOSED_REQUEST};
use super::auth::{Authenticator, Caller};
use super::cache_headers::CacheDirectives;
use super::connection_quota::ConnectionQuota;
use super::csrf;
use super::documents::Documents;
use super::explain;
use super::graphiql::{self, GraphiqlDefaults};
use super::metrics::HttpMetrics;
use super::negotiation::{MediaType, negotiate};
use super::pipeline::{self, CallerRequest, Reply, request_span};
use super::rate_limit::RateLimiter;
use super::refusal::{Refusal, quoted};
use super::request::{self, IncomingBody, Operations};
use super::request_id::{self, X_REQUEST_ID};
use super::response::{self, VARY};
use super::response_cache::{RequestBytes, RequestEncoding, ResponseCache};
use super::router::Newest;
use super::security_headers;
use super::spans;
use super::sse;
use super::websocket::{self, Handshake};
use crate::clock::Clock;
use crate::config::{LimitsConfig, SubscriptionsConfig};
use crate::fair_semaphore::FairSemaphore;
use crate::graphql::{Engine, ErrorCode};
use crate::records::Records;
use crate::resizable_semaphore::ResizableSemaphore;

/// The forms of answer that operations have.
const ANSWERS: [MediaType; 3] =
    [MediaType::Json, MediaType::GraphqlResponse, MediaType::EventStream];

/// The endpoint and all it needs. Shared by all requests.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) engine: Engine,
    pub(crate) records: Records,
    pub(crate) callers: Authenticator,
    pub(crate) rates: RateLimiter,
    /// Limits sockets and event streams.
    pub(crate) connections: ConnectionQuota,
    pub(crate) limits: LimitsConfig,
    pub(crate) subscriptions: SubscriptionsConfig,
    /// Whether large answers are compressed.
    pub(crate) compression: bool,
    /// What GraphiQL starts with, where it is served.
    pub(crate) graphiql: Option<GraphiqlDefaults>,
    pub(crate) in_flight: ResizableSemaphore,
    /// Permits for requests that wait for the upstream or for their body, shared fairly by callers.
    pub(crate) waiting: FairSemaphore,
    /// Room for answers that clients have not read yet, in bytes.
    pub(crate) unsent: FairSemaphore,
    pub(crate) documents: Documents,
    pub(crate) responses: ResponseCache,
    pub(crate) allow_origins: Vec<String>,
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) metrics: HttpMetrics,
    pub(crate) clock: Clock,
    /// What takes this one's place when settings change.
    pub(crate) newest: Newest,
}

/// A request and where it comes from.
struct Arrival {
    parts: Parts,
    /// The other end of the connection, which may be a proxy's.
    peer: Option<IpAddr>,
    id: Arc<str>,
}

/// The endpoint as a route of axum's.
pub(crate) async fn route(
    State(endpoint): State<Arc<Endpoint>>,
    request: Request<Body>,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|ConnectInfo(address)| address.ip());
    handle(endpoint, peer, request).await
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
    let span = spans::request(&request, &id);
    let (parts, body) = request.into_parts();
    let arrival = Arrival { parts, peer, id: Arc::clone(&id) };
    let since = endpoint.clock.now();
    let mut guard =
        RequestGuard { endpoint: &endpoint, id, span: span.clone(), since, done: false };
    // A panic in one request is an error for that request only.
    let answering = AssertUnwindSafe(answer(&endpoint, arrival, body)).catch_unwind();
    let answering = answering.instrument(span);
    let Reply { mut response, log } =
        answering.await.unwrap_or_else(|_| refused(&endpoint, Refusal::panicked()));
    guard.done(&log, response.status());
    finish(response.headers_mut(), id_value);
    response
}

async fn answer(endpoint: &Arc<Endpoint>, arrival: Arrival, body: impl IncomingBody) -> Reply {
    let Ok(_permit) = endpoint.in_flight.try_acquire() else {
        return refused(endpoint, Refusal::overloaded());
    };
    endpoint.metrics.in_flight.inc();
    let _in_flight = InFlightGuard(&endpoint.metrics);
    let answered = match arrival.parts.method {
        Method::POST => post(endpoint, arrival, body).await,
        _ => Box::pin(other(endpoint, arrival)).await,
    };
    answered.unwrap_or_else(|refusal| refused(endpoint, refusal))
}

async fn other(endpoint: &Arc<Endpoint>, arrival: Arrival) -> Result<Reply, Refusal> {
    match arrival.parts.method {
        Method::GET if is_upgrade(&arrival.parts.headers) => {
            let Arrival { parts, peer, id } = arrival;
            let span = request_span(&id, None);
            let handshake = Handshake { parts, peer, request_id: id };
            let upgrade = websocket::upgrade(endpoint, handshake).instrument(span).await?;
            let log = AccessLogEntry::default().with_caller(upgrade.caller_name);
            Ok(Reply { response: upgrade.response, log })
        }
        Method::GET | Method::HEAD => get(endpoint, arrival).await,
        Method::OPTIONS => Ok(Reply { response: options(), log: AccessLogEntry::default() }),
        other => Err(Refusal::method(
            "GET, HEAD, POST, OPTIONS",
            format!("{} is not a method of GraphQL over HTTP", quoted(other.as_str().as_bytes())),
        )),
    }
}

async fn get(endpoint: &Arc<Endpoint>, arrival: Arrival) -> Result<Reply, Refusal> {
    let media_type = match &endpoint.graphiql {
        Some(defaults) => {
            let offered = [&ANSWERS[..], &[MediaType::Html]].concat();
            match form(&arrival.parts.headers, &offered)? {
                MediaType::Html => {
                    return Ok(Reply {
                        response: graphiql::page(defaults),
                        log: AccessLogEntry::default(),
                    });
                }
                form => form,
            }
        }
        None => form(&arrival.parts.headers, &ANSWERS)?,
    };
    let uri = arrival.parts.uri.clone();
    let request = endpoint.identify(arrival, media_type).await?;
    let parameters = uri.query().unwrap_or_default();
    let reply = answer_get(endpoint, &request, parameters).await;
    Ok(reply_to(endpoint, request, reply))
}

async fn answer_get(
    endpoint: &Arc<Endpoint>,
    request: &CallerRequest,
    parameters: &str,
) -> Result<Reply, Refusal> {
    let bytes = parameters.as_bytes();
    let sent = RequestBytes { encoding: RequestEncoding::Parameters, bytes };
    if let Some(reply) = pipeline::cached(endpoint, request, sent).await? {
        return Ok(reply);
    }
    let mut operations = request::from_query(parameters)?;
    if request.media_type == MediaType::EventStream {
        // A browser's event source can only GET, and a subscription changes nothing.
        for operation in &mut operations.operations {
            operation.only_query = false;
        }
        return streamed(endpoint, request, operations);
    }
    pipeline::run(endpoint, request, operations, sent).await
}

async fn post(
    endpoint: &Arc<Endpoint>,
    arrival: Arrival,
    body: impl IncomingBody,
) -> Result<Reply, Refusal> {
    let media_type = form(&arrival.parts.headers, &ANSWERS)?;
    // Before the body is read: unauthenticated callers get no memory.
    let request = endpoint.identify(arrival, media_type).await?;
    let reply = answer_post(endpoint, &request, body).await;
    Ok(reply_to(endpoint, request, reply))
}

async fn answer_post(
    endpoint: &Arc<Endpoint>,
    request: &CallerRequest,
    body: impl IncomingBody,
) -> Result<Reply, Refusal> {
    request::check_content_type(&request.headers)?;
    let body = read_body(endpoint, request, body).await?;
    let sent = RequestBytes { encoding: RequestEncoding::Body, bytes: &body };
    if let Some(reply) = pipeline::cached(endpoint, request, sent).await? {
        return Ok(reply);
    }
    let operations = request::from_body(&body, endpoint.limits.max_batch)?;
    if request.media_type == MediaType::EventStream {
        return streamed(endpoint, request, operations);
    }
    pipeline::run(endpoint, request, operations, sent).await
}

/// Reads the body of a POST. A caller needs a permit to be waited for.
async fn read_body(
    endpoint: &Endpoint,
    request: &CallerRequest,
    body: impl IncomingBody,
) -> Result<Bytes, Refusal> {
    let LimitsConfig { max_body_bytes, request_timeout, .. } = endpoint.limits;
    let mut reading = pin!(request::body(body, max_body_bytes));
    // Most bodies arrive with the headers: no need to set a timer.
    if let Some(body) = poll_immediate(reading.as_mut()).await {
        return body;
    }
    let permit = endpoint.waiting.try_acquire(request.caller.identity.limit_key(), 1);
    let _permit = permit.ok_or_else(Refusal::too_many_waiting)?;
    timeout(request_timeout, reading).await.map_err(|_| {
        let message = "the body did not arrive within limits.request_timeout";
        Refusal::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::BadRequest, message)
    })?
}

/// Answers the one operation of a request with a stream of events.
fn streamed(
    endpoint: &Arc<Endpoint>,
    request: &CallerRequest,
    operations: Operations,
) -> Result<Reply, Refusal> {
    let mut operations = operations.operations;
    endpoint.take_rate(&request.caller, operations.len())?;
    let _entered = request.log_span().entered();
    let (Some(mut only), true) = (operations.pop(), operations.is_empty()) else {
        let message = "an event stream answers one operation, not a batch";
        return Err(Refusal::bad_request(message));
    };
    endpoint.documents.resolve(&mut only);
    let name = only.operation_name.clone();
    let response = sse::answer(endpoint, only, request.asking(), request.caller.clone())?;
    Ok(Reply { response, log: AccessLogEntry::of_operation(name) })
}

/// A reply to a caller, whose name is logged with it.
fn reply_to(endpoint: &Endpoint, request: CallerRequest, reply: Result<Reply, Refusal>) -> Reply {
    let Reply { response, log } = reply.unwrap_or_else(|refusal| refused(endpoint, refusal));
    Reply { response, log: log.with_caller(request.caller.name) }
}

impl Endpoint {
    /// Whether no layer stands around the endpoint: that of CORS, where pages of other sites may ask.
    pub(crate) fn is_direct(&self) -> bool {
        self.allow_origins.is_empty()
    }

    /// Checks that a request may have come from a page, and identifies its caller.
    async fn identify(
        &self,
        arrival: Arrival,
        media_type: MediaType,
    ) -> Result<CallerRequest, Refusal> {
        let Arrival { parts: Parts { method, headers, .. }, peer, id } = arrival;
        csrf::check(&method, &headers, &self.allow_origins)?;
        let credentials = self.callers.credentials(&headers)?;
        let caller = self.callers.authenticate(credentials, peer).await;
        let caller = caller.map_err(Refusal::unauthenticated)?;
        let cache = CacheDirectives::read(&headers);
        let explain = explain::is_wanted(&self.engine, &headers);
        Ok(CallerRequest { headers, caller, media_type, id, cache, explain })
    }

    /// Counts operations against the caller's rate.
    pub(crate) fn take_rate(&self, caller: &Caller, operations: usize) -> Result<(), Refusal> {
        let taken = self.rates.take(|| caller.identity.limit_key(), operations);
        taken.map_err(Refusal::rate_exceeded)
    }
}

/// Logs and counts a request, even one that is dropped because its client has closed the connection.
struct RequestGuard<'e> {
    endpoint: &'e Endpoint,
    id: Arc<str>,
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
        metrics.count(status, took);
        entry.log(&self.id, self.span.context().span().span_context(), status, took);
    }
}

impl Drop for RequestGuard<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.end(&AccessLogEntry::default(), CLIENT_CLOSED_REQUEST);
        }
    }
}

/// Subtracts a request from the gauge when it ends.
struct InFlightGuard<'m>(&'m HttpMetrics);

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

fn refused(endpoint: &Endpoint, refusal: Refusal) -> Reply {
    let log = AccessLogEntry::refused(&endpoint.metrics, refusal.code());
    Reply { response: refusal.into_response(), log }
}

fn form(headers: &HeaderMap, offered: &[MediaType]) -> Result<MediaType, Refusal> {
    negotiate(headers, offered).ok_or_else(|| {
        let message = "none of the accepted media types can be served: \
                       application/graphql-response+json, application/json and \
                       text/event-stream can";
        Refusal::new(StatusCode::NOT_ACCEPTABLE, ErrorCode::BadRequest, message)
    })
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
    if !response::is_made_of_common_headers(headers) {
        headers.append(header::VARY, VARY);
        security_headers::secure(headers);
    }
}
