//! The export of traces: variables of OpenTelemetry's specification
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>,
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>).
//!
//! Traces are on if an endpoint is set. While they are off no other variable is checked, because it may be
//! meant for another program. Headers, compression, sampler and resource are read by the SDK itself.

use std::time::Duration;

use url::Url;

use super::settings::{Parsed, SettingsLoader};
use super::web_address::base_address;
use crate::proxies::Proxies;

const RECEIVER: Parsed<Url> = format_of(
    "an http or https address without user, query and fragment, such as http://localhost:4318",
    base_address,
);
const DISABLED: Parsed<bool> =
    format_of("true or false", |text| text.to_ascii_lowercase().parse().ok());
const IS_OTLP: Parsed<bool> =
    format_of("otlp or none", |text| matches!(text, "otlp" | "none").then_some(text == "otlp"));
const IS_JSON: Parsed<bool> = format_of(
    "http/protobuf or http/json, which receivers take at port 4318: gRPC is not spoken here",
    |text| matches!(text, "http/protobuf" | "http/json").then_some(text == "http/json"),
);
const MILLISECONDS: Parsed<Duration> =
    format_of("a whole number of milliseconds, 1 to 86400000", |text| {
        let milliseconds = text.parse().ok().filter(|number| (1..=86_400_000).contains(number));
        milliseconds.map(Duration::from_millis)
    });
const SPANS: Parsed<usize> = format_of("a whole number from 1 to 1000000", |text| {
    text.parse().ok().filter(|number| (1..=1_000_000).contains(number))
});

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
        let is_disabled = loader.shared_variable(&["OTEL_SDK_DISABLED"], &DISABLED);
        let is_otlp = loader.shared_variable(&["OTEL_TRACES_EXPORTER"], &IS_OTLP);
        if is_disabled == Some(true) || is_otlp == Some(false) {
            return None;
        }
        let whole = loader.shared_variable(&["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"], &RECEIVER);
        let base = loader.shared_variable(&["OTEL_EXPORTER_OTLP_ENDPOINT"], &RECEIVER);
        let default = Self::to(whole.or_else(|| base.as_ref().map(below))?);
        let protocol = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
        let is_json = loader.shared_variable(&protocol, &IS_JSON);
        let timeout = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
        let timeout = loader.shared_variable(&timeout, &MILLISECONDS).unwrap_or(default.timeout);
        let export = loader.shared_variable(&["OTEL_BSP_EXPORT_TIMEOUT"], &MILLISECONDS);
        let delay = loader.shared_variable(&["OTEL_BSP_SCHEDULE_DELAY"], &MILLISECONDS);
        let queue = loader.shared_variable(&["OTEL_BSP_MAX_QUEUE_SIZE"], &SPANS);
        let batch = loader.shared_variable(&["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"], &SPANS);
        Some(Self {
            proxies: loader.proxies(),
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

const fn format_of<T>(allowed: &'static str, parse: fn(&str) -> Option<T>) -> Parsed<T> {
    Parsed { allowed, placeholder: "VALUE", parse }
}
