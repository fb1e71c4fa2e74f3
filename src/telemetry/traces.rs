//! Where spans go: in batches to a receiver of OTLP over HTTP, or nowhere.
//!
//! Who makes a span never waits. Finished ones wait in a queue that has an end, and are sent from a thread
//! of their own, over connections that have nothing to do with the upstream's. What the queue has no room
//! for, and what the receiver does not take, is lost, counted and complained of once in a while.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_otlp::{
    Compression, ExporterBuildError, Protocol, SpanExporter as OtlpExporter, WithExportConfig as _,
    WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData,
    SpanExporter, SpanLimits, SpanProcessor,
};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::config::{OtlpForm, TracesConfig, TracesSampler};
use crate::trace::Tracer;
use crate::version::VERSION;

/// How long the last spans may take to be sent when the process ends.
const LAST_WITHIN: Duration = Duration::from_secs(2);
/// A receiver that is away is complained of so often.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);
/// The longest that connecting to the receiver may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Who makes the spans.
const SCOPE: &str = "screen-record-gateway";

/// The export of traces, or that there is none.
pub struct Traces {
    provider: Option<SdkTracerProvider>,
    tracer: Tracer,
    tasks: TaskTracker,
}

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

/// What is counted of spans.
#[derive(Clone, Debug)]
pub struct TraceMetrics {
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

impl TraceMetrics {
    /// Puts the metrics on show.
    pub fn register(&self, registry: &mut Registry) {
        let traces = registry.sub_registry_with_prefix("gateway_traces");
        traces.register("spans", "Completed spans, by outcome", self.spans.clone());
    }
}

impl Traces {
    /// Sends spans from now on, on tasks of the runtime that this is called in; does nothing where
    /// traces are off.
    ///
    /// # Errors
    /// [`TracesError`], where nothing could ever be sent.
    pub fn start(
        config: Option<&TracesConfig>,
        metrics: TraceMetrics,
    ) -> Result<Self, TracesError> {
        let tasks = TaskTracker::new();
        let Some(config) = config else {
            return Ok(Self { provider: None, tracer: Tracer::default(), tasks });
        };
        let queue = Queue { most: config.max_queue_size, waiting: AtomicUsize::new(0), metrics };
        let queue = Arc::new(queue);
        let sender = Sender {
            exporter: Arc::new(exporter(config)?),
            outcomes: Arc::new(Outcomes { queue: Arc::clone(&queue), complaint: Mutex::default() }),
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
        let scope = InstrumentationScope::builder(SCOPE).with_version(VERSION).build();
        let tracer = Tracer::new(provider.tracer_with_scope(scope));
        Ok(Self { provider: Some(provider), tracer, tasks })
    }

    /// Begins traces.
    pub fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Sends what waits, for two seconds at most. No span is made afterwards.
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
        // Left to itself, the provider would block whoever drops it until all is sent.
        if let Some(provider) = &self.provider {
            let _ = provider.shutdown_with_timeout(Duration::ZERO);
        }
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

/// What waits to be sent, what is being sent included.
#[derive(Debug)]
struct Queue {
    most: usize,
    waiting: AtomicUsize,
    metrics: TraceMetrics,
}

/// Lets spans into the queue as long as there is room, so that those without can be counted: the
/// processor behind it drops them without a word.
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

/// Where it is noted what became of batches.
struct Outcomes {
    queue: Arc<Queue>,
    complaint: Mutex<Complaint>,
}

/// When it was last said that spans are lost, and how many have been since.
#[derive(Default)]
struct Complaint {
    at: Option<Instant>,
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
                self.complain(spans, error);
                metrics.failed.inc_by(count)
            }
        };
    }

    fn complain(&self, spans: usize, error: &OTelSdkError) {
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        complaint.lost += spans;
        if complaint.at.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            let lost = std::mem::take(&mut complaint.lost);
            tracing::warn!(%error, lost, "spans are lost: the receiver of traces does not take them");
            complaint.at = Some(Instant::now());
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The exporter holds the receiver's credentials.
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}
