//! Where traces go: the variables that OpenTelemetry's specification names, which every SDK shares
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>,
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>).
//!
//! Traces are on where an endpoint is set. Nothing else is looked at where they are off: variables of
//! other programs in the same surroundings are no mistake.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use url::Url;

use super::form::one_line;
use super::source::Origin;
use super::upstream::base_address;
use super::values::Values;
use crate::domain::Secret;

/// The names in the environment that every SDK of OpenTelemetry has, and their meaning here.
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
    (RESOURCE_ATTRIBUTES, "more of this process, as `key=value,key=value`, values percent-encoded"),
    (
        SAMPLER,
        "which traces are kept: `parentbased_always_on`, the default, `always_on`, `always_off`, \
         `traceidratio`, `parentbased_always_off` or `parentbased_traceidratio`",
    ),
    (SAMPLER_ARG, "the ratio of the last, from 0 to 1, the default"),
    (
        "OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "`http/protobuf`, the default, or `http/json`; `grpc` is not spoken",
    ),
    (
        "OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        "headers for the receiver, as `name=value,name=value`, values percent-encoded; never shown",
    ),
    (
        "OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        "milliseconds that sending a batch may take, retries included, by default 10000",
    ),
    (
        "OTEL_EXPORTER_OTLP_COMPRESSION, OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
        "`none`, the default, or `gzip`",
    ),
    (
        "OTEL_BSP_SCHEDULE_DELAY, OTEL_BSP_EXPORT_TIMEOUT",
        "milliseconds between two batches, by default 5000, and another limit to how long sending one \
         may take, by default 30000",
    ),
    (
        "OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "spans that wait to be sent, by default 2048 (more are dropped), and spans in one batch, by \
         default 512",
    ),
];

/// For traces alone, then for all signals.
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
/// The most that a number may be: a day in milliseconds, and more spans than memory is well spent on.
const LONGEST: u64 = 24 * 60 * 60 * 1000;
const MOST_SPANS: u64 = 1_000_000;

/// Where traces go, which are kept, and what waits to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct TracesConfig {
    /// The whole address that batches are posted to.
    pub endpoint: Url,
    /// In which form.
    pub form: OtlpForm,
    /// Whether batches are compressed.
    pub gzip: bool,
    /// Headers for the receiver, credentials among them.
    pub headers: Vec<(HeaderName, Secret)>,
    /// How long sending a batch may take, retries included.
    pub timeout: Duration,
    /// What is said of this process, `service.name` among it.
    pub resource: Vec<(String, String)>,
    /// Which traces are kept.
    pub sampler: TracesSampler,
    /// The longest that a span waits for a batch to fill.
    pub schedule_delay: Duration,
    /// Spans that wait; more are dropped.
    pub max_queue_size: usize,
    /// Spans in one batch.
    pub max_batch_size: usize,
}

/// The form of a batch.
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
    /// Whether a caller's own decision, where one comes, wins.
    pub parent_based: bool,
    /// The share of the traces that begin here, from 0 to 1.
    pub ratio: f64,
}

impl TracesConfig {
    /// Everything as by default, sent to `endpoint`.
    pub fn to(endpoint: Url) -> Self {
        Self {
            endpoint,
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

    /// Reads the variables; nothing where traces are off, or where something was refused.
    pub(super) fn read(values: &mut Values<'_>) -> Option<Self> {
        if is_disabled(values) || !is_exported(values) {
            return None;
        }
        let default = Self::to(endpoint(values)?);
        let timeout = milliseconds(values, &TIMEOUT, default.timeout);
        let longest = milliseconds(values, &[EXPORT_TIMEOUT], Duration::from_secs(30));
        let max_queue_size = spans(values, MAX_QUEUE_SIZE, default.max_queue_size);
        let read = Self {
            form: form(values).unwrap_or(default.form),
            gzip: gzip(values).unwrap_or(default.gzip),
            headers: headers(values),
            timeout: timeout.min(longest),
            resource: resource(values),
            sampler: sampler(values).unwrap_or(default.sampler),
            schedule_delay: milliseconds(values, &[SCHEDULE_DELAY], default.schedule_delay),
            max_queue_size,
            max_batch_size: batch(values, max_queue_size, default.max_batch_size),
            endpoint: default.endpoint,
        };
        Some(read)
    }
}

/// What the first of some variables holds, and its name; nothing, and a refusal, where it is not text.
fn text(values: &mut Values<'_>, names: &[&'static str]) -> Option<(&'static str, String)> {
    let name = *names.iter().find(|name| values.surroundings().variable(name).is_some())?;
    let Ok(text) = values.surroundings().text(name)? else {
        values.refuse_line(format!("{name} is (redacted): must be UTF-8"));
        return None;
    };
    Some((name, text.trim().to_owned()))
}

fn refuse(values: &mut Values<'_>, name: &str, shown: &str, allowed: &str) {
    values.refuse_line(format!("{name} is {shown}: must be {allowed}"));
}

/// The meaning of a word; nothing where none is set, or after a refusal.
fn word<T: Copy>(
    values: &mut Values<'_>,
    names: &[&'static str],
    known: &[(&str, T)],
) -> Option<T> {
    let (name, text) = text(values, names)?;
    let found = known.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
    if found.is_none() {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        refuse(values, name, &one_line(&text), &words.join(" or "));
    }
    found.map(|(_, meaning)| *meaning)
}

fn is_disabled(values: &mut Values<'_>) -> bool {
    word(values, &[DISABLED], &[("true", true), ("false", false)]).unwrap_or(false)
}

fn is_exported(values: &mut Values<'_>) -> bool {
    word(values, &[EXPORTER], &[("otlp", true), ("none", false)]).unwrap_or(true)
}

fn endpoint(values: &mut Values<'_>) -> Option<Url> {
    let (name, text) = text(values, &ENDPOINT)?;
    let Some(mut url) = base_address(&text) else {
        // There may be a password in it.
        let is_secret = text.contains(['@', '?', '#']);
        let shown = if is_secret { "(redacted)".to_owned() } else { one_line(&text) };
        let allowed = "an http or https address without user, query and fragment, such as \
                       http://localhost:4318";
        refuse(values, name, &shown, allowed);
        return None;
    };
    if name == ENDPOINT[1] {
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/v1/traces"));
    }
    values.show("traces endpoint", url.as_str(), Origin::Environment(name.to_owned()));
    Some(url)
}

fn form(values: &mut Values<'_>) -> Option<OtlpForm> {
    let (name, text) = text(values, &PROTOCOL)?;
    if text == "grpc" {
        let allowed = "http/protobuf or http/json, which receivers take at port 4318: gRPC is not \
                       spoken here";
        refuse(values, name, "grpc", allowed);
        return None;
    }
    let known = [("http/protobuf", OtlpForm::Protobuf), ("http/json", OtlpForm::Json)];
    word(values, &PROTOCOL, &known)
}

fn gzip(values: &mut Values<'_>) -> Option<bool> {
    word(values, &COMPRESSION, &[("none", false), ("gzip", true)])
}

/// Pairs with commas between them, values percent-encoded; nothing where one is no pair.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let key = key.trim();
        (!key.is_empty()).then(|| (key.to_owned(), value.into_owned()))
    };
    text.split(',').filter(|pair| !pair.trim().is_empty()).map(pair).collect()
}

