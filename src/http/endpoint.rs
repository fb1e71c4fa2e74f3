//! `/graphql`: one HTTP request from its headers to its answer.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span};

use super::browsers;
use super::cache_headers::{self, Wanted};
use super::callers::{Caller, Callers};
use super::cross_site;
use super::documents::Documents;
use super::graphiql::{self, GraphiqlDefaults};
use super::log_line::Noted;
use super::metrics::HttpMetrics;
use super::negotiation::{Form, negotiate};
use super::places::Places;
use super::rate::Rates;
use super::refusal::Refusal;
use super::request::{self, Operations};
use super::request_id;
use super::response::{Answers, Served, validated};
use super::sse;
use super::websocket;
use crate::clock::Clock;
use crate::config::{LimitsConfig, SubscriptionsConfig};
use crate::graphql::{Admitted, Answer, Engine, ErrorCode, OperationContext, PersistedQuery};
use crate::records::{Asking, ReadSummary, Records};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The forms of answer that operations have.
const ANSWERS: [Form; 3] = [Form::Json, Form::GraphqlResponse, Form::EventStream];
/// What is logged and counted for a client that hung up: nginx's status for it, which is never sent.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The endpoint and all it needs. Shared by all requests.
pub(crate) struct Endpoint {
    pub(crate) engine: Engine,
    pub(crate) records: Records,
    pub(crate) callers: Callers,
    pub(crate) rates: Rates,
    /// Places of each caller for sockets and event streams.
    pub(crate) places: Places,
    pub(crate) limits: LimitsConfig,
    pub(crate) subscriptions: SubscriptionsConfig,
    /// What GraphiQL starts with, where it is served.
    pub(crate) graphiql: Option<GraphiqlDefaults>,
    pub(crate) in_flight: Arc<Semaphore>,
    /// Places for sockets and event streams, as many as for requests.
    pub(crate) long_lived: Arc<Semaphore>,
    pub(crate) documents: Documents,
    pub(crate) allow_origins: Vec<String>,
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) metrics: HttpMetrics,
    pub(crate) clock: Clock,
}

/// Who asked, and the id of the request.
struct Asker {
    caller: Caller,
    request_id: Arc<str>,
}

/// Answers a request, logs it and counts it.
pub(crate) async fn handle(
    State(endpoint): State<Arc<Endpoint>>,
    request: Request<Body>,
) -> Response {
    let request_id = request_id::of(request.headers());
    let span = tracing::info_span!("request", request.id = %request_id, caller.name = Empty);
    let answering = answer(&endpoint, request, Arc::clone(&request_id));
    async {
        let mut waiting = Waiting { endpoint: &endpoint, since: endpoint.clock.now(), done: false };
        // A panic in one request is an error for that request only.
        let answered = AssertUnwindSafe(answering).catch_unwind().await;
        let (mut response, noted) =
            answered.unwrap_or_else(|_| refused(&endpoint, Refusal::panicked()));
        let took = waiting.done();
        endpoint.metrics.count(response.status().as_u16(), took);
        noted.log(response.status().as_u16(), took);
        finish(response.headers_mut(), &request_id);
        response
    }
    .instrument(span)
    .await
}

async fn answer(
    endpoint: &Arc<Endpoint>,
    request: Request<Body>,
    request_id: Arc<str>,
) -> (Response, Noted) {
    let Ok(_permit) = endpoint.in_flight.try_acquire() else {
        return refused(endpoint, Refusal::overloaded());
    };
    endpoint.metrics.in_flight.inc();
    let _leaving = Leaving(&endpoint.metrics);
    let (parts, body) = request.into_parts();
    let answered = match parts.method {
        Method::GET if is_upgrade(&parts.headers) => {
            let upgraded = websocket::upgrade(endpoint, parts, request_id).await;
            return upgraded.map_or_else(
                |refusal| refused(endpoint, refusal),
                |response| (response, Noted::default()),
            );
        }
        Method::GET | Method::HEAD => get(endpoint, &parts, request_id).await,
        Method::POST => post(endpoint, &parts, body, request_id).await,
        Method::OPTIONS => Ok((options(), Noted::default())),
        _ => Err(Refusal::method(
            "GET, HEAD, POST, OPTIONS",
            format!("{} is not a method of GraphQL over HTTP", parts.method),
        )),
    };
    answered.unwrap_or_else(|refusal| refused(endpoint, refusal))
}

async fn get(
    endpoint: &Arc<Endpoint>,
    parts: &Parts,
    request_id: Arc<str>,
) -> Result<(Response, Noted), Refusal> {
    let form = match &endpoint.graphiql {
        Some(defaults) => {
            let offered = [&ANSWERS[..], &[Form::Html]].concat();
            match form(parts, &offered)? {
                Form::Html => return Ok((graphiql::page(defaults), Noted::default())),
                form => form,
            }
        }
        None => form(parts, &ANSWERS)?,
    };
    cross_site::check_get(&parts.headers)?;
    let asker = Asker { caller: endpoint.identify(parts).await?, request_id };
    let mut operations = request::from_query(parts.uri.query().unwrap_or_default())?;
    if form == Form::EventStream {
        // A browser's event source can only GET, and a subscription changes nothing.
        for operation in &mut operations.operations {
            operation.only_query = false;
        }
        return execute(endpoint, parts, operations, form, asker).await;
    }
    let (response, noted) = execute(endpoint, parts, operations, form, asker).await?;
    Ok((validated(&parts.headers, response).await, noted))
}

