//! One request whose caller is known: from the response cache or by execution, to the complete response.

use std::sync::Arc;

use axum::body::Bytes;
use axum::response::{IntoResponse as _, Response};
use futures_util::future::{join_all, poll_immediate};
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::access_log::AccessLogEntry;
use super::audit_log::{AnswerEvents, Lines};
use super::auth::Caller;
use super::caller_request::CallerRequest;
use super::compression;
use super::etag::validated;
use super::explain;
use super::metrics::{HttpMetrics, OperationOutcome};
use super::refusal::Refusal;
use super::request::Operations;
use super::response::{Answers, CompleteResponse, Served};
use super::response_cache::{CachedResponse, RequestBytes, RequestEncoding, ResponseLookup};
use super::spans as http_spans;
use super::state::Endpoint;
use super::unsent;
use crate::graphql::{Admitted, Answer, Operation, OperationContext, ResponseSize};
use crate::records::{CallerKey, Dependency, ReadSummary};
use crate::spans;

/// A response, and what the access log says about it.
pub(crate) struct Reply {
    pub(crate) response: Response,
    pub(crate) log: AccessLogEntry,
}

/// The answer of one operation.
struct ExecutedOne {
    served: Served,
    summary: ReadSummary,
    dependencies: Option<Vec<Dependency>>,
}

impl Reply {
    pub(crate) fn refused(metrics: &HttpMetrics, refusal: Refusal) -> Self {
        let log = AccessLogEntry::refused(metrics, refusal.code());
        Self { response: refusal.into_response(), log }
    }

    /// A reply to an authenticated caller, who is named in the access log.
    pub(crate) fn to_caller(
        metrics: &HttpMetrics,
        caller: Caller,
        reply: Result<Self, Refusal>,
    ) -> Self {
        let Self { response, log } =
            reply.unwrap_or_else(|refusal| Self::refused(metrics, refusal));
        Self { response, log: log.with_caller(caller.name) }
    }
}

/// The reply from the response cache, if it has one that is still valid and fresh enough.
///
/// # Errors
/// When the caller exceeds the rate limit.
pub(crate) async fn cached(
    endpoint: &Endpoint,
    request: &CallerRequest,
    sent: RequestBytes<'_>,
) -> Result<Option<Reply>, Refusal> {
    if request.explain || request.cache.no_cache {
        return Ok(None);
    }
    let reader = endpoint.records.reader(request.asking());
    let lookup = reader.caller().map(|data_of| lookup(request, data_of, sent));
    let Some(cached) = lookup.and_then(|lookup| endpoint.responses.get(&lookup)) else {
        return Ok(None);
    };
    let Some(hits) = reader.revalidate(&cached.dependencies) else { return Ok(None) };
    endpoint.take_rate(&request.origin.caller, 1)?;
    let span = http_spans::operation(cached.operation_name.as_deref());
    spans::name_operation(&span.context(), "query");
    span.in_scope(|| reader.note_hits(&cached.dependencies, hits));
    endpoint.metrics.responses_reused.inc();
    let summary = reader.take_summary();
    let complete = CompleteResponse::good(request.media_type, &summary, cached.body.clone());
    let lines = endpoint.audit.lines(&request.origin, [&cached.events]);
    let response = send(endpoint, request, sent.encoding, complete, lines).await?;
    endpoint.metrics.count_operation(OperationOutcome::Ok, &request.origin.app);
    let log = AccessLogEntry::of_operation(cached.operation_name.clone()).with_reads(summary);
    Ok(Some(Reply { response, log }))
}

