//! One request whose caller is known: from the response cache or by execution, to the complete response.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::future::{join_all, poll_immediate};
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::access_log::{AccessLogEntry, code_of};
use super::audit_log::Lines;
use super::caller_request::CallerRequest;
use super::compression;
use super::metrics::OperationOutcome;
use super::negotiation::MediaType;
use super::refusal::Refusal;
use super::request::Operations;
use super::response::{BatchResponse, CompleteResponse, OperationResponse};
use super::response_cache::{CachedResponse, ResponseKey};
use super::spans as http_spans;
use super::state::Endpoint;
use super::unsent;
use crate::graphql::{Admitted, Answer, OperationContext, ResponseSize};
use crate::records::ReadSummary;
use crate::spans;

/// The response from the response cache, if it has one that is still valid and fresh enough.
///
/// # Errors
/// When the caller exceeds the rate limit.
pub(crate) async fn cached(
    endpoint: &Endpoint,
    request: &CallerRequest,
    key: &ResponseKey,
    log: &mut AccessLogEntry,
) -> Result<Option<Response>, Refusal> {
    if request.explain || request.cache.no_cache {
        return Ok(None);
    }
    let Some(cached) = endpoint.responses.get(key) else { return Ok(None) };
    let reader = endpoint.parts.records.reader_of(request.data_of, request.asking());
    let Some(hits) = reader.revalidate(&cached.dependencies) else { return Ok(None) };
    endpoint.take_rate(&request.origin.caller, 1)?;
    let span = http_spans::operation(cached.operation_name.as_deref());
    spans::name_operation(&span.context(), "query");
    span.in_scope(|| reader.note_hits(&cached.dependencies, hits));
    endpoint.parts.metrics.responses_reused.inc();
    let summary = reader.take_summary();
    let complete = CompleteResponse::new(request.media_type, &summary, cached.body.clone());
    let lines = endpoint.parts.audit.lines(&request.origin, [&cached.events]);
    let response = send(endpoint, request, complete, lines).await?;
    endpoint.parts.metrics.count_operation(OperationOutcome::Ok, &request.origin.app);
    log.operation.clone_from(&cached.operation_name);
    log.add_read(summary);
    Ok(Some(response))
}

/// Executes the operations of a request. The response is cached under `key`, where it may be reused.
///
/// # Errors
/// When the caller exceeds the rate limit, or has too many requests in progress.
pub(crate) async fn run(
    endpoint: &Endpoint,
    request: &CallerRequest,
    operations: Operations,
    key: Option<ResponseKey>,
    log: &mut AccessLogEntry,
) -> Result<Response, Refusal> {
    endpoint.take_rate(&request.origin.caller, operations.operations.len())?;
    let key = key.filter(|_| !request.explain && operations.is_cacheable());
    let first = operations.operations.first();
    log.operation = first.and_then(|operation| operation.operation_name.clone());
    let size = Arc::new(ResponseSize::new(endpoint.parts.limits.max_response_bytes));
    let mut batch = execute(endpoint, request, operations, &size).await?;
    let mut read = ReadSummary::default();
    for response in &mut batch.responses {
        read.add(std::mem::take(&mut response.read));
    }
    let body = batch.write(&size);
    let is_good = batch.is_good();
    if is_good
        && let Some(key) = key
        && let [OperationResponse { dependencies, events, .. }] = &mut *batch.responses
        && let Some(dependencies) = dependencies.take()
    {
        let response = CachedResponse {
            body: Bytes::copy_from_slice(&body),
            operation_name: log.operation.clone(),
            events: events.clone(),
            dependencies,
        };
        endpoint.responses.insert(key, response);
    }
    let mut complete = CompleteResponse::new(request.media_type, &read, body);
    // An explanation is about one reading, and of no use for another.
    if !is_good || request.explain {
        complete.forbid_caching();
    }
    if batch.is_refused() && request.media_type == MediaType::GraphqlResponse {
        complete.status = StatusCode::BAD_REQUEST;
    }
    let events = batch.responses.iter().map(|response| &response.events);
    let lines = endpoint.parts.audit.lines(&request.origin, events);
    let response = send(endpoint, request, complete, lines).await?;
    for one in &batch.responses {
        endpoint.parts.metrics.count_operation(one.outcome(), &request.origin.app);
        for code in one.result.errors.iter().map(code_of) {
            log.add_error(code, &endpoint.parts.metrics);
        }
    }
    log.add_read(read);
    Ok(response)
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
    mut response: CompleteResponse,
    lines: Lines,
) -> Result<Response, Refusal> {
    let caller = || request.origin.caller.identity.limit_key();
    let room = unsent::reserve(&endpoint.unsent, caller, response.body.len())?;
    endpoint.parts.audit.write(lines).await?;
    let may_compress = endpoint.parts.graphql.compression && !response.has_links;
    let coding = may_compress.then(|| compression::choose(&request.headers, &response.body));
    let coding = coding.flatten();
    if request.by_get || coding.is_some() {
        let encoding = compression::encode(request, response, coding, &endpoint.parts.tasks);
        response = Box::pin(encoding).await?;
    }
    Ok(response.with_room(room))
}

