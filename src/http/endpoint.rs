//! `/graphql`: one HTTP request from its headers to its answer.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use async_graphql::ServerError;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use futures_util::future::{join_all, poll_immediate};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

use super::auth::{Authenticator, Caller};
use super::cache_headers::{self, Wanted};
use super::compression;
use super::connection_quota::ConnectionQuota;
use super::csrf;
use super::documents::Documents;
use super::etag::validated;
use super::explain;
use super::graphiql::{self, GraphiqlDefaults};
use super::log_line::Noted;
use super::metrics::HttpMetrics;
use super::negotiation::{MediaType, negotiate};
use super::rate_limit::RateLimiter;
use super::refusal::{Refusal, quoted};
use super::request::{self, IncomingBody, Operations};
use super::request_id::{self, X_REQUEST_ID};
use super::response::{self, Answers, Served, VARY};
use super::router::Newest;
use super::security_headers;
use super::sse;
use super::traced;
use super::unsent;
use super::websocket::{self, Handshake};
use crate::clock::Clock;
use crate::config::{LimitsConfig, SubscriptionsConfig};
use crate::fair_semaphore::FairSemaphore;
use crate::graphql::{
    Admitted, Answer, Engine, ErrorCode, Operation, OperationContext, PersistedQuery, ResponseSize,
};
use crate::records::{Asking, ReadSummary, Reader, Records};
use crate::resizable_semaphore::ResizableSemaphore;
use crate::trace::{self, Trace, Tracer};

/// The forms of answer that operations have.
const ANSWERS: [MediaType; 3] =
    [MediaType::Json, MediaType::GraphqlResponse, MediaType::EventStream];
/// What is logged and counted for a client that hung up: nginx's status for it, which is never sent.
const CLIENT_CLOSED_REQUEST: u16 = 499;

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
    pub(crate) allow_origins: Vec<String>,
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) metrics: HttpMetrics,
    pub(crate) tracer: Tracer,
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
    trace: Trace,
}

/// Who asked, and the id of the request and its place in a trace.
struct Asker {
    caller: Caller,
    request_id: Arc<str>,
    trace: Trace,
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
    let span = traced::request(&endpoint.tracer, &request, &id);
    let (parts, body) = request.into_parts();
    let arrival = Arrival { parts, peer, id: Arc::clone(&id), trace: span.trace().clone() };
    let since = endpoint.clock.now();
    let mut waiting = Waiting { endpoint: &endpoint, id, span, since, done: false };
    // A panic in one request is an error for that request only.
    let answering = AssertUnwindSafe(answer(&endpoint, arrival, body)).catch_unwind();
    let (mut response, noted) =
        answering.await.unwrap_or_else(|_| refused(&endpoint, Refusal::panicked()));
    waiting.done(&noted, response.status());
    finish(response.headers_mut(), id_value);
    response
}

async fn answer(
    endpoint: &Arc<Endpoint>,
    arrival: Arrival,
    body: impl IncomingBody,
) -> (Response, Noted) {
    let Ok(_permit) = endpoint.in_flight.try_acquire() else {
        return refused(endpoint, Refusal::overloaded());
    };
    endpoint.metrics.in_flight.inc();
    let _leaving = Leaving(&endpoint.metrics);
    let answered = match arrival.parts.method {
        Method::POST => post(endpoint, arrival, body).await,
        _ => Box::pin(other(endpoint, arrival)).await,
    };
    let (mut response, noted) = match answered {
        Ok(answered) => answered,
        Err(refusal) => return refused(endpoint, refusal),
    };
    if compression::is_due(&response) {
        response = Box::pin(compression::compressed(response, &endpoint.tasks)).await;
    }
    if unsent::is_marked(&response) {
        response = Box::pin(unsent::keep_room_for_body(response)).await;
    }
    (response, noted)
}

async fn other(endpoint: &Arc<Endpoint>, arrival: Arrival) -> Result<(Response, Noted), Refusal> {
    match arrival.parts.method {
        Method::GET if is_upgrade(&arrival.parts.headers) => {
            let Arrival { parts, peer, id, trace } = arrival;
            let span = span((&id, &trace), None);
            let handshake = Handshake { parts, peer, request_id: id, trace };
            let upgrade = websocket::upgrade(endpoint, handshake).instrument(span).await?;
            Ok((upgrade.response, Noted::default().by(upgrade.caller_name)))
        }
        Method::GET | Method::HEAD => get(endpoint, arrival).await,
        Method::OPTIONS => Ok((options(), Noted::default())),
        other => Err(Refusal::method(
            "GET, HEAD, POST, OPTIONS",
            format!("{} is not a method of GraphQL over HTTP", quoted(other.as_str().as_bytes())),
        )),
    }
}

