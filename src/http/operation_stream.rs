//! The answers to one operation of a socket or an event stream.

use std::sync::Arc;

use axum::body::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::TraceContextExt as _;
use tracing::Span;

use super::response::Served;
use super::state::Endpoint;
use super::stream_access_log::{LoggedOperation, StreamAccessLog};
use super::unsent::{self, NoRoom, Room};
use crate::graphql::{Operation, OperationContext, ResponseSize};
use crate::records::RequestContext;
use crate::spans::context_of;

/// An operation whose answers are streamed, and who sent it.
pub(crate) struct StreamedOperation {
    pub(crate) operation: Operation,
    pub(crate) asking: RequestContext,
    pub(crate) caller_name: Option<Arc<str>>,
    /// Ends with the stream.
    pub(crate) span: Span,
}

/// One answer of a stream.
pub(crate) struct StreamedAnswer {
    pub(crate) served: Served,
    pub(crate) json: Bytes,
    /// To be kept until the client has the answer.
    pub(crate) room: Option<Room>,
}

/// The answers to an operation: one for a query, any number for a subscription. The log says at the
/// end of the stream what became of it.
pub(crate) fn answers(
    endpoint: &Endpoint,
    streamed: StreamedOperation,
) -> BoxStream<'static, StreamedAnswer> {
    let Endpoint { engine, records, limits, metrics, clock, .. } = endpoint;
    let unsent = endpoint.unsent.clone();
    let StreamedOperation { operation, asking, caller_name, span } = streamed;
    let trace = context_of(&span);
    let caller = asking.identity.limit_key();
    let (name, request_id) = (operation.operation_name.clone(), Arc::clone(&asking.request_id));
    let reader = Arc::new(records.reader(asking));
    let size = Arc::new(ResponseSize::new(limits.max_response_bytes));
    let context = OperationContext::new(reader, limits.request_timeout, size);
    let logged_span = trace.span().span_context().clone();
    let logged = LoggedOperation { name, request_id, caller_name, span, logged_span };
    let mut log = StreamAccessLog::begin(logged, context.clone(), metrics, clock);
    let executed = match engine.admit(vec![operation]) {
        Ok(admitted) => {
            let (engine, context) = (engine.clone(), context.clone());
            let execute = move |admitted| engine.execute_stream(admitted, context.clone());
            stream::iter(admitted).flat_map(execute).boxed()
        }
        Err(error) => stream::iter([Served::refused(error).answer]).boxed(),
    };
    let written = executed.map(move |answer| {
        let read = context.take_summary();
        let mut served = Served { answer, is_stale: read.is_stale_on_error() };
        let mut json = served.write(context.size());
        let room = unsent::reserve(&unsent, || caller, json.len()).unwrap_or_else(|NoRoom| {
            served = Served::overloaded();
            json = served.write(context.size());
            None
        });
        log.add(&served, &read);
        StreamedAnswer { served, json, room }
    });
    written.with_context(trace).boxed()
}