/// Executes operations, and keeps the documents of valid ones that came with their hash.
async fn execute(
    endpoint: &Endpoint,
    request: &CallerRequest,
    operations: Operations,
    size: &Arc<ResponseSize>,
) -> Result<BatchResponse, Refusal> {
    let Operations { mut operations, is_batch } = operations;
    for operation in &mut operations {
        endpoint.persisted_queries.resolve(operation);
        operation.explain = request.explain;
    }
    let hashed = operations.iter().map(|one| Some((one.persisted?, one.query.clone())));
    let hashed: Vec<_> = hashed.collect();
    let admitted = match endpoint.engine.admit(operations) {
        Ok(admitted) => admitted,
        Err(error) => {
            // One answer for all operations.
            let refused = Answer::refused(vec![error]);
            let refused = OperationResponse::new(None, refused, ReadSummary::default());
            return Ok(BatchResponse { responses: vec![refused], is_batch: false });
        }
    };
    if request.by_get && !admitted.iter().all(Admitted::is_query) {
        return Err(Refusal::method("POST", "only queries may be asked for by GET: use POST"));
    }
    let responses = execute_all(endpoint, request, admitted, size).await?;
    for (response, hashed) in responses.iter().zip(hashed) {
        if let Some((hash, document)) = hashed.filter(|_| response.result.body.is_some()) {
            endpoint.persisted_queries.keep(hash, &document);
        }
    }
    Ok(BatchResponse { responses, is_batch })
}

/// Executes operations side by side, each within `limits.request_timeout`.
async fn execute_all(
    endpoint: &Endpoint,
    request: &CallerRequest,
    admitted: Vec<Admitted>,
    size: &Arc<ResponseSize>,
) -> Result<Vec<OperationResponse>, Refusal> {
    let all = join_all(admitted.into_iter().map(|one| execute_one(endpoint, request, one, size)));
    let mut executing = Box::pin(all);
    // Where the record cache has everything, one poll is enough, without a permit.
    if let Some(executed) = poll_immediate(executing.as_mut()).await {
        return Ok(executed);
    }
    let _permit = endpoint.permit_to_wait(&request.origin.caller)?;
    Ok(executing.await)
}

async fn execute_one(
    endpoint: &Endpoint,
    request: &CallerRequest,
    operation: Admitted,
    size: &Arc<ResponseSize>,
) -> OperationResponse {
    let span = http_spans::operation(operation.name.as_deref());
    let reader = Arc::new(endpoint.parts.records.reader_of(request.data_of, request.asking()));
    let timeout = endpoint.parts.limits.request_timeout;
    let context = OperationContext::new(Arc::clone(&reader), timeout, Arc::clone(size));
    let name = operation.name.clone();
    let answer = endpoint.engine.execute(operation, context).instrument(span.clone()).await;
    let response = OperationResponse::new(name.as_ref(), answer, reader.take_summary());
    http_spans::operation_answered(&span, &response);
    OperationResponse { dependencies: reader.take_dependencies(), ..response }
}