async fn get(endpoint: &Arc<Endpoint>, arrival: Arrival) -> Result<(Response, Noted), Refusal> {
    let headers = &arrival.parts.headers;
    let form = match &endpoint.graphiql {
        Some(defaults) => {
            let offered = [&ANSWERS[..], &[MediaType::Html]].concat();
            match form(headers, &offered)? {
                MediaType::Html => return Ok((graphiql::page(defaults), Noted::default())),
                form => form,
            }
        }
        None => form(headers, &ANSWERS)?,
    };
    csrf::check(&arrival.parts.method, headers, &endpoint.allow_origins)?;
    let asker = endpoint.identify(&arrival).await?;
    let caller = asker.caller.name.clone();
    let query = arrival.parts.uri.query().unwrap_or_default();
    let mut operations = match request::from_query(query) {
        Ok(operations) => operations,
        Err(refusal) => return Ok(refused_to(endpoint, refusal, caller)),
    };
    if form == MediaType::EventStream {
        // A browser's event source can only GET, and a subscription changes nothing.
        for operation in &mut operations.operations {
            operation.only_query = false;
        }
        let answered = execute(endpoint, headers, operations, (form, asker)).await;
        return Ok(answered.unwrap_or_else(|refusal| refused_to(endpoint, refusal, caller)));
    }
    match execute(endpoint, headers, operations, (form, asker)).await {
        Ok((response, noted)) => Ok((validated(headers, response, &endpoint.tasks).await, noted)),
        Err(refusal) => Ok(refused_to(endpoint, refusal, caller)),
    }
}

async fn post(
    endpoint: &Arc<Endpoint>,
    arrival: Arrival,
    body: impl IncomingBody,
) -> Result<(Response, Noted), Refusal> {
    let headers = &arrival.parts.headers;
    let form = form(headers, &ANSWERS)?;
    csrf::check(&arrival.parts.method, headers, &endpoint.allow_origins)?;
    // Before the body is read: unauthenticated callers get no memory.
    let asker = endpoint.identify(&arrival).await?;
    let caller = asker.caller.name.clone();
    let answered = posted(endpoint, headers, body, (form, asker)).await;
    Ok(answered.unwrap_or_else(|refusal| refused_to(endpoint, refusal, caller)))
}

async fn posted(
    endpoint: &Arc<Endpoint>,
    headers: &HeaderMap,
    body: impl IncomingBody,
    asked: (MediaType, Asker),
) -> Result<(Response, Noted), Refusal> {
    let LimitsConfig { max_body_bytes, max_batch, request_timeout, .. } = endpoint.limits;
    request::check_content_type(headers)?;
    let mut reading = pin!(request::body(body, max_body_bytes));
    let body = if let Some(body) = poll_immediate(reading.as_mut()).await {
        // Most bodies arrive with the headers: no need to set a timer.
        body?
    } else {
        let caller = asked.1.caller.identity.limit_key();
        let permit = endpoint.waiting.try_acquire(caller, 1);
        let _permit = permit.ok_or_else(Refusal::too_many_waiting)?;
        timeout(request_timeout, reading).await.map_err(|_| {
            let message = "the body did not arrive within limits.request_timeout";
            Refusal::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::BadRequest, message)
        })??
    };
    match endpoint.read_common(headers, &body, (asked.0, &asked.1))? {
        Some(todo) => Ok(carry_out(endpoint, headers, todo, asked).await),
        None => execute(endpoint, headers, request::from_body(&body, max_batch)?, asked).await,
    }
}

