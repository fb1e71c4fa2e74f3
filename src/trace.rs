//! Spans: how the areas tell what they are doing within a trace, by the API of OpenTelemetry.
//!
//! Nothing here is global. A [`Tracer`] is handed to who begins traces; a [`Trace`] goes down with a
//! request, and whatever is begun under it becomes its child. Where traces are off both are empty, what
//! describes a span is never made, and each call is one look at an `Option`. Where spans go, and which are
//! kept, is `telemetry`'s to know.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{
    Link, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, Value};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;

pub use opentelemetry::KeyValue;

/// The header that `tracestate` travels in.
const TRACESTATE: &str = "tracestate";
/// The longest that is passed on, in bytes: what the standard asks for. A longer one is dropped, or a caller
/// could make a call that others wait for as large as the upstream refuses.
const LONGEST_TRACESTATE: usize = 512;

/// Begins traces; none where it is empty.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<SdkTracer>>);

/// A place in a trace, for what happens below it; nowhere where traces are off.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<Place>>);

struct Place {
    tracer: Arc<SdkTracer>,
    /// Holds the span.
    context: Context,
    /// Whether anything that is said of it is kept: the sampler has chosen it.
    is_kept: bool,
}

/// Something under way. It ends when dropped, however that comes about.
#[derive(Debug, Default)]
pub struct Span(Trace);

/// What a span is called, what it is, and what is known of it from the start.
pub struct Begun {
    /// Low in number: no id, no text of a caller's.
    pub name: Cow<'static, str>,
    /// Which side of a call it is.
    pub kind: Kind,
    /// In the names of OpenTelemetry's semantic conventions where they have one.
    pub attributes: Vec<KeyValue>,
}

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Answering somebody.
    Server,
    /// Asking somebody.
    Client,
    /// Neither.
    Internal,
}

impl Tracer {
    /// Begins traces with an SDK's tracer.
    pub fn new(tracer: SdkTracer) -> Self {
        Self(Some(Arc::new(tracer)))
    }

    /// Whether there are traces at all.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A span for a request, below the span that its `traceparent` and `tracestate` tell of, if any
    /// (<https://www.w3.org/TR/trace-context/>).
    pub fn accept(&self, headers: &HeaderMap, begun: impl FnOnce() -> Begun) -> Span {
        let Some(tracer) = &self.0 else { return Span::default() };
        let parent =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
        Place::begin(tracer, &parent, begun(), None)
    }
}

impl Trace {
    /// Nowhere, as where traces are off.
    pub const NONE: Self = Self(None);

    /// A span below this place.
    pub fn begin(&self, begun: impl FnOnce() -> Begun) -> Span {
        match &self.0 {
            // What is below a span that is not kept is not kept either.
            Some(place) if !place.is_kept => Span(self.clone()),
            Some(place) => Place::begin(&place.tracer, &place.context, begun(), None),
            None => Span::default(),
        }
    }

    /// A span that begins a trace of its own, with a link to this place: for what comes from here and
    /// lasts for long, or happens again and again.
    pub fn begin_apart(&self, begun: impl FnOnce() -> Begun) -> Span {
        let Some(place) = &self.0 else { return Span::default() };
        Place::begin(&place.tracer, &Context::new(), begun(), Some(place.span_context()))
    }

    /// Whether what is said of this place is kept.
    pub fn is_kept(&self) -> bool {
        self.0.as_ref().is_some_and(|place| place.is_kept)
    }

    /// Writes `traceparent` and `tracestate` for who is called from here; nothing where traces are off.
    pub fn write(&self, headers: &mut HeaderMap) {
        let Some(place) = &self.0 else { return };
        TraceContextPropagator::new().inject_context(&place.context, &mut Written(headers));
    }

    /// The trace's id, as it is written; nothing where traces are off.
    pub fn trace_id(&self) -> Option<impl fmt::Display + use<>> {
        self.0.as_ref().map(|place| place.span_context().trace_id())
    }

