//! The export of traces: spans in batches to a receiver of OTLP over HTTP.
//!
//! Ending a span never waits. Ended spans wait in a bounded queue. A thread sends them over connections that
//! share nothing with the upstream's. Spans that do not fit into the queue, or that the receiver does not
//! take, are lost and counted; a warning is logged once a minute.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_otlp::{
    Compression, ExporterBuildError, Protocol, SpanExporter as OtlpExporter, WithExportConfig as _,
    WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span, SpanData,
    SpanExporter, SpanLimits, SpanProcessor,
};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{self, Filter};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{OtlpForm, TracesConfig, TracesSampler};
use crate::spans::TARGET;
use crate::version::VERSION;

/// The longest that sending the last spans may take when the process ends.
const LAST_WITHIN: Duration = Duration::from_secs(2);
/// The time between two warnings about lost spans.
const WARN_EVERY: Duration = Duration::from_mins(1);
/// The longest that connecting to the receiver may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// The instrumentation scope of all spans.
const SCOPE: &str = "screen-record-gateway";

/// The export of traces. By default they are off.
#[derive(Default)]
pub struct Traces {
    provider: Option<SdkTracerProvider>,
    metrics: TraceMetrics,
    tasks: TaskTracker,
}

/// The sampled spans of traces, and no log line.
///
/// The decision is that of the trace's first span in this process: spans below one that is not sampled are
/// not made at all.
struct SampledSpans;

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The client for the receiver cannot be set up.
    #[error("the client for the receiver of traces cannot be set up")]
    Client(#[from] reqwest::Error),
    /// The exporter does not take its settings.
    #[error("traces cannot be exported")]
    Exporter(#[from] ExporterBuildError),
}

#[derive(Clone, Debug)]
struct TraceMetrics {
    spans: Family<OutcomeLabel, Counter>,
    exported: Counter,
    failed: Counter,
    dropped: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl Default for TraceMetrics {
    fn default() -> Self {
        let spans = Family::<OutcomeLabel, Counter>::default();
        let [exported, failed, dropped] = ["exported", "failed", "dropped"]
            .map(|outcome| spans.get_or_create_owned(&OutcomeLabel { outcome }));
        Self { spans, exported, failed, dropped }
    }
}

impl Traces {
    /// Sends spans from now on, on tasks of the current runtime; `None` leaves traces off.
    ///
    /// # Errors
    /// [`TracesError`], if no span could ever be sent.
    pub fn start(config: Option<&TracesConfig>) -> Result<Self, TracesError> {
        let (metrics, tasks) = (TraceMetrics::default(), TaskTracker::new());
        let Some(config) = config else {
            return Ok(Self::default());
        };
        let queue = Arc::new(Queue {
            most: config.max_queue_size,
            waiting: AtomicUsize::new(0),
            metrics: metrics.clone(),
        });
        let sender = Sender {
            exporter: Arc::new(exporter(config)?),
            outcomes: Arc::new(Outcomes { queue: Arc::clone(&queue), losses: Mutex::default() }),
            runtime: Handle::current(),
            tasks: tasks.clone(),
        };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(config.max_queue_size)
            .with_max_export_batch_size(config.max_batch_size)
            .with_scheduled_delay(config.schedule_delay)
            .build();
        let next = BatchSpanProcessor::new(sender, batches);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Bounded { next, queue })
            .with_sampler(sampler(config.sampler))
            // Or it would read them from the environment.
            .with_span_limits(SpanLimits::default())
            .with_resource(resource(&config.resource))
            .build();
        Ok(Self { provider: Some(provider), metrics, tasks })
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
        Some(layer.with_filter(SampledSpans))
    }

    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let traces = registry.sub_registry_with_prefix("gateway_traces");
        traces.register("spans", "Completed spans, by outcome", self.metrics.spans.clone());
    }

    /// Sends the spans that wait, for two seconds at most. No span is exported afterwards.
    pub async fn end(mut self) {
        let Some(provider) = self.provider.take() else { return };
        // Blocks until the thread that sends has answered.
        let ending = self.tasks.spawn_blocking(move || provider.shutdown_with_timeout(LAST_WITHIN));
        if !matches!(ending.await, Ok(Ok(()))) {
            tracing::warn!("the receiver of traces did not take the last spans in time");
        }
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // Otherwise dropping the provider would block until every span is sent.
        if let Some(provider) = &self.provider {
            let _ = provider.shutdown_with_timeout(Duration::ZERO);
        }
    }
}

impl<S> Filter<S> for SampledSpans {
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target() == TARGET { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: &layer::Context<'_, S>) -> bool {
        metadata.target() == TARGET
            && Context::map_current(|parent| {
                !parent.has_active_span() || parent.span().span_context().is_sampled()
            })
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }
}

