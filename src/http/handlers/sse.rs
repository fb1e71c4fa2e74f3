//! GraphQL over Server-Sent Events, in the mode of one connection for each operation
//! (<https://github.com/graphql/graphql-over-http/blob/main/rfcs/GraphQLOverSSE.md>).

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::future;
use futures_util::stream::{self, StreamExt as _};
use tokio::time::{Instant, interval_at};

use crate::http::access_log::AccessLogEntry;
use crate::http::caller_request::CallerRequest;
use crate::http::operation_stream::{self, StreamedAnswer};
use crate::http::refusal::Refusal;
use crate::http::request::Operations;
use crate::http::spans;
use crate::http::state::Endpoint;
use crate::http::unsent;

/// A comment is sent after this pause, so that no proxy takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(12);
const COMMENT: Bytes = Bytes::from_static(b":\n\n");
/// Browsers ignore an event without a `data` line.
const COMPLETE: Bytes = Bytes::from_static(b"event: complete\ndata:\n\n");

const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
    // A proxy that compresses holds events back until its buffer is full.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
    // nginx, and proxies that follow it, pass events on as they come.
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
];

/// Answers the one operation of a request with a stream of events: `next` for each answer, then `complete`.
pub(super) fn answer(
    endpoint: &Endpoint,
    request: &CallerRequest,
    operations: Operations,
    log: &mut AccessLogEntry,
) -> Result<Response, Refusal> {
    let mut operations = operations.operations;
    endpoint.take_rate(&request.origin.caller, operations.len())?;
    let (Some(mut operation), true) = (operations.pop(), operations.is_empty()) else {
        let message = "an event stream answers one operation, not a batch";
        return Err(Refusal::bad_request(message));
    };
    endpoint.persisted_queries.resolve(&mut operation);
    log.operation.clone_from(&operation.operation_name);
    let caller = request.origin.caller.clone();
    let permit = endpoint.connections.acquire(Some(caller.identity.limit_key()))?;
    let (origin, asking) = (request.origin.clone(), request.asking());
    let span = spans::operation(log.operation.as_deref());
    let answers = operation_stream::answers(endpoint, origin, asking, operation, span);
    let (stopping, callers) = (endpoint.parts.stopping.clone(), endpoint.parts.callers.clone());
    // No answer goes to a caller whose rights have changed since the operation began.
    let answers = answers.take_while({
        let (callers, caller) = (callers.clone(), caller.clone());
        move |_| future::ready(callers.still_accepts(&caller))
    });
    let ended = async move {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = callers.until_rejected(caller) => {}
        }
    };
    let events = answers.map(next).chain(stream::iter([COMPLETE])).take_until(ended);
    let comments = interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    let body = tokio_stream::StreamExt::timeout_repeating(events, comments).map(move |event| {
        let _held_while_the_stream_lives = &permit;
        Ok::<_, Infallible>(event.unwrap_or(COMMENT))
    });
    Ok((HEADERS, Body::from_stream(body)).into_response())
}

/// An event with an answer. JSON is written on one line, so one `data` line holds it.
fn next(StreamedAnswer { json, room, .. }: StreamedAnswer) -> Bytes {
    let event = [b"event: next\ndata: ", &*json, b"\n\n"].concat();
    unsent::keep_room(event.into(), room)
}