    /// The span's id, as it is written; nothing where traces are off.
    pub fn span_id(&self) -> Option<impl fmt::Display + use<>> {
        self.0.as_ref().map(|place| place.span_context().span_id())
    }

    /// Says more of the span.
    pub fn tell(&self, attribute: &'static str, value: impl Into<Value>) {
        if let Some(place) = self.kept() {
            place.context.span().set_attribute(KeyValue::new(attribute, value));
        }
    }

    /// Says of which type the GraphQL operation is that the span is about, which names it, too.
    pub fn tell_operation(&self, operation_type: &'static str) {
        if let Some(place) = self.kept() {
            let span = place.context.span();
            span.set_attribute(KeyValue::new("graphql.operation.type", operation_type));
            span.update_name(operation_type);
        }
    }

    /// Says that the span ends in an error, of one of few types.
    pub fn fail(&self, error_type: &str) {
        if let Some(place) = self.kept() {
            let span = place.context.span();
            span.set_attribute(KeyValue::new("error.type", error_type.to_owned()));
            span.set_status(Status::error(""));
        }
    }

    /// Says that this waits for, or comes of, what happens elsewhere.
    pub fn link(&self, to: &Self) {
        if let (Some(place), Some(to)) = (self.kept(), &to.0) {
            place.context.span().add_link(to.span_context(), Vec::new());
        }
    }

    fn kept(&self) -> Option<&Place> {
        self.0.as_deref().filter(|place| place.is_kept)
    }
}

impl Span {
    /// The place of this span, for what happens below it.
    pub fn trace(&self) -> &Trace {
        &self.0
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        // Ending one that is not kept, which may be another's, does nothing.
        if let Some(place) = self.0.kept() {
            place.context.span().end();
        }
    }
}

impl Begun {
    /// A span of the gateway's own doing.
    pub fn internal(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), kind: Kind::Internal, attributes: Vec::new() }
    }

    /// The same, with something known of it.
    #[must_use]
    pub fn with(mut self, attribute: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push(KeyValue::new(attribute, value));
        self
    }

    /// The same, with something known of it where that is known.
    #[must_use]
    pub fn with_some(self, attribute: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(attribute, value),
            None => self,
        }
    }
}

impl Place {
    fn begin(
        tracer: &Arc<SdkTracer>,
        parent: &Context,
        begun: Begun,
        link: Option<SpanContext>,
    ) -> Span {
        let Begun { name, kind, attributes } = begun;
        let links = link.map(|to| Link::new(to, Vec::new(), 0)).into_iter().collect();
        let builder = SpanBuilder::from_name(name)
            .with_kind(kind.into())
            .with_attributes(attributes)
            .with_links(links);
        let span = tracer.build_with_context(builder, parent);
        let is_kept = opentelemetry::trace::Span::is_recording(&span);
        let context = Context::new().with_span(span);
        Span(Trace(Some(Arc::new(Self { tracer: Arc::clone(tracer), context, is_kept }))))
    }

    fn span_context(&self) -> SpanContext {
        self.context.span().span_context().clone()
    }
}

impl From<Kind> for SpanKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Server => Self::Server,
            Kind::Client => Self::Client,
            Kind::Internal => Self::Internal,
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(place) => write!(f, "Trace({})", place.span_context().trace_id()),
            None => f.write_str("Trace(none)"),
        }
    }
}

/// The headers of a request, to be read.
struct Headers<'h>(&'h HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?.to_str().ok()?;
        (name != TRACESTATE || value.len() <= LONGEST_TRACESTATE).then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// The headers of a request, to be written.
struct Written<'h>(&'h mut HeaderMap);