/// Executes operations that were read.
async fn execute(
    endpoint: &Arc<Endpoint>,
    headers: &HeaderMap,
    operations: Operations,
    (form, asker): (MediaType, Asker),
) -> Result<(Response, Noted), Refusal> {
    let Operations { mut operations, is_batch } = operations;
    endpoint.take_rate(&asker, operations.len())?;
    for operation in &mut operations {
        endpoint.documents.resolve(operation);
    }
    if form == MediaType::EventStream {
        return streamed(endpoint, headers, operations, asker);
    }
    let explain = explain::is_wanted(&endpoint.engine, headers);
    for operation in &mut operations {
        operation.explain = explain;
    }
    let name = operations.first().and_then(|operation| operation.operation_name.clone());
    let persisted = persisted(&operations);
    let (begun, persisted, is_batch) = match endpoint.engine.admit(operations) {
        Ok(admitted) => (admitted.into_iter().map(Begun::Admitted).collect(), persisted, is_batch),
        // One answer for all of it.
        Err(error) => (vec![Begun::of(Err(error))], Vec::new(), false),
    };
    let todo = Todo { begun, persisted, is_batch, name };
    let (mut response, noted) = carry_out(endpoint, headers, todo, (form, asker)).await;
    if explain {
        explain::keep_nowhere(response.headers_mut());
    }
    Ok((response, noted))
}

/// Answers the one operation of a request with a stream of events.
fn streamed(
    endpoint: &Arc<Endpoint>,
    headers: &HeaderMap,
    operations: Vec<Operation>,
    asker: Asker,
) -> Result<(Response, Noted), Refusal> {
    let caller = asker.caller.name.clone();
    let _entered = span((&asker.request_id, &asker.trace), caller.as_deref()).entered();
    let mut operations = operations.into_iter();
    let (Some(only), None) = (operations.next(), operations.next()) else {
        let message = "an event stream answers one operation, not a batch";
        return Err(Refusal::bad_request(message));
    };
    let name = only.operation_name.clone();
    let asking = asker.asking(cache_headers::wanted(headers));
    let response = sse::answer(endpoint, only, asking, asker.caller)?;
    Ok((response, Noted::begun(name).by(caller)))
}

/// What there is to do for a request.
struct Todo {
    begun: Vec<Begun>,
    persisted: Vec<Option<(PersistedQuery, String)>>,
    is_batch: bool,
    /// The name of its first operation.
    name: Option<Arc<str>>,
}

impl Todo {
    fn only(begun: Begun, name: Option<Arc<str>>) -> Self {
        Self { begun: vec![begun], persisted: Vec::new(), is_batch: false, name }
    }
}

/// Executes what was admitted, and writes the answer.
async fn carry_out(
    endpoint: &Arc<Endpoint>,
    headers: &HeaderMap,
    todo: Todo,
    (form, asker): (MediaType, Asker),
) -> (Response, Noted) {
    let Todo { begun, persisted, is_batch, name } = todo;
    let size = Arc::new(ResponseSize::new(endpoint.limits.max_response_bytes));
    let begun: Vec<Begun> = if begun.iter().any(|one| matches!(one, Begun::Admitted(_))) {
        let asking = asker.asking(cache_headers::wanted(headers));
        begun.into_iter().map(|one| endpoint.begin(one, asking.clone(), &size)).collect()
    } else {
        begun
    };
    let Asker { caller: Caller { name: caller, identity, .. }, request_id, trace } = asker;
    let (served, summary) = if begun.iter().all(Begun::is_answered) {
        gathered(begun.into_iter().filter_map(Begun::answered))
    } else {
        let Some(_permit) = endpoint.waiting.try_acquire(identity.limit_key(), 1) else {
            return refused_to(endpoint, Refusal::too_many_waiting(), caller);
        };
        let span = span((&request_id, &trace), caller.as_deref());
        Box::pin(endpoint.complete(begun, &size).instrument(span)).await
    };
    endpoint.keep_documents(&served, persisted);
    let mut answers = Answers { served, summary, is_batch, form };
    let body = answers.write(&size);
    let Ok(room) = unsent::reserve(&endpoint.unsent, || identity.limit_key(), body.len()) else {
        return refused_to(endpoint, Refusal::too_much_unsent(), caller);
    };
    let noted = Noted::of(&endpoint.metrics, name, &answers).by(caller);
    let mut response = answers.response(body);
    unsent::mark(&mut response, room);
    if endpoint.compression {
        compression::choose(headers, &mut response, answers.summary.has_links);
    }
    (response, noted.having_read(answers.summary))
}