fn headers(values: &mut Values<'_>) -> Vec<(HeaderName, Secret)> {
    let Some((name, text)) = text(values, &HEADERS) else { return Vec::new() };
    let header = |(name, value): (String, String)| {
        let name = HeaderName::try_from(name).ok()?;
        HeaderValue::try_from(&value).is_ok().then(|| (name, Secret::new(value)))
    };
    let headers: Option<Vec<_>> =
        pairs(&text).and_then(|pairs| pairs.into_iter().map(header).collect());
    let Some(headers) = headers else {
        let allowed = "headers as name=value, with commas between them and percent-encoded values";
        refuse(values, name, "(redacted)", allowed);
        return Vec::new();
    };
    values.show("traces headers", "(redacted)", Origin::Environment(name.to_owned()));
    headers
}

fn resource(values: &mut Values<'_>) -> Vec<(String, String)> {
    let mut resource = Vec::new();
    if let Some((name, text)) = text(values, &[RESOURCE_ATTRIBUTES]) {
        let pairs = pairs(&text);
        if pairs.is_none() {
            let allowed = "key=value pairs, with commas between them and percent-encoded values";
            refuse(values, name, &one_line(&text), allowed);
        }
        resource = pairs.unwrap_or_default();
    }
    let is_named = resource.iter().any(|(key, _)| key == "service.name");
    let service = text(values, &[SERVICE_NAME]).map(|(_, name)| name);
    let default = (!is_named).then(|| SERVICE.to_owned());
    if let Some(service) = service.or(default) {
        resource.retain(|(key, _)| key != "service.name");
        resource.push(("service.name".to_owned(), service));
    }
    resource
}

fn sampler(values: &mut Values<'_>) -> Option<TracesSampler> {
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
    let (ratio, parent_based) = word(values, &[SAMPLER], &known)?;
    let ratio = match ratio {
        Some(ratio) => ratio,
        None => self::ratio(values)?,
    };
    Some(TracesSampler { parent_based, ratio })
}

fn ratio(values: &mut Values<'_>) -> Option<f64> {
    let Some((name, text)) = text(values, &[SAMPLER_ARG]) else { return Some(1.0) };
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    if ratio.is_none() {
        refuse(values, name, &one_line(&text), "a share from 0 to 1, such as 0.1");
    }
    ratio
}

fn milliseconds(values: &mut Values<'_>, names: &[&'static str], stand_in: Duration) -> Duration {
    let read = number(values, names, LONGEST, "a whole number of milliseconds, 1 to 86400000");
    read.map_or(stand_in, Duration::from_millis)
}

fn spans(values: &mut Values<'_>, name: &'static str, stand_in: usize) -> usize {
    let read = number(values, &[name], MOST_SPANS, "a whole number of spans, 1 to 1000000");
    read.and_then(|spans| usize::try_from(spans).ok()).unwrap_or(stand_in)
}

/// A batch larger than what may wait could never fill; a default gives way.
fn batch(values: &mut Values<'_>, queue: usize, stand_in: usize) -> usize {
    let batch = spans(values, MAX_BATCH_SIZE, stand_in.min(queue));
    if batch > queue {
        let allowed = format!("at most {MAX_QUEUE_SIZE}, which is {queue}");
        refuse(values, MAX_BATCH_SIZE, &batch.to_string(), &allowed);
    }
    batch
}

fn number(
    values: &mut Values<'_>,
    names: &[&'static str],
    most: u64,
    allowed: &str,
) -> Option<u64> {
    let (name, text) = text(values, names)?;
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    if number.is_none() {
        refuse(values, name, &one_line(&text), allowed);
    }
    number
}