/// Executes the operations of a request. The response is cached under `sent`, where it may be reused.
///
/// # Errors
/// When the caller exceeds the rate limit, or has too many requests in progress.
pub(crate) async fn run(
    endpoint: &Endpoint,
    request: &CallerRequest,
    operations: Operations,
    sent: RequestBytes<'_>,
) -> Result<Reply, Refusal> {
    let Operations { mut operations, is_batch } = operations;
    let by_get = sent.encoding == RequestEncoding::Parameters;
    endpoint.take_rate(&request.origin.caller, operations.len())?;
    let is_cacheable = !is_batch && !request.explain && operations.iter().all(is_cacheable);
    for operation in &mut operations {
        endpoint.persisted_queries.resolve(operation);
        operation.explain = request.explain;
    }
    let name = operations.first().and_then(|operation| operation.operation_name.clone());
    let persisted: Vec<Option<Operation>> = operations.iter().map(persisted_document).collect();
    let size = Arc::new(ResponseSize::new(endpoint.limits.max_response_bytes));
    let mut answers = Answers::new(request.media_type, is_batch);
    match endpoint.engine.admit(operations) {
        Ok(admitted) if by_get && !admitted.iter().all(Admitted::is_query) => {
            return Err(Refusal::method("POST", "only queries may be asked for by GET: use POST"));
        }
        Ok(admitted) => {
            for one in execute(endpoint, request, admitted, &size).await? {
                answers.served.push(one.served);
                answers.summary.add(one.summary);
                answers.dependencies = one.dependencies;
            }
        }
        // One answer for all operations.
        Err(error) => answers = Answers::refused(request.media_type, error),
    }
    keep_documents(endpoint, &answers.served, &persisted);
    let body = answers.write(&size);
    if is_cacheable
        && answers.are_good()
        && let Some(dependencies) = answers.dependencies.take()
        && let Some(data_of) = endpoint.records.caller(request.origin.caller.token.as_ref())
    {
        let response = CachedResponse {
            body: Bytes::copy_from_slice(&body),
            operation_name: name.clone(),
            events: answers.served.first().map(|served| served.events.clone()).unwrap_or_default(),
            dependencies,
            fresh_until: endpoint.clock.now() + answers.summary.remaining(),
        };
        endpoint.responses.insert(lookup(request, data_of, sent), response);
    }
    let mut complete = answers.complete(body);
    if request.explain {
        explain::keep_nowhere(&mut complete.headers);
    }
    let events = answers.served.iter().map(|served| &served.events);
    let lines = endpoint.audit.lines(&request.origin, events);
    let response = send(endpoint, request, sent.encoding, complete, lines).await?;
    let log = AccessLogEntry::of(&endpoint.metrics, &request.origin.app, name, &answers);
    let log = log.with_reads(answers.summary);
    Ok(Reply { response, log })
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
    let may_compress = endpoint.compression && !response.has_links;
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

fn lookup<'r>(
    request: &CallerRequest,
    data_of: CallerKey,
    sent: RequestBytes<'r>,
) -> ResponseLookup<'r> {
    ResponseLookup::new(&request.origin.caller, data_of, request.media_type, sent)
}

/// Executes operations side by side, each within `limits.request_timeout`.
async fn execute(
    endpoint: &Endpoint,
    request: &CallerRequest,
    admitted: Vec<Admitted>,
    size: &Arc<ResponseSize>,
) -> Result<Vec<ExecutedOne>, Refusal> {
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
) -> ExecutedOne {
    let span = http_spans::operation(operation.name().map(|name| &**name));
    let reader = Arc::new(endpoint.records.reader(request.asking()));
    let timeout = endpoint.limits.request_timeout;
    let context = OperationContext::new(Arc::clone(&reader), timeout, Arc::clone(size));
    let name = operation.name().cloned();
    let answer = endpoint.engine.execute(operation, context).instrument(span.clone()).await;
    let mut summary = reader.take_summary();
    let events = AnswerEvents::take(name.as_ref(), &mut summary);
    let served = Served { answer, is_stale: summary.is_stale_on_error(), events };
    http_spans::operation_answered(&span, &served);
    ExecutedOne { served, summary, dependencies: reader.take_dependencies() }
}

/// The document of an operation that came with its hash, without its variables.
fn persisted_document(operation: &Operation) -> Option<Operation> {
    let persisted = Some(operation.persisted?);
    Some(Operation { query: operation.query.clone(), persisted, ..Operation::default() })
}

/// Keeps the documents that came with their hash and were valid.
fn keep_documents(endpoint: &Endpoint, served: &[Served], sent: &[Option<Operation>]) {
    for (served, operation) in served.iter().zip(sent) {
        if let (Answer::Executed(_), Some(operation)) = (&served.answer, operation) {
            endpoint.persisted_queries.keep(operation);
        }
    }
}