impl Injector for Written<'_> {
    fn set(&mut self, name: &str, value: String) {
        // An empty `tracestate` says nothing.
        if name == TRACESTATE && value.is_empty() {
            return;
        }
        if let (Ok(name), Ok(value)) =
            (http::HeaderName::from_bytes(name.as_bytes()), http::HeaderValue::try_from(value))
        {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn tracer(sampler: Sampler) -> Tracer {
        let provider = SdkTracerProvider::builder().with_sampler(sampler).build();
        Tracer::new(provider.tracer("test"))
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), value.parse().unwrap())
        };
        pairs.iter().map(header).collect()
    }

    fn begun() -> Begun {
        Begun::internal("test")
    }

    fn sent(trace: &Trace) -> HeaderMap {
        let mut headers = HeaderMap::new();
        trace.write(&mut headers);
        headers
    }

    #[test]
    fn where_traces_are_off_nothing_is_described_or_sent() {
        let described = Cell::new(false);
        let describe = || {
            described.set(true);
            begun()
        };

        let span = Tracer::default().accept(&headers(&[("traceparent", PARENT)]), describe);
        let child = span.trace().begin(describe);
        let apart = span.trace().begin_apart(describe);

        assert!(!described.get());
        assert!(sent(child.trace()).is_empty() && sent(apart.trace()).is_empty());
        assert!(span.trace().trace_id().is_none());
    }

    #[test]
    fn what_is_called_gets_the_callers_trace_and_the_calls_own_id() {
        let tracer = tracer(Sampler::AlwaysOn);
        let from = headers(&[("traceparent", PARENT), ("tracestate", "a=b"), ("baggage", "c=d")]);

        let span = tracer.accept(&from, begun);
        let child = span.trace().begin(begun);
        let sent = sent(child.trace());

        let id = child.trace().span_id().unwrap();
        let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{id}-01");
        assert_eq!(sent["traceparent"], parent);
        assert_eq!(sent["tracestate"], "a=b");
        assert_eq!(sent.len(), 2, "{sent:?}");
        assert_ne!(id.to_string(), span.trace().span_id().unwrap().to_string());
    }

    #[test]
    fn what_no_standard_knows_begins_a_trace_of_its_own() {
        let tracer = tracer(Sampler::AlwaysOn);

        for nonsense in ["", "00", "00-0-0-01", "ff-4bf92f3577b34da6a3ce929d0e0e4736-1-01", "é"] {
            let span = tracer.accept(&headers(&[("traceparent", nonsense)]), begun);

            let trace = span.trace().trace_id().unwrap().to_string();
            assert!(trace.len() == 32 && trace != "4bf92f3577b34da6a3ce929d0e0e4736", "{nonsense}");
            assert!(!sent(span.trace()).contains_key("tracestate"), "{nonsense}");
        }
    }

    #[test]
    fn a_state_that_is_too_long_to_pass_on_is_dropped_and_the_trace_goes_on() {
        let tracer = tracer(Sampler::AlwaysOn);
        let pair = |number: usize| format!("k{number}={}", "v".repeat(200));
        for (pairs, is_kept) in [(2, true), (3, false)] {
            let state: Vec<String> = (0..pairs).map(pair).collect();
            let state = state.join(",");

            let span =
                tracer.accept(&headers(&[("traceparent", PARENT), ("tracestate", &state)]), begun);

            let sent = sent(span.trace());
            assert!(
                sent["traceparent"].to_str().unwrap().contains("4bf92f3577b34da6a3ce929d0e0e4736")
            );
            assert_eq!(sent.contains_key("tracestate"), is_kept, "{} bytes", state.len());
        }
    }

    #[test]
    fn what_is_not_sampled_is_passed_on_as_such_and_described_no_further() {
        let tracer = tracer(Sampler::AlwaysOff);
        let span = tracer.accept(&headers(&[("traceparent", PARENT)]), begun);

        let child = span.trace().begin(|| unreachable!("it is not kept"));

        let sent = sent(child.trace());
        let parent = sent["traceparent"].to_str().unwrap();
        assert!(parent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{parent}");
        assert!(parent.ends_with("-00"), "{parent}");
    }
}
