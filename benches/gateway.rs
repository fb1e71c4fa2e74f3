//! Signing, and a query that is answered from the cache, beside a route that answers the same bytes
//! without thinking.
#![expect(clippy::unwrap_used, reason = "what a benchmark sets up itself has to work")]

use std::net::Ipv4Addr;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use axum::routing::post;
use divan::{Bencher, black_box};
use screen_record_gateway::clock::Clock;
use screen_record_gateway::config::{
    AuditConfig, CacheConfig, GraphqlConfig, InboundConfig, LimitsConfig, SubscriptionsConfig,
    UpstreamConfig,
};
use screen_record_gateway::http::{
    AuditLog, AuditMetrics, AuthParts, Authenticator, HttpMetrics, Main, MainParts, PageDefaults,
    main_router,
};
use screen_record_gateway::records::{RecordMetrics, RecordParts, Records};
use screen_record_gateway::signature::{SignableRequest, Signature};
use screen_record_gateway::simulator::{DEMO_TOKEN, Simulator, SimulatorConfig};
use screen_record_gateway::upstream::{Upstream, UpstreamMetrics};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

fn main() {
    divan::main();
}

#[divan::bench]
fn signature(bencher: Bencher<'_, '_>) {
    let headers = [
        ("host", "workspace.cn-north-4.myhuaweicloud.com"),
        ("x-sdk-date", "20260115T083000Z"),
        ("x-project-id", "089b2f9a3d80d3062f24c00ca4ed5cbd"),
    ];
    let request = SignableRequest {
        method: "GET",
        path: "/v2/089b2f9a3d80d3062f24c00ca4ed5cbd/screen-records/6c655e6a-1b2c-4d3e-8f90-b7f0edc7a082",
        query: "",
        headers: &headers,
        body: &[],
    };
    bencher
        .bench(|| Signature::of(black_box(&request), "fakeSK/Example+Secret=Key~0000000000000001"));
}

/// Twelve fields of a fresh record through the whole HTTP layer, without a socket.
#[divan::bench]
fn cached_query(bencher: Bencher<'_, '_>) {
    let runtime = Runtime::new().unwrap();
    let (main, body) = runtime.block_on(gateway());
    let warm = runtime.block_on(ask(&main, &body));
    assert!(String::from_utf8(warm).unwrap().contains("UPLOAD_COMPLETED"));
    bencher.bench(|| runtime.block_on(ask(&main, &body)));
}

/// A route that answers the same bytes.
#[divan::bench]
fn static_route(bencher: Bencher<'_, '_>) {
    let runtime = Runtime::new().unwrap();
    let (main, body) = runtime.block_on(gateway());
    let answer = runtime.block_on(ask(&main, &body));
    let fixed = Router::new().route("/graphql", post(move || async move { answer.clone() }));
    bencher.bench(|| {
        let answering = fixed.clone().oneshot(request(&body));
        runtime.block_on(async { bytes(answering.await.unwrap()).await })
    });
}

async fn ask(main: &Main, body: &str) -> Vec<u8> {
    bytes(main.answer(request(body)).await).await
}

fn request(body: &str) -> Request<Body> {
    Request::post("/graphql")
        .header("content-type", "application/json")
        .header("x-auth-token", DEMO_TOKEN)
        .body(Body::from(body.to_owned()))
        .unwrap()
}

async fn bytes(answer: Response) -> Vec<u8> {
    axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap().to_vec()
}

/// A gateway in front of a simulated upstream, and a query for one of its records.
async fn gateway() -> (Main, String) {
    let clock = Clock::default();
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    let [demo, _] = SimulatorConfig::for_demo();
    let simulated = SimulatorConfig { listen, ..demo };
    let simulator = Simulator::bind(simulated, clock.clone()).await.unwrap();
    let (project, record) = simulator.sample();
    let document = format!(
        "{{ screenRecord(projectId: \"{project}\", id: \"{record}\") {{ id projectId desktopId \
         desktopName username size duration type status startTime endTime updateTime }} }}"
    );
    let endpoint = format!("http://{}", simulator.local_addr().unwrap()).parse().unwrap();
    let tasks = TaskTracker::new();
    tasks.spawn(simulator.run(std::future::pending()));
    let settings = UpstreamConfig::at(endpoint);
    let upstream = Upstream::new(&settings, UpstreamMetrics::default(), clock.clone());
    // Fresh for as long as any benchmark runs.
    let day = std::time::Duration::from_hours(24);
    let cache = CacheConfig { ttl_final: day, ttl_active: day, ..CacheConfig::default() };
    let records = Records::new(
        upstream.unwrap(),
        RecordParts {
            cache: &cache,
            inbound: &InboundConfig::default(),
            subscriptions: &SubscriptionsConfig::default(),
            limits: &LimitsConfig::default(),
            metrics: RecordMetrics::default(),
            clock: clock.clone(),
            tasks,
            ended: CancellationToken::new(),
        },
    );
    let callers = AuthParts {
        passes_tokens: true,
        clock: clock.clone(),
        tasks: TaskTracker::new(),
        stopping: CancellationToken::new(),
    };
    let callers = Authenticator::start(&InboundConfig::default(), callers).await.unwrap();
    let audit = AuditLog::start(&AuditConfig::default(), AuditMetrics::default(), clock.clone());
    let main = main_router(MainParts {
        records: records.unwrap(),
        callers,
        cache: CacheConfig::default(),
        limits: LimitsConfig::default(),
        subscriptions: SubscriptionsConfig::default(),
        graphql: GraphqlConfig::default(),
        page_defaults: PageDefaults::default(),
        metrics: HttpMetrics::default(),
        audit: audit.unwrap(),
        clock,
        stopping: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    (main.unwrap(), serde_json::json!({ "query": document }).to_string())
}
