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

use super::settings::{SettingsLoader, one_line};
use super::sources::Origin;
use super::web_address::{self, base_address};
use crate::domain::Secret;
use crate::proxies::Proxies;

/// The variables that every SDK of OpenTelemetry has, and their meaning here.
pub(super) const VARIABLES: [(&str, &str); 14] = [
    (
        ENDPOINT[1],
        "turns traces on: base address of an OTLP receiver, such as `http://localhost:4318`; they go to \
         `/v1/traces` below it",
    ),
    (ENDPOINT[0], "the same, as the whole address; wins over the other"),
    (DISABLED, "`true` turns traces off"),
    (EXPORTER, "`otlp`, the default, or `none`, which turns traces off"),
    (SERVICE_NAME, "name of this service in traces, by default `screen-record-gateway`"),
    (
        RESOURCE_ATTRIBUTES,
        "further attributes of this process, as `key=value,key=value`, values percent-encoded",
    ),
    (
        SAMPLER,
        "which traces are kept: `parentbased_always_on`, the default, `always_on`, `always_off`, \
         `traceidratio`, `parentbased_always_off` or `parentbased_traceidratio`",
    ),
    (SAMPLER_ARG, "the ratio of the last, from 0 to 1, the default"),
    (
        "OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "`http/protobuf`, the default, or `http/json`; `grpc` is not supported",
    ),
    (
        "OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        "headers for the receiver, as `name=value,name=value`, values percent-encoded; never shown",
    ),
    (
        "OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        "limit in milliseconds for sending a batch, retries included, by default 10000",
    ),
    (
        "OTEL_EXPORTER_OTLP_COMPRESSION, OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
        "`none`, the default, or `gzip`",
    ),
    (
        "OTEL_BSP_SCHEDULE_DELAY, OTEL_BSP_EXPORT_TIMEOUT",
        "milliseconds between two batches, by default 5000, and a second limit in milliseconds for \
         sending one, by default 30000",
    ),
    (
        "OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "spans that wait to be sent, by default 2048 (more are dropped), and spans in one batch, by \
         default 512",
    ),
];

/// The variable for traces alone, then the one for all signals.
type Names = [&'static str; 2];

const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const ENDPOINT: Names = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOL: Names = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const HEADERS: Names = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const TIMEOUT: Names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const COMPRESSION: Names =
    ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const SCHEDULE_DELAY: &str = "OTEL_BSP_SCHEDULE_DELAY";
const EXPORT_TIMEOUT: &str = "OTEL_BSP_EXPORT_TIMEOUT";
const MAX_QUEUE_SIZE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
const MAX_BATCH_SIZE: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";

const SERVICE: &str = "screen-record-gateway";
/// The largest numbers: a day in milliseconds, and more spans than should be kept in memory.
const LONGEST: u64 = 24 * 60 * 60 * 1000;
const MOST_SPANS: u64 = 1_000_000;

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

impl TracesConfig {
    /// The defaults, sent to `endpoint`.
    pub fn to(endpoint: Url) -> Self {
        Self {
            endpoint,
            proxies: Proxies::default(),
            form: OtlpForm::Protobuf,
            gzip: false,
            headers: Vec::new(),
            timeout: Duration::from_secs(10),
            resource: vec![("service.name".to_owned(), SERVICE.to_owned())],
            sampler: TracesSampler { parent_based: true, ratio: 1.0 },
            schedule_delay: Duration::from_secs(5),
            max_queue_size: 2048,
            max_batch_size: 512,
        }
    }

    /// Reads the variables. `None` if traces are off, or the endpoint was refused.
    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Option<Self> {
        if is_disabled(loader) || !is_exported(loader) {
            return None;
        }
        let default = Self::to(endpoint(loader)?);
        let timeout = milliseconds(loader, &TIMEOUT, default.timeout);
        let longest = milliseconds(loader, &[EXPORT_TIMEOUT], Duration::from_secs(30));
        let max_queue_size = spans(loader, MAX_QUEUE_SIZE, default.max_queue_size);
        let read = Self {
            form: form(loader).unwrap_or(default.form),
            gzip: gzip(loader).unwrap_or(default.gzip),
            headers: headers(loader),
            timeout: timeout.min(longest),
            resource: resource(loader),
            sampler: sampler(loader).unwrap_or(default.sampler),
            schedule_delay: milliseconds(loader, &[SCHEDULE_DELAY], default.schedule_delay),
            max_queue_size,
            max_batch_size: batch(loader, max_queue_size, default.max_batch_size),
            endpoint: default.endpoint,
            proxies: loader.proxies(),
        };
        Some(read)
    }
}

/// The name and value of the first variable that is set. `None` after a refusal, if it is not text.
fn text(loader: &mut SettingsLoader<'_>, names: &[&'static str]) -> Option<(&'static str, String)> {
    let name = *names.iter().find(|name| loader.variable(name).is_some())?;
    let Ok(text) = loader.variable_text(name)? else {
        loader.add_problem(format!("{name} is (redacted): must be UTF-8"));
        return None;
    };
    Some((name, text.trim().to_owned()))
}

