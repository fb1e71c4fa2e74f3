//! Spans that a receiver gets, and trace headers that the upstream gets.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use screen_record_gateway::config::{Config, TracesConfig};
use serde_json::{Value, json};

use crate::commands::Running;
use crate::support::{
    Gateway, HttpAnswer, PROJECT, RECORD, Receiver, Reply, Said, ScriptedUpstream, Socket, Spanned,
    TOKEN, client, keep_log, log, screen_record, tree,
};

const SERVER: &str = "POST /graphql";
const ATTEMPT: &str = "GET /v2/{project_id}/screen-records/{record_id}";
/// Traces of callers, and their spans.
const FIRST: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SECOND: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00f067aa0ba902b7";

async fn traced(upstream: ScriptedUpstream, receiver: &Receiver) -> Gateway {
    adjusted(upstream, receiver, |_| {}).await
}

async fn adjusted(
    upstream: ScriptedUpstream,
    receiver: &Receiver,
    adjust: impl FnOnce(&mut Config),
) -> Gateway {
    Gateway::configured(upstream, |config| {
        config.traces = Some(receiver.config());
        adjust(config);
    })
    .await
}

/// `serve` as a process. Its spans are sent when it ends.
struct Program {
    running: Running,
    upstream: ScriptedUpstream,
}

impl Program {
    async fn serve(receiver: &Receiver, variables: &[(&str, &str)]) -> Self {
        let upstream = upstream().await;
        let endpoint = format!("http://{}", upstream.address);
        let usual = [
            ("GATEWAY_UPSTREAM__ENDPOINT", &*endpoint),
            ("GATEWAY_LISTEN", "127.0.0.1:0"),
            ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.url()),
            ("OTEL_BSP_SCHEDULE_DELAY", "600000"),
        ];
        let running = Running::until("/readyz", &["serve"], &[&usual[..], variables].concat());
        Self { running, upstream }
    }

    async fn ask(&self, parent: &str) {
        let request = client().post(self.running.address("GraphQL"));
        let request = request.header("x-auth-token", TOKEN).header("traceparent", parent);
        let request = request.header("content-type", "application/json");
        let body = json!({ "query": screen_record("id") }).to_string();
        let answer = HttpAnswer::of(request.body(body).send().await.unwrap()).await.json;
        assert_eq!(answer["data"]["screenRecord"]["id"], RECORD);
    }

    /// What it logged until its end.
    async fn log(self) -> String {
        let ending = tokio::task::spawn_blocking(|| self.running.stop_with_log());
        let (code, log) = ending.await.unwrap();
        assert_eq!(code, 0, "{log}");
        log
    }
}

/// An upstream that has the usual record.
async fn upstream() -> ScriptedUpstream {
    ScriptedUpstream::start(|_| found()).await
}

fn found() -> Reply {
    Reply::json(200, &json!({ "id": RECORD, "status": "UPLOAD_COMPLETED" }))
}

/// Queries the usual record within a trace.
async fn ask(gateway: &Gateway, trace: &str) -> Value {
    ask_with(gateway, trace, &[]).await
}

async fn ask_with(gateway: &Gateway, trace: &str, more: &[(&str, &str)]) -> Value {
    let parent = format!("00-{trace}-{PARENT}-01");
    let headers = [&[("x-auth-token", TOKEN), ("traceparent", &parent)], more].concat();
    gateway.post(&screen_record("id"), &headers).await.json
}

fn of<'s>(spans: &'s [Spanned], trace: &str, name: &str) -> &'s Spanned {
    let found = spans.iter().find(|span| span.trace == trace && span.name == name);
    found.unwrap_or_else(|| unreachable!("{name} is not in {spans:#?}"))
}

#[tokio::test]
async fn a_miss_and_a_hit_have_spans_from_the_request_down_to_the_call() {
    let receiver = Receiver::start().await;
    let gateway = traced(upstream().await, &receiver).await;

    ask(&gateway, FIRST).await;
    ask(&gateway, SECOND).await;

    let spans = receiver.until(SERVER, 2).await;
    assert_eq!(
        tree(&spans, FIRST),
        "POST /graphql 200\n  query\n    read record miss\n      \
         GET /v2/{project_id}/screen-records/{record_id} 200\n"
    );
    assert_eq!(tree(&spans, SECOND), "POST /graphql 200\n  query\n    read record hit\n");
}

