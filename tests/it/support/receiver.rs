//! A receiver of traces, like a collector.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{Span, span, status};
use prost::Message as _;
use screen_record_gateway::config::TracesConfig;
use tokio::sync::{Semaphore, watch};

/// How long a test waits for an event.
const PATIENCE: Duration = Duration::from_secs(45);

/// Accepts batches and keeps their contents.
#[derive(Clone)]
pub(crate) struct Receiver(Arc<Kept>);

struct Kept {
    address: String,
    taken: Mutex<Vec<Batch>>,
    arrived: watch::Sender<usize>,
    /// Each answer takes a permit; normally there are unlimited permits.
    gate: Semaphore,
}

/// A received batch.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A received span.
#[derive(Clone, Debug)]
pub(crate) struct Spanned {
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) kind: span::SpanKind,
    pub(crate) attributes: BTreeMap<String, String>,
    /// The ids of spans that it is linked to.
    pub(crate) links: Vec<String>,
    pub(crate) is_error: bool,
    began: u64,
    pub(crate) ended: u64,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let gate = Semaphore::new(Semaphore::MAX_PERMITS / 2);
        let taken = Mutex::default();
        let kept = Arc::new(Kept { address, taken, arrived: watch::Sender::new(0), gate });
        let router = Router::new().fallback(take).with_state(Arc::clone(&kept));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self(kept)
    }

    /// The base address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// Settings that send spans here, and soon.
    pub(crate) fn config(&self) -> TracesConfig {
        let endpoint = format!("{}/v1/traces", self.url()).parse().unwrap();
        TracesConfig { schedule_delay: Duration::from_millis(10), ..TracesConfig::to(endpoint) }
    }

    /// Stops answering.
    pub(crate) fn hold(&self) {
        self.0.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn batches(&self) -> Vec<Batch> {
        self.0.taken.lock().unwrap().clone()
    }

    /// Every received span, in the order of their start.
    pub(crate) fn spans(&self) -> Vec<Spanned> {
        let mut spans: Vec<Spanned> = self.batches().iter().flat_map(Batch::spans).collect();
        spans.sort_by_key(|span| span.began);
        spans
    }

    /// Waits until this number of batches has arrived.
    pub(crate) async fn batches_arrived(&self, batches: usize) {
        let mut arrived = self.0.arrived.subscribe();
        let waiting = arrived.wait_for(|count| *count >= batches);
        tokio::time::timeout(PATIENCE, waiting).await.expect("it never came").unwrap();
    }

    /// The spans with the name, once `count` of them have arrived.
    pub(crate) async fn until(&self, name: &str, count: usize) -> Vec<Spanned> {
        let mut arrived = self.0.arrived.subscribe();
        let waiting = arrived
            .wait_for(|_| self.spans().iter().filter(|span| span.name == name).count() >= count);
        let came = tokio::time::timeout(PATIENCE, waiting).await;
        came.unwrap_or_else(|_| unreachable!("only {:#?} came", self.spans())).unwrap();
        self.spans()
    }
}

async fn take(
    State(kept): State<Arc<Kept>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    kept.taken.lock().unwrap().push(Batch { path: uri.path().to_owned(), headers, body });
    kept.arrived.send_modify(|count| *count += 1);
    drop(kept.gate.acquire().await);
    StatusCode::OK
}

impl Batch {
    pub(crate) fn request(&self) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest::decode(self.body.clone()).unwrap()
    }

    /// The attributes of the process.
    pub(crate) fn resource(&self) -> BTreeMap<String, String> {
        texts(&self.request().resource_spans[0].resource.as_ref().unwrap().attributes)
    }

    fn spans(&self) -> Vec<Spanned> {
        let of_resources = self.request().resource_spans.into_iter();
        let scopes = of_resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).map(Spanned::of).collect()
    }
}

impl Spanned {
    fn of(span: Span) -> Self {
        Self {
            kind: span.kind(),
            trace: hex::encode(&span.trace_id),
            id: hex::encode(&span.span_id),
            parent: hex::encode(&span.parent_span_id),
            attributes: texts(&span.attributes),
            links: span.links.iter().map(|link| hex::encode(&link.span_id)).collect(),
            is_error: span.status.is_some_and(|s| s.code() == status::StatusCode::Error),
            began: span.start_time_unix_nano,
            ended: span.end_time_unix_nano,
            name: span.name,
        }
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// The spans of a trace, each below its parent: its name, and the values of a few of its attributes.
pub(crate) fn tree(spans: &[Spanned], trace: &str) -> String {
    const SHOWN: [&str; 4] = [
        "gateway.cache.outcome",
        "http.response.status_code",
        "http.request.resend_count",
        "error.type",
    ];
    fn below(spans: &[&Spanned], parent: &str, depth: usize, shown: &mut String) {
        for span in spans.iter().filter(|span| span.parent == parent) {
            let _ = write!(shown, "{}{}", "  ".repeat(depth), span.name);
            for value in SHOWN.iter().filter_map(|name| span.attribute(name)) {
                let _ = write!(shown, " {value}");
            }
            shown.push('\n');
            below(spans, &span.id, depth + 1, shown);
        }
    }
    let of_trace: Vec<&Spanned> = spans.iter().filter(|span| span.trace == trace).collect();
    let is_root = |span: &&&Spanned| of_trace.iter().all(|other| other.id != span.parent);
    let root = of_trace.iter().find(is_root).map(|span| span.parent.clone());
    let mut shown = String::new();
    below(&of_trace, &root.unwrap_or_default(), 0, &mut shown);
    shown
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| {
        let value = match attribute.value.as_ref()?.value.as_ref()? {
            any_value::Value::StringValue(text) => text.clone(),
            any_value::Value::IntValue(number) => number.to_string(),
            any_value::Value::BoolValue(value) => value.to_string(),
            other => format!("{other:?}"),
        };
        Some((attribute.key.clone(), value))
    };
    attributes.iter().filter_map(text).collect()
}