/// Documents that came with their hash, in the places of their operations; nothing where there is none.
fn persisted(operations: &[Operation]) -> Vec<Option<(PersistedQuery, String)>> {
    if operations.iter().all(|operation| operation.persisted.is_none()) {
        return Vec::new();
    }
    let document = |operation: &Operation| Some((operation.persisted?, operation.query.clone()));
    operations.iter().map(document).collect()
}

/// What lines are put in that are logged while a request is answered.
fn span((request_id, trace): (&str, &Trace), caller: Option<&str>) -> Span {
    tracing::info_span!(
        "request",
        request.id = %request_id,
        trace_id = trace.trace_id().map(display),
        span_id = trace.span_id().map(display),
        caller.name = caller.map(display),
    )
}

impl Asker {
    fn asking(&self, wanted: Wanted) -> Asking {
        let Caller { identity, token, projects, .. } = &self.caller;
        let (identity, token, projects) = (identity.clone(), token.clone(), projects.clone());
        let Wanted { no_cache, max_age } = wanted;
        let (request_id, trace) = (Arc::clone(&self.request_id), self.trace.clone());
        Asking {
            identity,
            token,
            projects,
            request_id,
            trace,
            no_cache,
            max_age,
            ..Asking::default()
        }
    }
}

impl Endpoint {
    /// Whether no layer stands around the endpoint: that of CORS, where pages of other sites may ask.
    pub(crate) fn is_direct(&self) -> bool {
        self.allow_origins.is_empty()
    }

    /// Counts and logs a request that has come to its end.
    fn note(&self, noted: &Noted, request: (&str, &Trace), status: u16, since: Instant) {
        let took = self.clock.now().saturating_duration_since(since);
        self.metrics.count(status, took);
        noted.log(request, status, took);
    }

    /// Lets the caller of a request in.
    async fn identify(&self, arrival: &Arrival) -> Result<Asker, Refusal> {
        let Arrival { parts, peer, id, trace } = arrival;
        let presented = self.callers.credentials(&parts.headers)?;
        let caller =
            self.callers.authenticate(presented, *peer).await.map_err(Refusal::unauthenticated)?;
        Ok(Asker { caller, request_id: Arc::clone(id), trace: trace.clone() })
    }

    /// Reads a body that holds one common operation, as nearly every body does, and counts it against the
    /// caller's rate. `None` for a body or headers that need [`execute`].
    fn read_common(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        (form, asker): (MediaType, &Asker),
    ) -> Result<Option<Todo>, Refusal> {
        let is_other = form == MediaType::EventStream || explain::is_wanted(&self.engine, headers);
        if is_other || !self.documents.are_free() {
            return Ok(None);
        }
        if let Some(known) = self.engine.recall(body) {
            self.take_rate(asker, 1)?;
            let name = known.as_ref().ok().and_then(|operation| operation.name().cloned());
            return Ok(Some(Todo::only(Begun::of(known), name)));
        }
        let Some(operation) = request::common(body) else { return Ok(None) };
        self.take_rate(asker, 1)?;
        let name = operation.operation_name.clone();
        let admitted = self.engine.admit(vec![operation]).map(|mut admitted| admitted.pop());
        let Some(admitted) = admitted.transpose() else { return Ok(None) };
        if let Ok(operation) = &admitted {
            self.engine.remember(body, operation);
        }
        Ok(Some(Todo::only(Begun::of(admitted), name)))
    }

    /// Takes so many operations off what a caller may ask for.
    fn take_rate(&self, asker: &Asker, operations: usize) -> Result<(), Refusal> {
        let taken = self.rates.take(|| asker.caller.identity.limit_key(), operations);
        taken.map_err(Refusal::rate_exceeded)
    }

    /// Answers an operation for which everything is at hand; any other waits.
    fn begin(&self, begun: Begun, asking: Asking, size: &ResponseSize) -> Begun {
        let Begun::Admitted(operation) = begun else { return begun };
        let span = traced::operation(&asking.trace, operation.name().map(|name| &**name));
        let asking = Asking { trace: span.trace().clone(), ..asking };
        let reader = self.records.reader(asking);
        match self.engine.answer_now(&operation, &reader, size) {
            Some(answer) => {
                let served = Served { answer, is_stale: false };
                traced::told(&span, &served);
                Begun::Answered(served, reader.take_summary())
            }
            None => Begun::Waits(operation, Arc::new(reader), span),
        }
    }

