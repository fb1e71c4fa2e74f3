//! Spans of traces: their target, the headers that carry a trace, and what every area says of a span.
//!
//! A span belongs to a trace if its target is [`TARGET`]. Nothing enables that target while traces are
//! off: such a span costs one atomic load. The parent of a new span is the current context, which
//! `tracing-opentelemetry` sets while a span is entered. Work that may outlive the span it belongs to, or
//! that other tasks drive, carries the context and not the span: `work.with_context(Context::current())`.

use http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext, SpanId, Status, TraceContextExt as _, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of every span of a trace. Log lines show none of them.
pub const TARGET: &str = "traces";

/// The header that carries the state of tracing systems.
const TRACESTATE: &str = "tracestate";
/// The longest `tracestate` that is passed on, in bytes: what the standard requires. A caller must not be
/// able to make a request to the upstream that others wait for too large.
const MAX_TRACESTATE_BYTES: usize = 512;

/// The trace that a request belongs to, by its `traceparent` and `tracestate`
/// (<https://www.w3.org/TR/trace-context/>). Empty without valid ones.
pub(crate) fn extract(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers))
}

/// Writes a context's `traceparent` and `tracestate`; nothing while traces are off.
pub(crate) fn inject(context: &Context, headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(context, &mut HeaderInjector(headers));
    let is_passed_on =
        |state: &http::HeaderValue| (1..=MAX_TRACESTATE_BYTES).contains(&state.len());
    if headers.get(TRACESTATE).is_some_and(|state| !is_passed_on(state)) {
        headers.remove(TRACESTATE);
    }
}

/// The context of what happens within a span: the current one if the span is not made, because its trace is
/// not sampled.
///
/// Entering the span in order to read the current context would set the span's end.
pub(crate) fn context_of(span: &Span) -> Context {
    let context = span.context();
    if context.has_active_span() { context } else { Context::current() }
}

/// The span that is current, for a link to it. Invalid while traces are off; a link to that is not made.
pub(crate) fn current() -> SpanContext {
    Context::map_current(|context| context.span().span_context().clone())
}

/// The id of the trace, as log lines show it.
pub(crate) fn trace_id(context: &SpanContext) -> Option<TraceId> {
    context.is_valid().then(|| context.trace_id())
}

/// The id of the span, as log lines show it.
pub(crate) fn span_id(context: &SpanContext) -> Option<SpanId> {
    context.is_valid().then(|| context.span_id())
}

/// Names a span after the type of its GraphQL operation.
pub(crate) fn name_operation(context: &Context, operation_type: &'static str) {
    let span = context.span();
    span.set_attribute(KeyValue::new("graphql.operation.type", operation_type));
    span.update_name(operation_type);
}

/// Marks a span as failed, with one of a small number of error types.
pub(crate) fn fail(span: &Span, error_type: &str) {
    span.set_attribute("error.type", error_type.to_owned());
    span.set_status(Status::error(""));
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), value.parse().unwrap())
        };
        pairs.iter().map(header).collect()
    }

    /// What the upstream receives below a request with these headers.
    fn passed_on(from: &[(&'static str, &str)]) -> HeaderMap {
        let mut sent = HeaderMap::new();
        inject(&extract(&headers(from)), &mut sent);
        sent
    }

    #[test]
    fn trace_and_state_are_passed_on_and_baggage_is_not() {
        let sent = passed_on(&[("traceparent", PARENT), ("tracestate", "a=b"), ("baggage", "c=d")]);

        assert_eq!(sent, headers(&[("traceparent", PARENT), ("tracestate", "a=b")]));
    }

    #[test]
    fn a_traceparent_that_no_standard_knows_is_ignored() {
        for nonsense in ["", "00", "00-0-0-01", "ff-4bf92f3577b34da6a3ce929d0e0e4736-1-01", "é"] {
            let sent = passed_on(&[("traceparent", nonsense), ("tracestate", "a=b")]);

            assert!(sent.is_empty(), "{nonsense}");
        }
    }

    #[test]
    fn a_state_of_more_than_512_bytes_is_dropped_and_the_trace_goes_on() {
        let pair = |number: usize| format!("k{number}={}", "v".repeat(200));
        for (pairs, is_kept) in [(2, true), (3, false)] {
            let state: Vec<String> = (0..pairs).map(pair).collect();
            let state = state.join(",");

            let sent = passed_on(&[("traceparent", PARENT), ("tracestate", &state)]);

            assert!(sent["traceparent"].to_str().unwrap().contains(TRACE));
            assert_eq!(sent.contains_key("tracestate"), is_kept, "{} bytes", state.len());
        }
    }
}