async fn post(
    endpoint: &Arc<Endpoint>,
    parts: &Parts,
    body: Body,
    request_id: Arc<str>,
) -> Result<(Response, Noted), Refusal> {
    let form = form(parts, &ANSWERS)?;
    // Before the body is taken in: strangers have nothing to say.
    let asker = Asker { caller: endpoint.identify(parts).await?, request_id };
    let LimitsConfig { max_body_bytes, max_batch, request_timeout, .. } = endpoint.limits;
    let reading = request::from_body(&parts.headers, body, max_body_bytes, max_batch);
    let operations = tokio::time::timeout(request_timeout, reading).await.map_err(|_| {
        let message = "the body did not arrive within limits.request_timeout";
        Refusal::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::BadRequest, message)
    })??;
    execute(endpoint, parts, operations, form, asker).await
}

async fn execute(
    endpoint: &Arc<Endpoint>,
    parts: &Parts,
    operations: Operations,
    form: Form,
    asker: Asker,
) -> Result<(Response, Noted), Refusal> {
    let Operations { mut operations, is_batch } = operations;
    let taken = endpoint.rates.take(|| asker.caller.identity(), operations.len());
    taken.map_err(Refusal::too_many)?;
    for operation in &mut operations {
        endpoint.documents.resolve(operation);
    }
    let asking = asker.asking(cache_headers::wanted(&parts.headers));
    let operation = operations.first().and_then(|operation| operation.operation_name.clone());
    if form == Form::EventStream {
        let mut operations = operations.into_iter();
        let (Some(only), None) = (operations.next(), operations.next()) else {
            let message = "an event stream answers one operation, not a batch";
            return Err(Refusal::bad_request(message));
        };
        let response = sse::answer(endpoint, only, asking, asker.caller)?;
        return Ok((response, Noted::begun(operation)));
    }
    let persisted: Vec<_> = operations
        .iter()
        .map(|operation| Some((operation.persisted?, operation.query.clone())))
        .collect();
    let mut answers = match endpoint.engine.admit(operations) {
        Ok(admitted) => {
            let (served, summary) = endpoint.serve(admitted, &asking).await;
            endpoint.keep_documents(&served, persisted);
            Answers { served, summary, is_batch, form }
        }
        // A limit of the whole request: one answer for all of it.
        Err(error) => {
            let (served, summary) = (vec![Served::refused(error)], ReadSummary::default());
            Answers { served, summary, is_batch: false, form }
        }
    };
    let noted = Noted::of(&endpoint.metrics, operation, &answers);
    Ok((answers.response(), noted.having_read(answers.summary)))
}

impl Asker {
    fn asking(&self, wanted: Wanted) -> Asking {
        let Caller { token, projects, .. } = self.caller.clone();
        let Wanted { no_cache, max_age } = wanted;
        Asking { token, projects, request_id: Arc::clone(&self.request_id), no_cache, max_age }
    }
}

impl Endpoint {
    /// Lets the caller of a request in, and notes who it is for every line that is logged of it.
    pub(crate) async fn identify(&self, parts: &Parts) -> Result<Caller, Refusal> {
        let presented = self.callers.presented(&parts.headers)?;
        let admitted = self.callers.admit(presented, address_of(parts)).await;
        let caller = admitted.map_err(Refusal::stranger)?;
        if let Some(name) = &caller.name {
            Span::current().record("caller.name", display(name));
        }
        Ok(caller)
    }

    /// Executes operations side by side, each within the time that is allowed for the request.
    async fn serve(&self, admitted: Vec<Admitted>, asking: &Asking) -> (Vec<Served>, ReadSummary) {
        let mut summary = ReadSummary::default();
        let mut served = Vec::with_capacity(admitted.len());
        let one_by_one = admitted.into_iter().map(|operation| self.serve_one(operation, asking));
        for (one, read) in join_all(one_by_one).await {
            served.push(one);
            summary.add(read);
        }
        (served, summary)
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

    async fn serve_one(&self, operation: Admitted, asking: &Asking) -> (Served, ReadSummary) {
        let reader = Arc::new(self.records.reader(asking.clone()));
        let context = OperationContext::new(Arc::clone(&reader), self.limits.request_timeout);
        let answer = self.engine.answer(operation, context).await;
        let summary = reader.take_summary();
        (Served { answer, is_stale: summary.is_stale_on_error() }, summary)
    }
}

/// A request that is not answered yet. If its client hangs up, nobody asks for the answer any more and
/// the request is dropped where it stands; it is logged and counted all the same.
struct Waiting<'e> {
    endpoint: &'e Endpoint,
    since: Instant,
    done: bool,
}

impl Waiting<'_> {
    fn done(&mut self) -> Duration {
        self.done = true;
        self.took()
    }

    fn took(&self) -> Duration {
        self.endpoint.clock.now().saturating_duration_since(self.since)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.endpoint.metrics.count(CLIENT_CLOSED_REQUEST, self.took());
            Noted::default().log(CLIENT_CLOSED_REQUEST, self.took());
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

fn form(parts: &Parts, offered: &[Form]) -> Result<Form, Refusal> {
    negotiate(&parts.headers, offered).ok_or_else(|| {
        let message = "none of the accepted media types can be served: \
                       application/graphql-response+json, application/json and \
                       text/event-stream can";
        Refusal::new(StatusCode::NOT_ACCEPTABLE, ErrorCode::BadRequest, message)
    })
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Where a request comes from: the other end of its connection, which may be a proxy's.
pub(crate) fn address_of(parts: &Parts) -> Option<IpAddr> {
    let ConnectInfo(address) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(address.ip())
}

fn options() -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, "GET, HEAD, POST, OPTIONS")]).into_response()
}

/// What every answer carries.
fn finish(headers: &mut HeaderMap, request_id: &str) {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(X_REQUEST_ID, id);
    }
    let vary = HeaderValue::from_static("Accept, X-Auth-Token, X-API-Key, Authorization");
    headers.append(header::VARY, vary);
    browsers::secure(headers);
}
