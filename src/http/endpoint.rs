//! `/graphql`: one HTTP request from its headers to its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::cache_headers::{self, Wanted};
use super::caller;
use super::cross_site;
use super::documents::Documents;
use super::graphiql::{self, GraphiqlDefaults};
use super::metrics::HttpMetrics;
use super::negotiation::{Form, negotiate};
use super::places::Places;
use super::refusal::Refusal;
use super::request::{self, Operations};
use super::response::{Answers, Served, validated};
use super::sse;
use super::websocket;
use crate::clock::Clock;
use crate::config::{LimitsConfig, SubscriptionsConfig};
use crate::graphql::{Admitted, Answer, Engine, ErrorCode, OperationContext, PersistedQuery};
use crate::records::{Asking, Records};

/// The forms of answer that operations have.
const ANSWERS: [Form; 3] = [Form::Json, Form::GraphqlResponse, Form::EventStream];
/// What is logged and counted for a client that hung up: nginx's status for it, which is never sent.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// How many of the letters of an operation's name are logged.
const LONGEST_LOGGED_NAME: usize = 64;

/// The endpoint and all it needs. Shared by all requests.
pub(crate) struct Endpoint {
    pub(crate) engine: Engine,
    pub(crate) records: Records,
    pub(crate) limits: LimitsConfig,
    pub(crate) subscriptions: SubscriptionsConfig,
    /// What GraphiQL starts with, where it is served.
    pub(crate) graphiql: Option<GraphiqlDefaults>,
    pub(crate) in_flight: Arc<Semaphore>,
    /// Places for sockets and event streams.
    pub(crate) places: Places,
    pub(crate) documents: Documents,
    pub(crate) allow_origins: Vec<String>,
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) metrics: HttpMetrics,
    pub(crate) clock: Clock,
}

/// What a log line says of a request beside its outcome.
#[derive(Default)]
struct Noted {
    operation: Option<String>,
    cache: Vec<&'static str>,
    codes: Vec<String>,
    upstream_status: Option<u16>,
}

/// Answers a request, logs it and counts it.
pub(crate) async fn handle(
    State(endpoint): State<Arc<Endpoint>>,
    request: Request<Body>,
) -> Response {
    let request_id = caller::request_id(request.headers());
    let span = tracing::info_span!("request", request.id = %request_id);
    let answering = answer(&endpoint, request, Arc::clone(&request_id));
    async {
        let mut waiting = Waiting { endpoint: &endpoint, since: endpoint.clock.now(), done: false };
        let (mut response, noted) = answering.await;
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
    let mut operations = request::from_query(parts.uri.query().unwrap_or_default())?;
    if form == Form::EventStream {
        // A browser's event source can only GET, and a subscription changes nothing.
        for operation in &mut operations.operations {
            operation.only_query = false;
        }
        return execute(endpoint, parts, operations, form, request_id).await;
    }
    let (response, noted) = execute(endpoint, parts, operations, form, request_id).await?;
    Ok((validated(&parts.headers, response).await, noted))
}

async fn post(
    endpoint: &Arc<Endpoint>,
    parts: &Parts,
    body: Body,
    request_id: Arc<str>,
) -> Result<(Response, Noted), Refusal> {
    let form = form(parts, &ANSWERS)?;
    let LimitsConfig { max_body_bytes, max_batch, request_timeout, .. } = endpoint.limits;
    let reading = request::from_body(&parts.headers, body, max_body_bytes, max_batch);
    let operations = tokio::time::timeout(request_timeout, reading).await.map_err(|_| {
        let message = "the body did not arrive within limits.request_timeout";
        Refusal::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::BadRequest, message)
    })??;
    execute(endpoint, parts, operations, form, request_id).await
}