fn exporter(config: &TracesConfig) -> Result<OtlpExporter, TracesError> {
    let headers = config.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.expose().to_owned()));
    let protocol = match config.form {
        OtlpForm::Protobuf => Protocol::HttpBinary,
        OtlpForm::Json => Protocol::HttpJson,
    };
    let builder = OtlpExporter::builder()
        .with_http()
        .with_http_client(client(config)?)
        .with_endpoint(config.endpoint.as_str())
        .with_protocol(protocol)
        .with_timeout(config.timeout)
        .with_headers(headers.collect());
    let builder = if config.gzip { builder.with_compression(Compression::Gzip) } else { builder };
    Ok(builder.build()?)
}

/// A client for the receiver, which has nothing in common with the upstream's.
fn client(config: &TracesConfig) -> Result<reqwest::Client, reqwest::Error> {
    // Fails only when a provider has been installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        // The receiver's credentials would travel with them.
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .timeout(config.timeout)
        .connect_timeout(CONNECT_WITHIN.min(config.timeout));
    builder = config.proxies.apply(builder, &config.endpoint)?;
    if config.endpoint.scheme() == "http" {
        // Nothing will be verified, so a machine without root certificates will do.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

fn sampler(TracesSampler { parent_based, ratio }: TracesSampler) -> Sampler {
    let own = if ratio >= 1.0 {
        Sampler::AlwaysOn
    } else if ratio <= 0.0 {
        Sampler::AlwaysOff
    } else {
        Sampler::TraceIdRatioBased(ratio)
    };
    if parent_based { Sampler::ParentBased(Box::new(own)) } else { own }
}

fn resource(attributes: &[(String, String)]) -> Resource {
    let attributes = attributes.iter();
    let attributes = attributes.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attribute(KeyValue::new("service.version", VERSION))
        .with_attributes(attributes)
        .build()
}

/// Spans that wait to be sent or are being sent.
#[derive(Debug)]
struct Queue {
    most: usize,
    waiting: AtomicUsize,
    metrics: TraceMetrics,
}

/// Admits spans to the queue while there is room, and counts the others: the processor behind it drops them
/// silently.
#[derive(Debug)]
struct Bounded {
    next: BatchSpanProcessor,
    queue: Arc<Queue>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.next.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        let Queue { most, waiting, metrics } = &*self.queue;
        if waiting.fetch_add(1, Ordering::Relaxed) < *most {
            self.next.on_end(span);
        } else {
            waiting.fetch_sub(1, Ordering::Relaxed);
            metrics.dropped.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

/// Sends batches from the thread that gathers them, on the runtime that the client needs.
struct Sender {
    exporter: Arc<OtlpExporter>,
    outcomes: Arc<Outcomes>,
    runtime: Handle,
    tasks: TaskTracker,
}

/// Counts the outcomes of batches, and warns of lost spans.
struct Outcomes {
    queue: Arc<Queue>,
    losses: Mutex<Losses>,
}

/// When the last warning was logged, and the spans lost since.
#[derive(Default)]
struct Losses {
    warned: Option<Instant>,
    lost: usize,
}

impl SpanExporter for Sender {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let (exporter, outcomes) = (Arc::clone(&self.exporter), Arc::clone(&self.outcomes));
        let spans = batch.len();
        let sending = async move {
            let sent = exporter.export(batch).await;
            outcomes.note(spans, &sent);
            sent
        };
        // The runtime is gone when the process ends.
        let sent = self.tasks.spawn_on(sending, &self.runtime).await;
        sent.unwrap_or(Err(OTelSdkError::AlreadyShutdown))
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Nothing is being sent when it is set.
        if let Some(exporter) = Arc::get_mut(&mut self.exporter) {
            exporter.set_resource(resource);
        }
    }
}

impl Outcomes {
    fn note(&self, spans: usize, sent: &OTelSdkResult) {
        let Queue { waiting, metrics, .. } = &*self.queue;
        waiting.fetch_sub(spans, Ordering::Relaxed);
        let count = u64::try_from(spans).unwrap_or(u64::MAX);
        match sent {
            Ok(()) => metrics.exported.inc_by(count),
            Err(error) => {
                self.warn(spans, error);
                metrics.failed.inc_by(count)
            }
        };
    }

    fn warn(&self, spans: usize, error: &OTelSdkError) {
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        losses.lost += spans;
        if losses.warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            let lost = std::mem::take(&mut losses.lost);
            tracing::warn!(%error, lost, "spans are lost: the receiver of traces does not take them");
            losses.warned = Some(Instant::now());
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The exporter holds the receiver's credentials.
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}