#[tokio::test]
async fn spans_follow_the_semantic_conventions() {
    let receiver = Receiver::start().await;
    let gateway = traced(upstream().await, &receiver).await;

    let app = [("graphql-client-name", "player"), ("graphql-client-version", "1.2")];
    ask_with(&gateway, FIRST, &[&[("x-request-id", "request-1")], &app[..]].concat()).await;

    let spans = receiver.until(SERVER, 1).await;
    let [server, attempt] = [SERVER, ATTEMPT].map(|name| of(&spans, FIRST, name));
    assert_eq!((server.kind, attempt.kind), (SpanKind::Server, SpanKind::Client));
    let port = |address: std::net::SocketAddr| address.port().to_string();
    let theirs = port(gateway.upstream.address);
    for (span, name, value) in [
        (server, "http.request.method", "POST"),
        (server, "http.route", "/graphql"),
        (server, "url.path", "/graphql"),
        (server, "http.response.status_code", "200"),
        (server, "gateway.request.id", "request-1"),
        (server, "graphql.client.name", "player"),
        (server, "graphql.client.version", "1.2"),
        (attempt, "http.request.method", "GET"),
        (attempt, "url.template", "/v2/{project_id}/screen-records/{record_id}"),
        (attempt, "cloud.region", "test-1"),
        (attempt, "server.address", "127.0.0.1"),
        (attempt, "server.port", &theirs),
        (attempt, "http.response.status_code", "200"),
        (of(&spans, FIRST, "query"), "graphql.operation.type", "query"),
    ] {
        assert_eq!(span.attribute(name), Some(value), "{name} of {}", span.name);
    }
    let resource = receiver.batches()[0].resource();
    assert_eq!(resource["service.name"], "screen-record-gateway");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn the_upstream_is_called_in_the_callers_trace_below_the_attempt() {
    let receiver = Receiver::start().await;
    let gateway = traced(upstream().await, &receiver).await;

    ask_with(&gateway, FIRST, &[("tracestate", "a=b"), ("baggage", "user=me")]).await;

    let spans = receiver.until(SERVER, 1).await;
    let headers = &gateway.upstream.seen()[0].headers;
    let attempt = of(&spans, FIRST, ATTEMPT);
    assert_eq!(headers["traceparent"], format!("00-{FIRST}-{}-01", attempt.id));
    assert_eq!(headers["tracestate"], "a=b");
    assert!(!headers.contains_key("baggage"));
    assert_eq!(of(&spans, FIRST, SERVER).parent, PARENT);
}

#[tokio::test]
async fn every_attempt_is_a_span_of_its_own() {
    let receiver = Receiver::start().await;
    let gateway = adjusted(upstream().await, &receiver, |config| {
        config.upstream.max_attempts = NonZeroU32::new(3).unwrap();
    })
    .await;
    let tried = std::sync::atomic::AtomicUsize::new(0);
    gateway.upstream.answer_with(move |_| {
        match tried.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Reply::json(503, &json!({})),
            _ => found(),
        }
    });

    ask(&gateway, FIRST).await;

    let spans = receiver.until(SERVER, 1).await;
    assert_eq!(
        tree(&spans, FIRST),
        format!(
            "POST /graphql 200\n  query\n    read record miss\n      {ATTEMPT} 503 503\n      \
             {ATTEMPT} 200 1\n"
        )
    );
    let ids: Vec<&str> =
        spans.iter().filter(|span| span.name == ATTEMPT).map(|span| &*span.id).collect();
    for (seen, id) in gateway.upstream.seen().iter().zip(ids) {
        assert_eq!(seen.headers["traceparent"], format!("00-{FIRST}-{id}-01"));
    }
}

#[tokio::test]
async fn a_read_that_joins_a_load_links_to_the_read_that_started_it() {
    let receiver = Receiver::start().await;
    let gateway = traced(upstream().await, &receiver).await;
    gateway.upstream.hold();

    let second = async {
        gateway.upstream.arrived(1).await;
        let joining = ask(&gateway, SECOND);
        let releasing = async {
            gateway.in_flight(2).await;
            gateway.upstream.release();
        };
        tokio::join!(joining, releasing)
    };
    tokio::join!(ask(&gateway, FIRST), second);

    let spans = receiver.until(SERVER, 2).await;
    assert_eq!(tree(&spans, SECOND), "POST /graphql 200\n  query\n    read record collapsed\n");
    let joined = of(&spans, SECOND, "read record");
    assert_eq!(joined.links, [of(&spans, FIRST, "read record").id.as_str()]);
    assert_eq!(spans.iter().filter(|span| span.name == ATTEMPT).count(), 1);
}