fn refuse(loader: &mut SettingsLoader<'_>, name: &str, shown: &str, allowed: &str) {
    loader.add_problem(format!("{name} is {shown}: must be {allowed}"));
}

/// The meaning of a word. `None` if none is set, or after a refusal.
fn word<T: Copy>(
    loader: &mut SettingsLoader<'_>,
    names: &[&'static str],
    known: &[(&str, T)],
) -> Option<T> {
    let (name, text) = text(loader, names)?;
    let found = known.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
    if found.is_none() {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        refuse(loader, name, &one_line(&text), &words.join(" or "));
    }
    found.map(|(_, meaning)| *meaning)
}

fn is_disabled(loader: &mut SettingsLoader<'_>) -> bool {
    word(loader, &[DISABLED], &[("true", true), ("false", false)]).unwrap_or(false)
}

fn is_exported(loader: &mut SettingsLoader<'_>) -> bool {
    word(loader, &[EXPORTER], &[("otlp", true), ("none", false)]).unwrap_or(true)
}

fn endpoint(loader: &mut SettingsLoader<'_>) -> Option<Url> {
    let (name, text) = text(loader, &ENDPOINT)?;
    let Some(mut url) = base_address(&text) else {
        let shown = web_address::shown(&text);
        let allowed = "an http or https address without user, query and fragment, such as \
                       http://localhost:4318";
        refuse(loader, name, &shown, allowed);
        return None;
    };
    if name == ENDPOINT[1] {
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/v1/traces"));
    }
    loader.show("traces endpoint", url.as_str(), Origin::Environment(name.to_owned()));
    Some(url)
}

fn form(loader: &mut SettingsLoader<'_>) -> Option<OtlpForm> {
    let (name, text) = text(loader, &PROTOCOL)?;
    if text == "grpc" {
        let allowed = "http/protobuf or http/json, which receivers take at port 4318: gRPC is not \
                       spoken here";
        refuse(loader, name, "grpc", allowed);
        return None;
    }
    let known = [("http/protobuf", OtlpForm::Protobuf), ("http/json", OtlpForm::Json)];
    word(loader, &PROTOCOL, &known)
}

fn gzip(loader: &mut SettingsLoader<'_>) -> Option<bool> {
    word(loader, &COMPRESSION, &[("none", false), ("gzip", true)])
}

/// Pairs with commas between them, values percent-encoded. `None` if one is no pair.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let key = key.trim();
        (!key.is_empty()).then(|| (key.to_owned(), value.into_owned()))
    };
    text.split(',').filter(|pair| !pair.trim().is_empty()).map(pair).collect()
}