async fn execute(
    endpoint: &Arc<Endpoint>,
    parts: &Parts,
    operations: Operations,
    form: Form,
    request_id: Arc<str>,
) -> Result<(Response, Noted), Refusal> {
    let Operations { mut operations, is_batch } = operations;
    for operation in &mut operations {
        endpoint.documents.resolve(operation);
    }
    let token = caller::token(&parts.headers)?;
    let Wanted { no_cache, max_age } = cache_headers::wanted(&parts.headers);
    let asking = Asking { token, request_id, no_cache, max_age };
    let operation = operations.first().and_then(|operation| operation.operation_name.clone());
    if form == Form::EventStream {
        let mut operations = operations.into_iter();
        let (Some(only), None) = (operations.next(), operations.next()) else {
            let message = "an event stream answers one operation, not a batch";
            return Err(Refusal::bad_request(message));
        };
        let response = sse::answer(endpoint, only, asking)?;
        return Ok((response, Noted { operation, ..Noted::default() }));
    }
    let persisted: Vec<_> = operations
        .iter()
        .map(|operation| Some((operation.persisted?, operation.query.clone())))
        .collect();
    let answers = match endpoint.engine.admit(operations) {
        Ok(admitted) => {
            let served = endpoint.serve(admitted, &asking).await;
            endpoint.keep_documents(&served, persisted);
            Answers { served, is_batch, form }
        }
        // A limit of the whole request: one answer for all of it.
        Err(error) => Answers { served: vec![Served::refused(error)], is_batch: false, form },
    };
    let noted = Noted::of(endpoint, operation, &answers);
    Ok((answers.into_response(), noted))
}

impl Endpoint {
    /// Executes operations side by side, each within the time that is allowed for the request.
    async fn serve(&self, admitted: Vec<Admitted>, asking: &Asking) -> Vec<Served> {
        join_all(admitted.into_iter().map(|operation| self.serve_one(operation, asking))).await
    }

    /// Keeps the documents that came with their hash and were valid.
    fn keep_documents(&self, served: &[Served], persisted: Vec<Option<(PersistedQuery, String)>>) {
        for (served, persisted) in served.iter().zip(persisted) {
            if let (Answer::Executed(_), Some((hash, text))) = (&served.answer, persisted) {
                self.documents.keep(hash, &text);
            }
        }
    }

    async fn serve_one(&self, operation: Admitted, asking: &Asking) -> Served {
        let reader = Arc::new(self.records.reader(asking.clone()));
        let context = OperationContext::new(Arc::clone(&reader), self.limits.request_timeout);
        let answer = self.engine.execute(operation, context).await;
        Served { answer, summary: reader.summary() }
    }
}

impl Noted {
    fn of(endpoint: &Endpoint, operation: Option<String>, answers: &Answers) -> Self {
        let codes: Vec<String> = answers.errors().map(code_of).collect();
        for code in &codes {
            endpoint.metrics.count_error(code);
        }
        let summary = answers.summary();
        let upstream_status = summary.reads.iter().filter_map(|read| read.upstream_status).max();
        let cache = summary.reads.iter().map(|read| read.outcome.as_str()).collect();
        Self { operation, cache, codes, upstream_status }
    }

    fn log(&self, status: u16, took: Duration) {
        let shown = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        let operation: Option<String> = self
            .operation
            .as_deref()
            .map(|name| name.chars().filter(shown).take(LONGEST_LOGGED_NAME).collect());
        tracing::info!(
            graphql.operation = operation,
            http.status = status,
            upstream.status = self.upstream_status,
            cache = summed_up(&self.cache),
            errors = summed_up(&self.codes),
            duration_ms = took.as_secs_f64() * 1000.0,
            "answered"
        );
    }
}

/// `hit` or `hit:3,miss:1`; nothing for nothing.
fn summed_up<T: AsRef<str>>(names: &[T]) -> Option<String> {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for name in names {
        *counts.entry(name.as_ref()).or_default() += 1;
    }
    let shown = |(name, count): (&str, usize)| match count {
        1 => name.to_owned(),
        _ => format!("{name}:{count}"),
    };
    (!counts.is_empty()).then(|| counts.into_iter().map(shown).collect::<Vec<_>>().join(","))
}

fn code_of(error: &async_graphql::ServerError) -> String {
    let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
    match code {
        Some(async_graphql::Value::String(code)) => code.clone(),
        _ => ErrorCode::Internal.as_str().to_owned(),
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
    let code = refusal.code().as_str();
    endpoint.metrics.count_error(code);
    let noted = Noted { codes: vec![code.to_owned()], ..Noted::default() };
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

fn options() -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, "GET, HEAD, POST, OPTIONS")]).into_response()
}

/// What every answer carries.
fn finish(headers: &mut HeaderMap, request_id: &str) {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", id);
    }
    let vary = HeaderValue::from_static("Accept, X-Auth-Token, Authorization");
    headers.append(header::VARY, vary);
}