#[tokio::test]
async fn an_error_is_on_the_span_where_it_happened_and_a_cached_absence_is_a_hit() {
    let receiver = Receiver::start().await;
    let gateway = traced(upstream().await, &receiver).await;
    gateway.upstream.answer_with(|_| Reply::json(404, &json!({})));

    ask(&gateway, FIRST).await;
    ask(&gateway, SECOND).await;

    let spans = receiver.until(SERVER, 2).await;
    assert_eq!(
        tree(&spans, FIRST),
        format!(
            "POST /graphql 200\n  query NOT_FOUND\n    read record miss\n      {ATTEMPT} 404 404\n"
        )
    );
    assert_eq!(tree(&spans, SECOND), "POST /graphql 200\n  query NOT_FOUND\n    read record hit\n");
    assert!(of(&spans, FIRST, "query").is_error && of(&spans, FIRST, ATTEMPT).is_error);
    assert!(!of(&spans, FIRST, SERVER).is_error, "the request itself was answered");
}

#[tokio::test]
async fn no_answer_at_all_is_an_error_of_the_attempt_and_of_the_read() {
    let receiver = Receiver::start().await;
    let gateway = traced(upstream().await, &receiver).await;
    gateway.upstream.answer_with(|_| Reply::CutMidway);

    ask(&gateway, FIRST).await;

    let spans = receiver.until(SERVER, 1).await;
    assert_eq!(
        tree(&spans, FIRST),
        format!(
            "POST /graphql 200\n  query UPSTREAM_UNAVAILABLE\n    read record miss \
             UPSTREAM_UNAVAILABLE\n      {ATTEMPT} unreachable\n"
        )
    );
}