    /// Executes what waits side by side, each within the time that is allowed for the request.
    async fn complete(
        &self,
        begun: Vec<Begun>,
        size: &Arc<ResponseSize>,
    ) -> (Vec<Served>, ReadSummary) {
        let mut completing = begun.into_iter().map(|one| self.complete_one(one, size));
        // Most requests have one operation.
        if completing.len() == 1
            && let Some(only) = completing.next()
        {
            return gathered(only.await);
        }
        gathered(join_all(completing).await.into_iter().flatten())
    }

    /// Keeps the documents that came with their hash and were valid.
    fn keep_documents(&self, served: &[Served], persisted: Vec<Option<(PersistedQuery, String)>>) {
        for (served, persisted) in served.iter().zip(persisted) {
            let is_good = matches!(
                served.answer,
                Answer::Executed(_) | Answer::Written(_) | Answer::Whole(_)
            );
            if let (true, Some((hash, text))) = (is_good, persisted) {
                self.documents.keep(hash, &text);
            }
        }
    }

    async fn complete_one(
        &self,
        begun: Begun,
        size: &Arc<ResponseSize>,
    ) -> Option<(Served, ReadSummary)> {
        let Begun::Waits(operation, reader, span) = begun else { return begun.answered() };
        let timeout = self.limits.request_timeout;
        let context = OperationContext::new(Arc::clone(&reader), timeout, Arc::clone(size));
        let answer = self.engine.answer(operation, context).await;
        let read = reader.take_summary();
        let served = Served { answer, is_stale: read.is_stale_on_error() };
        traced::told(&span, &served);
        Some((served, read))
    }
}

/// How far an operation has come.
#[expect(
    clippy::large_enum_variant,
    reason = "most are answered at once, and a box would be one more allocation for each"
)]
enum Begun {
    /// It may be executed.
    Admitted(Admitted),
    /// Something has to be read for it.
    Waits(Admitted, Arc<Reader>, trace::Span),
    Answered(Served, ReadSummary),
}

impl Begun {
    /// An operation that may be executed, or the answer to a whole request that is not.
    fn of(verdict: Result<Admitted, ServerError>) -> Self {
        match verdict {
            Ok(operation) => Self::Admitted(operation),
            Err(error) => Self::Answered(Served::refused(error), ReadSummary::default()),
        }
    }

    fn is_answered(&self) -> bool {
        matches!(self, Self::Answered(..))
    }

    fn answered(self) -> Option<(Served, ReadSummary)> {
        match self {
            Self::Answered(served, read) => Some((served, read)),
            Self::Admitted(_) | Self::Waits(..) => None,
        }
    }
}

/// The answers of a request, and all that was read for them.
fn gathered(
    answered: impl IntoIterator<Item = (Served, ReadSummary)>,
) -> (Vec<Served>, ReadSummary) {
    let mut summary = ReadSummary::default();
    let mut served = Vec::new();
    for (one, read) in answered {
        served.push(one);
        summary.add(read);
    }
    (served, summary)
}

/// A request that is not answered yet. If its client hangs up, nobody asks for the answer any more and
/// the request is dropped where it stands; it is logged and counted all the same.
struct Waiting<'e> {
    endpoint: &'e Endpoint,
    id: Arc<str>,
    span: trace::Span,
    since: Instant,
    done: bool,
}

impl Waiting<'_> {
    fn done(&mut self, noted: &Noted, status: StatusCode) {
        self.done = true;
        self.note(noted, status.as_u16());
    }

    fn note(&self, noted: &Noted, status: u16) {
        traced::answered(&self.span, status);
        self.endpoint.note(noted, (&self.id, self.span.trace()), status, self.since);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.note(&Noted::default(), CLIENT_CLOSED_REQUEST);
        }
    }
}

/// Takes a request off the gauge, however it ends.
struct Leaving<'m>(&'m HttpMetrics);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

fn refused(endpoint: &Endpoint, refusal: Refusal) -> (Response, Noted) {
    let noted = Noted::refused(&endpoint.metrics, refusal.code());
    (refusal.into_response(), noted)
}

/// A refusal of somebody who was let in.
fn refused_to(
    endpoint: &Endpoint,
    refusal: Refusal,
    caller: Option<Arc<str>>,
) -> (Response, Noted) {
    let (response, noted) = refused(endpoint, refusal);
    (response, noted.by(caller))
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
