//! GraphQL over Server-Sent Events, in the mode of one connection for each operation
//! (<https://github.com/graphql/graphql-over-sse>).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, StreamExt as _};

use super::callers::Caller;
use super::endpoint::Endpoint;
use super::log_line::StreamLog;
use super::refusal::Refusal;
use super::response::Served;
use super::traced;
use crate::graphql::{Operation, OperationContext};
use crate::records::Asking;

/// A comment is sent so often, so that nobody on the way takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(12);

/// Answers an operation with a stream of events: `next` for each answer, then `complete`.
pub(crate) fn answer(
    endpoint: &Arc<Endpoint>,
    operation: Operation,
    asking: Asking,
    caller: Caller,
) -> Result<Response, Refusal> {
    let Ok(place) = Arc::clone(&endpoint.long_lived).try_acquire_owned() else {
        return Err(Refusal::overloaded());
    };
    let Some(own_place) = endpoint.connections.acquire(caller.identity.limit_key()) else {
        return Err(Refusal::too_many_connections(endpoint.connections.limit()));
    };
    let Endpoint { metrics, clock, .. } = &**endpoint;
    let name = operation.operation_name.clone();
    let request_id = Arc::clone(&asking.request_id);
    let span = traced::operation(&asking.trace, name.as_deref());
    let asking = Asking { trace: span.trace().clone(), ..asking };
    let reader = Arc::new(endpoint.records.reader(asking));
    let log = StreamLog::begin((&caller, &request_id), name, &reader, metrics, clock);
    let mut log = log.traced(span);
    let context = OperationContext::new(Arc::clone(&reader), endpoint.limits.request_timeout);
    let answers = match endpoint.engine.admit(vec![operation]) {
        Ok(admitted) => stream::iter(admitted)
            .flat_map({
                let endpoint = Arc::clone(endpoint);
                move |admitted| endpoint.engine.execute_stream(admitted, context.clone())
            })
            .map(move |answer| Served { answer, is_stale: reader.is_stale() })
            .boxed(),
        Err(error) => stream::iter([Served::refused(error)]).boxed(),
    };
    let next = move |served: Served| {
        log.note(&served);
        let json = served.json().unwrap_or_default();
        Event::default().event("next").data(String::from_utf8_lossy(&json))
    };
    // The specification wants a `data` line on `complete` too, or browsers pass it over.
    let complete = Event::default().event("complete").data("");
    let (stopping, callers) = (endpoint.stopping.clone(), endpoint.callers.clone());
    let over = async move {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = callers.lapse(caller) => {}
        }
    };
    let events = answers
        .map(next)
        .chain(stream::iter([complete]))
        .map(move |event| {
            // A place is taken for as long as the stream lives.
            let _taken = (&place, &own_place);
            Ok::<_, Infallible>(event)
        })
        .take_until(over);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}