fn headers(loader: &mut SettingsLoader<'_>) -> Vec<(HeaderName, Secret)> {
    let Some((name, text)) = text(loader, &HEADERS) else { return Vec::new() };
    let header = |(name, value): (String, String)| {
        let name = HeaderName::try_from(name).ok()?;
        HeaderValue::try_from(&value).is_ok().then(|| (name, Secret::new(value)))
    };
    let headers: Option<Vec<_>> =
        pairs(&text).and_then(|pairs| pairs.into_iter().map(header).collect());
    let Some(headers) = headers else {
        let allowed = "headers as name=value, with commas between them and percent-encoded values";
        refuse(loader, name, "(redacted)", allowed);
        return Vec::new();
    };
    loader.show("traces headers", "(redacted)", Origin::Environment(name.to_owned()));
    headers
}

fn resource(loader: &mut SettingsLoader<'_>) -> Vec<(String, String)> {
    let mut resource = Vec::new();
    if let Some((name, text)) = text(loader, &[RESOURCE_ATTRIBUTES]) {
        let pairs = pairs(&text);
        if pairs.is_none() {
            let allowed = "key=value pairs, with commas between them and percent-encoded values";
            refuse(loader, name, &one_line(&text), allowed);
        }
        resource = pairs.unwrap_or_default();
    }
    let is_named = resource.iter().any(|(key, _)| key == "service.name");
    let service = text(loader, &[SERVICE_NAME]).map(|(_, name)| name);
    let default = (!is_named).then(|| SERVICE.to_owned());
    if let Some(service) = service.or(default) {
        resource.retain(|(key, _)| key != "service.name");
        resource.push(("service.name".to_owned(), service));
    }
    resource
}

fn sampler(loader: &mut SettingsLoader<'_>) -> Option<TracesSampler> {
    let own = |ratio| (Some(ratio), false);
    let parents = |ratio| (Some(ratio), true);
    let known = [
        ("parentbased_always_on", parents(1.0)),
        ("always_on", own(1.0)),
        ("always_off", own(0.0)),
        ("traceidratio", (None, false)),
        ("parentbased_always_off", parents(0.0)),
        ("parentbased_traceidratio", (None, true)),
    ];
    let (ratio, parent_based) = word(loader, &[SAMPLER], &known)?;
    let ratio = match ratio {
        Some(ratio) => ratio,
        None => self::ratio(loader)?,
    };
    Some(TracesSampler { parent_based, ratio })
}

fn ratio(loader: &mut SettingsLoader<'_>) -> Option<f64> {
    let Some((name, text)) = text(loader, &[SAMPLER_ARG]) else { return Some(1.0) };
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    if ratio.is_none() {
        refuse(loader, name, &one_line(&text), "a share from 0 to 1, such as 0.1");
    }
    ratio
}

fn milliseconds(
    loader: &mut SettingsLoader<'_>,
    names: &[&'static str],
    stand_in: Duration,
) -> Duration {
    let read = number(loader, names, LONGEST, "a whole number of milliseconds, 1 to 86400000");
    read.map_or(stand_in, Duration::from_millis)
}

fn spans(loader: &mut SettingsLoader<'_>, name: &'static str, stand_in: usize) -> usize {
    let read = number(loader, &[name], MOST_SPANS, "a whole number of spans, 1 to 1000000");
    read.and_then(|spans| usize::try_from(spans).ok()).unwrap_or(stand_in)
}

/// A batch must not exceed the queue, or it would never fill. A default is lowered to the queue's size.
fn batch(loader: &mut SettingsLoader<'_>, queue: usize, stand_in: usize) -> usize {
    let batch = spans(loader, MAX_BATCH_SIZE, stand_in.min(queue));
    if batch > queue {
        let allowed = format!("at most {MAX_QUEUE_SIZE}, which is {queue}");
        refuse(loader, MAX_BATCH_SIZE, &batch.to_string(), &allowed);
    }
    batch
}

fn number(
    loader: &mut SettingsLoader<'_>,
    names: &[&'static str],
    most: u64,
    allowed: &str,
) -> Option<u64> {
    let (name, text) = text(loader, names)?;
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    if number.is_none() {
        refuse(loader, name, &one_line(&text), allowed);
    }
    number
}
