//! One request whose caller is known: from the response cache or by execution, to the complete response.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::{join_all, poll_immediate};
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::access_log::{AccessLogEntry, code_of};
use super::audit_log::Lines;
use super::auth::Caller;
use super::cache_headers::Quality;
use super::caller_request::CallerRequest;
use super::compression;
use super::etag::validated;
use super::metrics::{HttpMetrics, OperationOutcome};
use super::refusal::Refusal;
use super::request::Operations;
use super::response::{BatchResponse, CompleteResponse, OperationResponse};
use super::response_cache::{CachedResponse, RequestEncoding, ResponseKey};
use super::spans as http_spans;
use super::state::Endpoint;
use super::unsent;
use crate::graphql::{Admitted, Answer, Operation, OperationContext, ResponseSize};
use crate::spans;

/// A response, and what the access log says about it.
pub(crate) struct Reply {
    pub(crate) response: Response,
    pub(crate) log: AccessLogEntry,
}

impl Reply {
    pub(crate) fn refused(metrics: &HttpMetrics, refusal: Refusal) -> Self {
        let mut log = AccessLogEntry::default();
        metrics.count_error(refusal.code().as_str());
        log.add_error(refusal.code().as_str().to_owned());
        Self { response: refusal.into_response(), log }
    }

    /// A reply to an authenticated caller, who is named in the access log.
    pub(crate) fn to_caller(
        metrics: &HttpMetrics,
        caller: Caller,
        reply: Result<Self, Refusal>,
    ) -> Self {
        let mut reply = reply.unwrap_or_else(|refusal| Self::refused(metrics, refusal));
        reply.log.caller = caller.name;
        reply
    }
}

/// The reply from the response cache, if it has one that is still valid and fresh enough.
///
/// # Errors
/// When the caller exceeds the rate limit.
pub(crate) async fn cached(
    endpoint: &Endpoint,
    request: &CallerRequest,
    key: &ResponseKey,
) -> Result<Option<Reply>, Refusal> {
    if request.explain || request.cache.no_cache {
        return Ok(None);
    }
    let Some(cached) = endpoint.responses.get(key) else { return Ok(None) };
    let reader = endpoint.records.reader_of(Some(key.data_of), request.asking());
    let Some(hits) = reader.revalidate(&cached.dependencies) else { return Ok(None) };
    endpoint.take_rate(&request.origin.caller, 1)?;
    let span = http_spans::operation(cached.operation_name.as_deref());
    spans::name_operation(&span.context(), "query");
    span.in_scope(|| reader.note_hits(&cached.dependencies, hits));
    endpoint.metrics.responses_reused.inc();
    let summary = reader.take_summary();
    let body = cached.body.clone();
    let complete = CompleteResponse::new(request.media_type, &summary, Quality::Complete, body);
    let lines = endpoint.audit.lines(&request.origin, [&cached.events]);
    let response = send(endpoint, request, key.sent.encoding, complete, lines).await?;
    endpoint.metrics.count_operation(OperationOutcome::Ok, &request.origin.app);
    let operation = cached.operation_name.clone();
    let mut log = AccessLogEntry::of(None, operation);
    log.add_read(summary);
    Ok(Some(Reply { response, log }))
}

/// Executes the operations of a request. The response is cached under `key`, where it may be reused.
///
/// # Errors
/// When the caller exceeds the rate limit, or has too many requests in progress.
pub(crate) async fn run(
    endpoint: &Endpoint,
    request: &CallerRequest,
    operations: Operations,
    encoding: RequestEncoding,
    key: Option<ResponseKey>,
) -> Result<Reply, Refusal> {
    let Operations { mut operations, is_batch } = operations;
    let by_get = encoding == RequestEncoding::Parameters;
    endpoint.take_rate(&request.origin.caller, operations.len())?;
    let is_cacheable = !is_batch && !request.explain && operations.iter().all(is_cacheable);
    for operation in &mut operations {
        endpoint.persisted_queries.resolve(operation);
        operation.explain = request.explain;
    }
    let name = operations.first().and_then(|operation| operation.operation_name.clone());
    let persisted: Vec<Option<Operation>> = operations.iter().map(persisted_document).collect();
    let size = Arc::new(ResponseSize::new(endpoint.limits.max_response_bytes));
    let mut batch = match endpoint.engine.admit(operations) {
        Ok(admitted) if by_get && !admitted.iter().all(Admitted::is_query) => {
            return Err(Refusal::method("POST", "only queries may be asked for by GET: use POST"));
        }
        Ok(admitted) => {
            let responses = execute(endpoint, request, admitted, &size).await?;
            BatchResponse::new(request.media_type, is_batch, responses)
        }
        // One answer for all operations.
        Err(error) => BatchResponse::refused(request.media_type, error),
    };
    keep_documents(endpoint, &batch.responses, &persisted);
    let body = batch.write(&size);
    if is_cacheable
        && batch.is_good()
        && let [OperationResponse { dependencies, events, .. }] = &mut *batch.responses
        && let Some(dependencies) = dependencies.take()
        && let Some(key) = key
    {
        let response = CachedResponse {
            body: Bytes::copy_from_slice(&body),
            operation_name: name.clone(),
            events: events.clone(),
            dependencies,
        };
        endpoint.responses.insert(key, response);
    }
    let mut complete = batch.complete(body);
    if request.explain {
        // It is about one reading, and of no use for another.
        let no_store = HeaderValue::from_static("no-store");
        complete.headers.insert(header::CACHE_CONTROL, no_store);
    }
    let events = batch.responses.iter().map(|response| &response.events);
    let lines = endpoint.audit.lines(&request.origin, events);
    let response = send(endpoint, request, encoding, complete, lines).await?;
    let mut log = AccessLogEntry::of(None, name);
    for one in &batch.responses {
        note(&endpoint.metrics, request, one, &mut log);
    }
    log.add_read(batch.read);
    Ok(Reply { response, log })
}

