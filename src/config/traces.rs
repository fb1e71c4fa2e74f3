//! The export of traces: the variables of OpenTelemetry's specification, which every SDK has
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>,
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>).
//!
//! Traces are on if an endpoint is set. While they are off no other variable is checked, because it may be
//! meant for another program.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use url::Url;

use super::settings::{
    NumberRange, Optional, Parsed, Ratio, Role, SettingsLoader, setting, shared_variables,
};
use super::sources::{Environment, Flags, Inputs};
use super::web_address::{base_address, may_hold_secret};
use crate::domain::Secret;
use crate::proxies::Proxies;

shared_variables! {
    /// turns traces on: base address of an OTLP receiver, such as `http://localhost:4318`; they
    /// go to `/v1/traces` below it
    ["OTEL_EXPORTER_OTLP_ENDPOINT"]
        as ENDPOINT: Option<Url> = setting(&Optional(RECEIVER)).secret_if(may_hold_secret),
    /// the same, as the whole address; wins over the other
    ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
        as TRACES_ENDPOINT: Option<Url> = setting(&Optional(RECEIVER)).secret_if(may_hold_secret),
    /// `true` turns traces off
    ["OTEL_SDK_DISABLED"] as DISABLED: bool = setting(&SWITCH).default("false"),
    /// `otlp`, the default, or `none`, which turns traces off
    ["OTEL_TRACES_EXPORTER"] as EXPORTER: bool = setting(&IS_OTLP).default("otlp"),
    /// name of this service in traces, by default `screen-record-gateway`
    ["OTEL_SERVICE_NAME"] as SERVICE_NAME: Option<String> = setting(&Optional(TEXT)),
    /// further attributes of this process, as `key=value,key=value`, values percent-encoded
    ["OTEL_RESOURCE_ATTRIBUTES"] as RESOURCE: Vec<Pair> = setting(&PAIRS).default(""),
    /// which traces are kept: `parentbased_always_on`, the default, `always_on`, `always_off`,
    /// `traceidratio`, `parentbased_always_off` or `parentbased_traceidratio`
    ["OTEL_TRACES_SAMPLER"]
        as SAMPLER: Sampler = setting(&SAMPLERS).default("parentbased_always_on"),
    /// the ratio of `traceidratio` and `parentbased_traceidratio`, from 0 to 1, the default
    ["OTEL_TRACES_SAMPLER_ARG"] as SAMPLER_ARG: f64 = setting(&Ratio).default("1"),
    /// `http/protobuf`, the default, or `http/json`; `grpc` is not supported
    ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]
        as PROTOCOL: OtlpForm = setting(&FORM).default("http/protobuf"),
    /// headers for the receiver, as `name=value,name=value`, values percent-encoded; never
    /// shown
    ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]
        as HEADERS: Vec<(HeaderName, Secret)> = setting(&HEADER_PAIRS).default("").secret(),
    /// limit in milliseconds for sending a batch, retries included, by default 10000
    ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"]
        as TIMEOUT: Duration = setting(&MILLISECONDS).default("10000"),
    /// `none`, the default, or `gzip`
    ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"]
        as COMPRESSION: bool = setting(&IS_GZIP).default("none"),
    /// milliseconds between two batches, by default 5000
    ["OTEL_BSP_SCHEDULE_DELAY"]
        as SCHEDULE_DELAY: Duration = setting(&MILLISECONDS).default("5000"),
    /// a second limit in milliseconds for sending a batch, by default 30000
    ["OTEL_BSP_EXPORT_TIMEOUT"]
        as EXPORT_TIMEOUT: Duration = setting(&MILLISECONDS).default("30000"),
    /// spans that wait to be sent, by default 2048; more are dropped
    ["OTEL_BSP_MAX_QUEUE_SIZE"] as MAX_QUEUE_SIZE: usize = setting(&SPANS).default("2048"),
    /// spans in one batch, by default 512; a default above the queue's size is lowered to it
    ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] as MAX_BATCH_SIZE: usize = setting(&SPANS).default("512"),
}

