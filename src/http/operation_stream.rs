//! The answers to one operation of a socket or an event stream.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt as _};

use super::endpoint::Endpoint;
use super::response::Served;
use super::stream_log::{LoggedOperation, StreamLog};
use crate::graphql::{Operation, OperationContext};
use crate::records::Asking;
use crate::trace::Span;

/// An operation whose answers are streamed, and who sent it.
pub(crate) struct StreamedOperation {
    pub(crate) operation: Operation,
    pub(crate) asking: Asking,
    pub(crate) caller_name: Option<Arc<str>>,
    /// Ends with the stream.
    pub(crate) span: Span,
}

/// The answers to an operation: one for a query, any number for a subscription. The log says at the
/// end of the stream what became of it.
pub(crate) fn answers(
    endpoint: &Endpoint,
    streamed: StreamedOperation,
) -> BoxStream<'static, Served> {
    let Endpoint { engine, records, limits, metrics, clock, .. } = endpoint;
    let StreamedOperation { operation, asking, caller_name, span } = streamed;
    let asking = Asking { trace: span.trace().clone(), ..asking };
    let (name, request_id) = (operation.operation_name.clone(), Arc::clone(&asking.request_id));
    let context = OperationContext::new(Arc::new(records.reader(asking)), limits.request_timeout);
    let logged = LoggedOperation { name, request_id, caller_name, span };
    let mut log = StreamLog::begin(logged, context.clone(), metrics, clock);
    let executed = match engine.admit(vec![operation]) {
        Ok(admitted) => {
            let (engine, context) = (engine.clone(), context.clone());
            let execute = move |admitted| engine.execute_stream(admitted, context.clone());
            stream::iter(admitted).flat_map(execute).boxed()
        }
        Err(error) => stream::iter([Served::refused(error).answer]).boxed(),
    };
    let served = executed.map(move |answer| {
        let read = context.take_summary();
        let served = Served { answer, is_stale: read.is_stale_on_error() };
        log.add(&served, &read);
        served
    });
    served.boxed()
}