/// Counts an operation and its errors.
fn note(
    metrics: &HttpMetrics,
    request: &CallerRequest,
    response: &OperationResponse,
    log: &mut AccessLogEntry,
) {
    metrics.count_operation(response.outcome(), &request.origin.app);
    for code in response.result.errors().iter().map(code_of) {
        metrics.count_error(&code);
        log.add_error(code);
    }
}

/// Makes the HTTP response: reserves room for it, writes its audit events, adds the validator to answers by
/// GET, and compresses it.
///
/// # Errors
/// If responses that clients have not read leave no room for it, or its audit events are required and cannot
/// be written.
async fn send(
    endpoint: &Endpoint,
    request: &CallerRequest,
    encoding: RequestEncoding,
    mut response: CompleteResponse,
    lines: Lines,
) -> Result<Response, Refusal> {
    let caller = || request.origin.caller.identity.limit_key();
    let room = unsent::reserve(&endpoint.unsent, caller, response.body.len())?;
    endpoint.audit.write(lines).await?;
    let may_compress = endpoint.graphql.compression && !response.has_links;
    let coding = may_compress.then(|| compression::choose(&request.headers, &response.body));
    let coding = coding.flatten();
    if encoding == RequestEncoding::Parameters {
        response = Box::pin(validated(&request.headers, response, coding, &endpoint.tasks)).await?;
    }
    if let Some(coding) = coding.filter(|_| !response.body.is_empty()) {
        response = Box::pin(compression::compressed(response, coding, &endpoint.tasks)).await;
    }
    Ok(response.with_room(room))
}

/// A document that comes with its hash has to reach the persisted queries each time.
fn is_cacheable(operation: &Operation) -> bool {
    operation.persisted.is_none() || operation.query.is_empty()
}

/// Executes operations side by side, each within `limits.request_timeout`.
async fn execute(
    endpoint: &Endpoint,
    request: &CallerRequest,
    admitted: Vec<Admitted>,
    size: &Arc<ResponseSize>,
) -> Result<Vec<OperationResponse>, Refusal> {
    let all = join_all(admitted.into_iter().map(|one| execute_one(endpoint, request, one, size)));
    let mut executing = Box::pin(all.instrument(request.log_span()));
    // Where the record cache has everything, one poll is enough, without a permit.
    if let Some(executed) = poll_immediate(executing.as_mut()).await {
        return Ok(executed);
    }
    let caller = request.origin.caller.identity.limit_key();
    let permit = endpoint.waiting.try_acquire(caller, 1);
    let _permit = permit.ok_or_else(Refusal::too_many_waiting)?;
    Ok(executing.await)
}

async fn execute_one(
    endpoint: &Endpoint,
    request: &CallerRequest,
    operation: Admitted,
    size: &Arc<ResponseSize>,
) -> OperationResponse {
    let span = http_spans::operation(operation.name().map(|name| &**name));
    let reader = Arc::new(endpoint.records.reader(request.asking()));
    let timeout = endpoint.limits.request_timeout;
    let context = OperationContext::new(Arc::clone(&reader), timeout, Arc::clone(size));
    let name = operation.name().cloned();
    let answer = endpoint.engine.execute(operation, context).instrument(span.clone()).await;
    let response = OperationResponse::new(name.as_ref(), answer, reader.take_summary());
    http_spans::operation_answered(&span, &response);
    OperationResponse { dependencies: reader.take_dependencies(), ..response }
}

/// The document of an operation that came with its hash, without its variables.
fn persisted_document(operation: &Operation) -> Option<Operation> {
    let persisted = Some(operation.persisted?);
    Some(Operation { query: operation.query.clone(), persisted, ..Operation::default() })
}

/// Keeps the documents that came with their hash and were valid.
fn keep_documents(
    endpoint: &Endpoint,
    responses: &[OperationResponse],
    sent: &[Option<Operation>],
) {
    for (response, operation) in responses.iter().zip(sent) {
        if let (Answer::Executed(_), Some(operation)) = (&response.result, operation) {
            endpoint.persisted_queries.keep(operation);
        }
    }
}