const RECEIVER: Parsed<Url> = format_of(
    "an http or https address without user, query and fragment, such as http://localhost:4318",
    base_address,
);
const SWITCH: Parsed<bool> =
    format_of("true or false", |text| text.to_ascii_lowercase().parse().ok());
const IS_OTLP: Parsed<bool> = format_of("otlp or none", |text| is_first(text, ["otlp", "none"]));
const IS_GZIP: Parsed<bool> = format_of("none or gzip", |text| is_first(text, ["gzip", "none"]));
const TEXT: Parsed<String> = format_of("a text", |text| Some(text.to_owned()));
const PAIRS: Parsed<Vec<Pair>> =
    format_of("key=value pairs, with commas between them and percent-encoded values", pairs);
const HEADER_PAIRS: Parsed<Vec<(HeaderName, Secret)>> = format_of(
    "headers as name=value, with commas between them and percent-encoded values",
    headers,
);
const SAMPLERS: Parsed<Sampler> = format_of(
    "parentbased_always_on, always_on, always_off, traceidratio, parentbased_always_off or \
     parentbased_traceidratio",
    sampler,
);
const FORM: Parsed<OtlpForm> = format_of(
    "http/protobuf or http/json, which receivers take at port 4318: gRPC is not spoken here",
    |text| is_first(text, ["http/json", "http/protobuf"]).map(OtlpForm::of_json),
);
const MILLISECONDS: Parsed<Duration> =
    format_of("a whole number of milliseconds, 1 to 86400000", |text| {
        let milliseconds = text.parse().ok().filter(|number| (1..=86_400_000).contains(number));
        milliseconds.map(Duration::from_millis)
    });
const SPANS: NumberRange = NumberRange(1..=1_000_000);

/// A key and its value.
type Pair = (String, String);

const SERVICE: &str = "screen-record-gateway";

/// How traces are sampled, queued and exported.
#[derive(Clone, Debug, PartialEq)]
pub struct TracesConfig {
    /// The address that batches are posted to.
    pub endpoint: Url,
    /// The proxies on the way to the receiver.
    pub proxies: Proxies,
    /// The encoding of a batch.
    pub form: OtlpForm,
    /// Whether batches are compressed.
    pub gzip: bool,
    /// Headers for the receiver. They may hold credentials.
    pub headers: Vec<(HeaderName, Secret)>,
    /// How long sending a batch may take, retries included.
    pub timeout: Duration,
    /// Attributes of this process, such as `service.name`.
    pub resource: Vec<(String, String)>,
    /// Which traces are kept.
    pub sampler: TracesSampler,
    /// The longest time that a span waits in the queue.
    pub schedule_delay: Duration,
    /// Spans in the queue; more are dropped.
    pub max_queue_size: usize,
    /// Spans in one batch.
    pub max_batch_size: usize,
}

/// The encoding of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpForm {
    /// `http/protobuf`
    Protobuf,
    /// `http/json`
    Json,
}

/// Which traces are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TracesSampler {
    /// Whether the decision in a caller's `traceparent` wins.
    pub parent_based: bool,
    /// The share of the traces that begin here, from 0 to 1.
    pub ratio: f64,
}

/// A sampler by its name.
#[derive(Clone, Copy)]
pub(super) struct Sampler {
    parent_based: bool,
    /// `None` for that of [`SAMPLER_ARG`].
    ratio: Option<f64>,
}

impl TracesConfig {
    /// The defaults, sent to `endpoint`.
    pub fn to(endpoint: Url) -> Self {
        let no_file = |_: &_| Err(std::io::ErrorKind::NotFound.into());
        let environment = Environment::new([], no_file);
        let inputs = Inputs { role: Role::Serve, flags: Flags::default(), environment };
        Self::read(&mut SettingsLoader::new(&inputs, &[], None), endpoint)
    }

    /// Reads the variables. `None` if traces are off, or the endpoint was refused.
    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Option<Self> {
        if loader.read(&DISABLED) || !loader.read(&EXPORTER) {
            return None;
        }
        let endpoint = match loader.read(&TRACES_ENDPOINT) {
            Some(endpoint) => endpoint,
            None => below(&loader.read(&ENDPOINT)?),
        };
        Some(Self::read(loader, endpoint))
    }

