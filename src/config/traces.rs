//! The export of traces: variables of OpenTelemetry's specification
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>,
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>).
//!
//! Traces are on if an endpoint is set. While they are off no other variable is checked, because it may be
//! meant for another program. Headers, compression, sampler and resource are read by the SDK itself.

use std::time::Duration;

use url::Url;

use super::proxies::Proxies;
use super::settings::{Setting, SettingsLoader, number, one_of, web_address};

/// How traces are queued and exported.
#[derive(Clone, Debug, PartialEq)]
pub struct TracesConfig {
    /// The address that batches are posted to.
    pub endpoint: Url,
    /// The proxies on the way to the receiver.
    pub proxies: Proxies,
    /// Whether batches are `http/json`, not `http/protobuf`.
    pub is_json: bool,
    /// How long sending a batch may take, retries included.
    pub timeout: Duration,
    /// The longest time that a span waits in the queue.
    pub schedule_delay: Duration,
    /// Spans in the queue; more are dropped.
    pub max_queue_size: usize,
    /// Spans in one batch.
    pub max_batch_size: usize,
}

impl TracesConfig {
    /// The defaults, sent to `endpoint`.
    pub fn to(endpoint: Url) -> Self {
        Self {
            endpoint,
            proxies: Proxies::default(),
            is_json: false,
            timeout: Duration::from_secs(10),
            schedule_delay: Duration::from_secs(5),
            max_queue_size: 2048,
            max_batch_size: 512,
        }
    }

    /// Reads the variables. `None` if traces are off, or the endpoint was refused.
    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Option<Self> {
        let is_disabled = loader.variable_as("OTEL_SDK_DISABLED", flag());
        let exporter = one_of(&[("otlp", true), ("none", false)]);
        let is_exported = loader.variable_as("OTEL_TRACES_EXPORTER", exporter);
        if is_disabled == Some(true) || is_exported == Some(false) {
            return None;
        }
        let whole = loader.variable_as("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", receiver());
        let base = loader.variable_as("OTEL_EXPORTER_OTLP_ENDPOINT", receiver());
        let default = Self::to(whole.or_else(|| base.as_ref().map(below))?);
        let is_json = loader
            .variable_as("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", protocol())
            .or_else(|| loader.variable_as("OTEL_EXPORTER_OTLP_PROTOCOL", protocol()));
        let mut duration = |name| loader.variable_as(name, milliseconds());
        let timeout = duration("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
            .or_else(|| duration("OTEL_EXPORTER_OTLP_TIMEOUT"))
            .unwrap_or(default.timeout);
        let export = duration("OTEL_BSP_EXPORT_TIMEOUT");
        let delay = duration("OTEL_BSP_SCHEDULE_DELAY");
        let mut count = |name| loader.variable_as(name, number(1..=1_000_000));
        let queue = count("OTEL_BSP_MAX_QUEUE_SIZE");
        let batch = count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE");
        Some(Self {
            proxies: Proxies::load(loader),
            is_json: is_json.unwrap_or(default.is_json),
            timeout: export.map_or(timeout, |export| timeout.min(export)),
            schedule_delay: delay.unwrap_or(default.schedule_delay),
            max_queue_size: queue.unwrap_or(default.max_queue_size),
            max_batch_size: batch.unwrap_or(default.max_batch_size),
            ..default
        })
    }
}

/// The address of traces below a receiver's base address.
fn below(base: &Url) -> Url {
    let mut endpoint = base.clone();
    endpoint.set_path(&format!("{}/v1/traces", base.path().trim_end_matches('/')));
    endpoint
}

/// The specification allows capitals.
fn flag() -> Setting<bool> {
    Setting::new("true|false", "true or false", |text| text.to_ascii_lowercase().parse().ok())
}

fn receiver() -> Setting<Url> {
    web_address("http://localhost:4318")
}

fn milliseconds() -> Setting<Duration> {
    Setting::new("N", "a whole number of milliseconds, 1 to 86400000", |text| {
        let milliseconds = text.parse().ok().filter(|number| (1..=86_400_000).contains(number));
        milliseconds.map(Duration::from_millis)
    })
}

fn protocol() -> Setting<bool> {
    one_of(&[("http/protobuf", false), ("http/json", true)])
}