#[tokio::test]
async fn pages_operations_and_links_have_spans_also_for_a_cached_response() {
    let receiver = Receiver::start().await;
    let upstream = ScriptedUpstream::start(|seen| {
        let record = json!({ "id": RECORD, "status": "UPLOAD_COMPLETED" });
        seen.page_of("screen_records", &[record])
    });
    let gateway = traced(upstream.await, &receiver).await;
    let document = format!(r#"{{ screenRecords(projectId: "{PROJECT}") {{ nodes {{ id }} }} }}"#);

    for trace in [FIRST, SECOND] {
        let parent = format!("00-{trace}-{PARENT}-01");
        let headers = [("x-auth-token", TOKEN), ("traceparent", &parent)];
        assert_eq!(gateway.post(&document, &headers).await.json.get("errors"), None);
    }

    let spans = receiver.until(SERVER, 2).await;
    assert_eq!(
        tree(&spans, FIRST),
        "POST /graphql 200\n  query\n    read page miss\n      \
         GET /v2/{project_id}/screen-records 200\n"
    );
    assert_eq!(tree(&spans, SECOND), "POST /graphql 200\n  query\n    read page hit\n");
}

#[tokio::test]
async fn several_records_of_an_operation_are_several_reads_each_with_its_call() {
    let receiver = Receiver::start().await;
    let gateway = traced(upstream().await, &receiver).await;
    let one = |alias: &str, id: &str| {
        format!(r#"{alias}: screenRecord(projectId: "{PROJECT}", id: "{id}") {{ id }}"#)
    };
    let document = format!("{{ {} {} }}", one("a", RECORD), one("b", "another"));
    let parent = format!("00-{FIRST}-{PARENT}-01");

    gateway.post(&document, &[("x-auth-token", TOKEN), ("traceparent", &parent)]).await;

    let spans = receiver.until(SERVER, 1).await;
    let read = format!("    read record miss\n      {ATTEMPT} 200\n");
    assert_eq!(tree(&spans, FIRST), format!("POST /graphql 200\n  query\n{read}{read}"));
}

#[tokio::test]
async fn a_stale_answer_has_its_refresh_in_the_same_trace() {
    let receiver = Receiver::start().await;
    let gateway = traced(upstream().await, &receiver).await;
    ask(&gateway, FIRST).await;
    gateway.advance(Duration::from_secs(61));

    ask(&gateway, SECOND).await;

    let spans = receiver.until(ATTEMPT, 2).await;
    let lines = tree(&spans, SECOND);
    assert!(lines.contains("    read record stale\n"), "{lines}");
    assert!(lines.contains(&format!("    {ATTEMPT} 200\n")), "{lines}");
}

#[tokio::test]
async fn no_span_holds_documents_callers_or_recordings() {
    let receiver = Receiver::start().await;
    let gateway = traced(upstream().await, &receiver).await;
    let headers = [("x-auth-token", TOKEN), ("cookie", "canary"), ("user-agent", "canary")];

    gateway.post(&screen_record("id canaryField"), &headers).await;
    gateway.post(&format!("query Shown {}", screen_record("id")), &headers).await;
    let query = [("query", screen_record("id"))];
    let url = url::Url::parse_with_params(&gateway.url(), query).unwrap();
    gateway.http().get(url).header("x-auth-token", TOKEN).send().await.unwrap();

    let spans = receiver.until("GET /graphql", 1).await;
    let shown = format!("{spans:?}");
    for secret in [TOKEN, PROJECT, RECORD, "canary", "screenRecord("] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sampler_decides_which_traces_are_exported_and_the_upstream_is_told() {
    for (sampler, flag, batches, sent) in [
        ("always_off", "01", 0, "00"),
        ("parentbased_always_on", "00", 0, "00"),
        ("always_on", "00", 1, "01"),
        ("traceidratio", "00", 1, "01"),
    ] {
        let receiver = Receiver::start().await;
        let program = Program::serve(&receiver, &[("OTEL_TRACES_SAMPLER", sampler)]).await;

        program.ask(&format!("00-{FIRST}-{PARENT}-{flag}")).await;

        let parent = program.upstream.seen()[0].headers["traceparent"].to_str().unwrap().to_owned();
        program.log().await;
        assert_eq!(receiver.batches().len(), batches, "{sampler}");
        let (trace, end) = (format!("00-{FIRST}-"), format!("-{sent}"));
        assert!(parent.starts_with(&trace) && parent.ends_with(&end), "{sampler}: {parent}");
    }
}

#[tokio::test]
async fn without_traces_the_upstream_gets_no_trace_headers() {
    let gateway = Gateway::before(upstream().await).await;

    ask_with(&gateway, FIRST, &[("tracestate", "a=b")]).await;

    let headers = &gateway.upstream.seen()[0].headers;
    assert!(!headers.contains_key("traceparent") && !headers.contains_key("tracestate"));
}

#[tokio::test]
async fn log_lines_of_a_traced_request_name_the_trace() {
    keep_log();
    let receiver = Receiver::start().await;
    let gateway = traced(upstream().await, &receiver).await;

    ask(&gateway, FIRST).await;

    let spans = receiver.until(SERVER, 1).await;
    let shown = log();
    let line = shown.lines().find(|line| line.contains(" answered ")).unwrap();
    let id = &of(&spans, FIRST, SERVER).id;
    assert!(line.contains(&format!("trace_id={FIRST} span_id={id}")), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_may_be_json_and_compressed_with_credentials_that_no_log_shows() {
    let receiver = Receiver::start().await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=canary%20of%20the%20receiver"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_SERVICE_NAME", "recordings"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=other"),
    ];
    let program = Program::serve(&receiver, &variables).await;

    program.ask(&format!("00-{FIRST}-{PARENT}-01")).await;

    let log = program.log().await;
    let batch = &receiver.batches()[0];
    assert_eq!(batch.path, "/v1/traces");
    assert_eq!(batch.headers["x-api-key"], "canary of the receiver");
    assert_eq!(batch.headers["content-type"], "application/json");
    assert_eq!(batch.headers["content-encoding"], "gzip");
    let json: Value = serde_json::from_reader(GzDecoder::new(&*batch.body)).unwrap();
    let spans = &json["resourceSpans"][0];
    assert_eq!(spans["scopeSpans"][0]["spans"][0]["traceId"], FIRST, "{json}");
    let attributes = spans["resource"]["attributes"].to_string();
    for part in ["recordings", "deployment.environment.name", env!("CARGO_PKG_VERSION")] {
        assert!(attributes.contains(part), "{part} is not in {attributes}");
    }
    assert!(!attributes.contains("other"), "{attributes}");
    assert!(log.contains("answered") && !log.contains("canary"), "{log}");
}

#[tokio::test]
async fn an_absent_receiver_delays_no_request_and_is_logged_once() {
    keep_log();
    let mut gateway = Gateway::configured(upstream().await, |config| {
        let absent = "http://127.0.0.1:1/v1/traces".parse().unwrap();
        let schedule_delay = Duration::from_millis(1);
        let timeout = Duration::from_millis(20);
        config.traces = Some(TracesConfig { schedule_delay, timeout, ..TracesConfig::to(absent) });
    })
    .await;

    for spans in [4, 7] {
        assert_eq!(ask(&gateway, FIRST).await["data"]["screenRecord"]["id"], RECORD);
        let failed = format!("gateway_traces_spans_total{{outcome=\"failed\"}} {spans}");
        gateway.until_metric(&failed).await;
    }
    gateway.stop();
    gateway.stopped().await;

    assert_eq!(log().matches("spans are lost").count(), 1);
}

#[tokio::test]
async fn a_silent_receiver_delays_neither_requests_nor_the_shutdown() {
    let receiver = Receiver::start().await;
    let mut gateway = adjusted(upstream().await, &receiver, |config| {
        config.traces = Some(TracesConfig { max_queue_size: 4, ..receiver.config() });
    })
    .await;
    receiver.hold();

    ask(&gateway, FIRST).await;
    receiver.batches_arrived(1).await;
    let none_dropped = "gateway_traces_spans_total{outcome=\"dropped\"} 0\n";
    while gateway.admin_get("/metrics").await.1.contains(none_dropped) {
        ask(&gateway, SECOND).await;
    }
    let began = Instant::now();
    gateway.stop();
    gateway.stopped().await;

    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_socket_operation_has_its_own_trace_linked_to_the_sockets() {
    let receiver = Receiver::start().await;
    let gateway = traced(upstream().await, &receiver).await;
    let (mut socket, _) = Socket::showing(&gateway, json!({ "X-Auth-Token": TOKEN })).await;

    socket.subscribe("1", &format!("subscription {}", screen_record("id"))).await;
    while !matches!(socket.hear().await, Said::Message(message) if message["type"] == "complete") {}

    let spans = receiver.until("subscription", 1).await;
    let spans_named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let [upgrade, operation, poll] =
        ["GET /graphql", "subscription", "poll record"].map(spans_named);
    assert_eq!(upgrade.attribute("http.response.status_code"), Some("101"));
    assert_eq!(operation.links, [upgrade.id.as_str()]);
    assert_eq!(poll.links, [operation.id.as_str()]);
    assert!(operation.trace != upgrade.trace && poll.trace != operation.trace);
    assert_eq!(
        tree(&spans, &poll.trace),
        format!("poll record\n  read record miss\n    {ATTEMPT} 200\n")
    );
}

#[tokio::test]
async fn an_operation_of_an_event_stream_is_below_its_request() {
    let receiver = Receiver::start().await;
    let gateway = traced(upstream().await, &receiver).await;

    event_stream(&gateway, FIRST).await.text().await.unwrap();

    let spans = receiver.until("subscription", 1).await;
    assert_eq!(tree(&spans, FIRST), "POST /graphql 200\n  subscription\n");
    let poll = spans.iter().find(|span| span.name == "poll record").unwrap();
    assert!(
        of(&spans, FIRST, "subscription").ended >= poll.ended,
        "it lasts as long as its stream"
    );
}

#[tokio::test]
async fn the_request_of_an_event_stream_is_exported_while_the_stream_goes_on() {
    let receiver = Receiver::start().await;
    let gateway = traced(upstream().await, &receiver).await;
    gateway.upstream.hold();

    let stream = event_stream(&gateway, FIRST).await;

    let spans = receiver.until(SERVER, 1).await;
    assert_eq!(tree(&spans, FIRST), "POST /graphql 200\n");
    gateway.upstream.release();
    assert!(stream.text().await.unwrap().contains("event: complete"));
}

/// The response to a subscription to the usual record, within a trace.
async fn event_stream(gateway: &Gateway, trace: &str) -> reqwest::Response {
    let body = json!({ "query": format!("subscription {}", screen_record("id")) }).to_string();
    let request = gateway.http().post(gateway.url()).body(body);
    let request = request.header("content-type", "application/json");
    let request = request.header("accept", "text/event-stream");
    let request = request.header("traceparent", format!("00-{trace}-{PARENT}-01"));
    request.header("x-auth-token", TOKEN).send().await.unwrap()
}
