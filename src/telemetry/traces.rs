//! The export of traces: spans in batches to a receiver of OTLP over HTTP.
//!
//! Ending a span never waits. Ended spans wait in a bounded queue. A task sends them over connections that share
//! nothing with the upstream's. Spans that do not fit into the queue, or that the receiver does not take, are
//! lost and counted; a warning is logged once a minute.

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use futures_util::Stream;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_otlp::{
    Protocol, SpanExporter as OtlpExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::{
    EnvResourceDetector, ResourceDetector, SdkProvidedResourceDetector, TelemetryResourceDetector,
};
use opentelemetry_sdk::trace::{
    SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor,
};
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer;
use tracing_subscriber::registry::LookupSpan;

use crate::config::TracesConfig;
use crate::counters::LabelledCounter;
use crate::spans::TARGET;
use crate::version::VERSION;

/// The longest that sending the last spans may take when the process ends.
const LAST_WITHIN: Duration = Duration::from_secs(2);
/// The time between two warnings about lost spans.
const WARN_EVERY: Duration = Duration::from_mins(1);
/// The longest that connecting to the receiver may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// The instrumentation scope of all spans, and the name of the service.
const SCOPE: &str = "screen-record-gateway";

/// The export of traces. By default they are off.
pub struct Traces {
    provider: Option<SdkTracerProvider>,
    /// The queue of ended spans. Without it the task sends what waits, and ends.
    queue: Option<mpsc::Sender<SpanData>>,
    counts: LabelledCounter,
    tasks: TaskTracker,
}

/// Lets only sampled spans of traces be made.
///
/// The decision is that of the trace's first span in this process: spans below one that is not sampled are
/// not made at all. A filter of the layer that exports them would not do: the spans would be made without it.
pub(super) struct SampledSpans;

impl Default for Traces {
    fn default() -> Self {
        let counts = LabelledCounter::new("outcome", &["exported", "failed", "dropped"]);
        Self { provider: None, queue: None, counts, tasks: TaskTracker::new() }
    }
}

impl Traces {
    /// Sends spans from now on, on a task of the current runtime; `None` leaves traces off.
    ///
    /// # Errors
    /// If no span could ever be sent.
    pub fn start(config: Option<&TracesConfig>) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut traces = Self::default();
        let Some(config) = config else { return Ok(traces) };
        // The exporter reads headers and compression from the environment.
        let mut exporter = OtlpExporter::builder()
            .with_http()
            .with_http_client(client(config)?)
            .with_endpoint(config.endpoint.as_str())
            .with_protocol(if config.is_json { Protocol::HttpJson } else { Protocol::HttpBinary })
            .with_timeout(config.timeout)
            .build()?;
        let resource = resource();
        exporter.set_resource(&resource);
        let (queue, spans) = mpsc::channel(config.max_queue_size);
        let batches = ReceiverStream::new(spans);
        let batches = batches.chunks_timeout(config.max_batch_size, config.schedule_delay);
        traces.tasks.spawn(send(exporter, batches, traces.counts.clone()));
        let spans = Queue { spans: queue.downgrade(), counts: traces.counts.clone() };
        let provider = SdkTracerProvider::builder().with_span_processor(spans);
        traces.provider = Some(provider.with_resource(resource).build());
        traces.queue = Some(queue);
        Ok(traces)
    }

    /// The layer that exports spans; `None` while traces are off.
    pub fn layer<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let scope = InstrumentationScope::builder(SCOPE).with_version(VERSION).build();
        let tracer: SdkTracer = self.provider.as_ref()?.tracer_with_scope(scope);
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false);
        let spans = filter_fn(|metadata| metadata.target() == TARGET);
        Some(layer.with_filter(spans.with_max_level_hint(LevelFilter::INFO)))
    }

    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let traces = registry.sub_registry_with_prefix("gateway_traces");
        traces.register("spans", "Completed spans, by outcome", self.counts.family());
    }

    /// Sends the spans that wait, for two seconds at most. No span is exported afterwards.
    pub async fn end(self) {
        drop(self.queue);
        self.tasks.close();
        if timeout(LAST_WITHIN, self.tasks.wait()).await.is_err() {
            tracing::warn!("the receiver of traces did not take the last spans in time");
        }
    }
}

impl<S: Subscriber> Layer<S> for SampledSpans {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target() == TARGET { Interest::sometimes() } else { Interest::always() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: layer::Context<'_, S>) -> bool {
        metadata.target() != TARGET
            || Context::map_current(|parent| {
                !parent.has_active_span() || parent.span().span_context().is_sampled()
            })
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }
}

/// A client for the receiver, which has nothing in common with the upstream's.
fn client(config: &TracesConfig) -> Result<reqwest::Client, reqwest::Error> {
    let builder = config.proxies.client(&config.endpoint)?;
    builder.timeout(config.timeout).connect_timeout(CONNECT_WITHIN.min(config.timeout)).build()
}

/// The attributes of this process. The last detector reads the service's own name, and makes one up if there is
/// none.
fn resource() -> Resource {
    let own = [KeyValue::new("service.name", SCOPE), KeyValue::new("service.version", VERSION)];
    let detectors: [Box<dyn ResourceDetector>; 3] = [
        Box::new(TelemetryResourceDetector),
        Box::new(EnvResourceDetector::new()),
        Box::new(SdkProvidedResourceDetector),
    ];
    let detected = Resource::builder_empty().with_detectors(&detectors).build();
    let named = detected.iter().filter(|(_, value)| !value.as_str().starts_with("unknown_service"));
    let named = named.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty().with_attributes(own).with_attributes(named).build()
}

/// Puts ended spans into the queue, and counts those that do not fit.
#[derive(Debug)]
struct Queue {
    spans: mpsc::WeakSender<SpanData>,
    counts: LabelledCounter,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let Some(queue) = self.spans.upgrade() else { return };
        if span.span_context.is_sampled() && queue.try_send(span).is_err() {
            self.counts.inc("dropped");
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends spans in batches, until no more come.
async fn send(
    exporter: OtlpExporter,
    batches: impl Stream<Item = Vec<SpanData>>,
    counts: LabelledCounter,
) {
    let mut batches = pin!(batches);
    let mut warned: Option<Instant> = None;
    while let Some(batch) = batches.next().await {
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let Err(error) = exporter.export(batch).await else {
            counts.inc_by("exported", spans);
            continue;
        };
        counts.inc_by("failed", spans);
        if warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            tracing::warn!(%error, "spans are lost: the receiver of traces does not take them");
            warned = Some(Instant::now());
        }
    }
}