    fn read(loader: &mut SettingsLoader<'_>, endpoint: Url) -> Self {
        let max_queue_size = loader.read(&MAX_QUEUE_SIZE);
        Self {
            endpoint,
            proxies: loader.proxies(),
            form: loader.read(&PROTOCOL),
            gzip: loader.read(&COMPRESSION),
            headers: loader.read(&HEADERS),
            timeout: loader.read(&TIMEOUT).min(loader.read(&EXPORT_TIMEOUT)),
            resource: resource(loader.read(&RESOURCE), loader.read(&SERVICE_NAME)),
            sampler: TracesSampler::read(loader),
            schedule_delay: loader.read(&SCHEDULE_DELAY),
            max_queue_size,
            max_batch_size: max_batch_size(loader, max_queue_size),
        }
    }
}

impl TracesSampler {
    fn read(loader: &mut SettingsLoader<'_>) -> Self {
        let Sampler { parent_based, ratio } = loader.read(&SAMPLER);
        Self { parent_based, ratio: ratio.unwrap_or_else(|| loader.read(&SAMPLER_ARG)) }
    }
}

impl OtlpForm {
    fn of_json(is_json: bool) -> Self {
        if is_json { Self::Json } else { Self::Protobuf }
    }
}

/// A batch must not exceed the queue, or it would never fill. A default is lowered to the queue's size.
fn max_batch_size(loader: &mut SettingsLoader<'_>, queue: usize) -> usize {
    let batch = loader.read(&MAX_BATCH_SIZE);
    if batch > queue && loader.is_set(&MAX_BATCH_SIZE) {
        let problem = format!("must be at most {}, which is {queue}", MAX_QUEUE_SIZE.key);
        loader.refuse(&MAX_BATCH_SIZE, &problem);
    }
    batch.min(queue)
}

/// The address of traces below a receiver's base address.
fn below(base: &Url) -> Url {
    let mut endpoint = base.clone();
    endpoint.set_path(&format!("{}/v1/traces", base.path().trim_end_matches('/')));
    endpoint
}

fn resource(mut attributes: Vec<Pair>, service: Option<String>) -> Vec<Pair> {
    let is_named = attributes.iter().any(|(key, _)| key == "service.name");
    let default = (!is_named).then(|| SERVICE.to_owned());
    if let Some(service) = service.or(default) {
        attributes.retain(|(key, _)| key != "service.name");
        attributes.push(("service.name".to_owned(), service));
    }
    attributes
}

const fn format_of<T>(allowed: &'static str, parse: fn(&str) -> Option<T>) -> Parsed<T> {
    Parsed { allowed, placeholder: "VALUE", parse }
}

/// Whether a text is the first of two words, in any case. `None` if it is neither.
fn is_first(text: &str, [first, second]: [&str; 2]) -> Option<bool> {
    let is_first = text.eq_ignore_ascii_case(first);
    (is_first || text.eq_ignore_ascii_case(second)).then_some(is_first)
}

fn sampler(name: &str) -> Option<Sampler> {
    let name = name.to_ascii_lowercase();
    let own = name.strip_prefix("parentbased_");
    let ratio = match own.unwrap_or(&name) {
        "always_on" => Some(1.0),
        "always_off" => Some(0.0),
        "traceidratio" => None,
        _ => return None,
    };
    Some(Sampler { parent_based: own.is_some(), ratio })
}

/// Pairs with commas between them, values percent-encoded. `None` if one is no pair.
fn pairs(text: &str) -> Option<Vec<Pair>> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let key = key.trim();
        (!key.is_empty()).then(|| (key.to_owned(), value.into_owned()))
    };
    text.split(',').filter(|pair| !pair.trim().is_empty()).map(pair).collect()
}

fn headers(text: &str) -> Option<Vec<(HeaderName, Secret)>> {
    let header = |(name, value): Pair| {
        let name = HeaderName::try_from(name).ok()?;
        HeaderValue::try_from(&value).is_ok().then(|| (name, Secret::new(value)))
    };
    pairs(text)?.into_iter().map(header).collect()
}
