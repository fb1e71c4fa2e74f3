//! Statistics of 10,000 recordings, from the upstream and from the cache, beside a plain fold over the same
//! values in memory.
#![expect(clippy::unwrap_used, reason = "what a benchmark sets up itself has to work")]

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use divan::{Bencher, black_box};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use screen_record_gateway::clock::Clock;
use screen_record_gateway::config::{
    CacheConfig, InboundConfig, LimitsConfig, SubscriptionsConfig, UpstreamConfig,
};
use screen_record_gateway::domain::{ProjectId, RecordSelection, Token};
use screen_record_gateway::records::{
    GroupBy, Grouping, RecordMetrics, RecordParts, Records, RequestContext, Statistics,
};
use screen_record_gateway::upstream::{Upstream, UpstreamMetrics};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const ROWS: usize = 10_000;
const PAGE: usize = 100;
const ZONE: &str = "Europe/Berlin";

fn main() {
    divan::main();
}

/// The values that statistics by day and user need.
struct Value {
    start: Timestamp,
    username: String,
    seconds: i64,
    bytes: i64,
}

/// Recordings of eight users, two minutes apart, the newest first.
fn values() -> Vec<Value> {
    let newest: Timestamp = "2026-03-30T12:00:00Z".parse().unwrap();
    let value = |number: usize| {
        let steps = i64::try_from(number).unwrap();
        Value {
            start: newest - SignedDuration::from_mins(2 * steps),
            username: format!("user{}", number * 7 % 8),
            seconds: steps % 7200,
            bytes: steps * 250_000,
        }
    };
    (0..ROWS).map(value).collect()
}

/// What a program does that has the values.
#[divan::bench]
fn fold(bencher: Bencher<'_, '_>) {
    let values = values();
    let zone = TimeZone::get(ZONE).unwrap();
    bencher.bench(|| {
        let mut groups = HashMap::<(Timestamp, &str), (usize, i64, i64)>::new();
        for value in black_box(&values) {
            let day = value.start.to_zoned_datetime(zone.clone()).start_of_day().unwrap();
            let sums = groups.entry((day.timestamp(), &value.username)).or_default();
            *sums = (sums.0 + 1, sums.1 + value.seconds, sums.2 + value.bytes);
        }
        groups.into_iter().collect::<BTreeMap<_, _>>()
    });
}

#[divan::bench]
fn warm(bencher: Bencher<'_, '_>) {
    let counting = Counting::start();
    counting.ask(false);
    bencher.bench(|| counting.ask(false));
}

#[divan::bench]
fn cold(bencher: Bencher<'_, '_>) {
    let counting = Counting::start();
    bencher.bench(|| counting.ask(true));
}

/// Records in front of an upstream that has its answers ready.
struct Counting {
    runtime: Runtime,
    records: Records,
    grouping: Grouping,
}

impl Counting {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let records = runtime.block_on(records());
        let grouping = Grouping::new(vec![GroupBy::Day, GroupBy::Username], ZONE).unwrap();
        Self { runtime, records, grouping }
    }

    fn ask(&self, no_cache: bool) -> Statistics {
        let mut context = RequestContext::default();
        context.token = Some(Token::new("token"));
        context.no_cache = no_cache;
        let reader = self.records.reader(context);
        let project = ProjectId::parse("p").unwrap();
        let asking = reader.statistics(project, RecordSelection::default(), &self.grouping);
        let statistics = self.runtime.block_on(asking).unwrap();
        assert!(statistics.is_complete && statistics.counted() == ROWS);
        statistics
    }
}

async fn records() -> Records {
    let pages: Vec<String> = values().chunks(PAGE).enumerate().map(page).collect();
    let list = async |State(pages): State<Arc<Vec<String>>>,
                      Query(query): Query<HashMap<String, String>>| {
        let offset: usize = query.get("offset").unwrap().parse().unwrap();
        pages.get(offset / PAGE).unwrap().clone()
    };
    let upstream = Router::new().route("/v2/p/screen-records", get(list));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let tasks = TaskTracker::new();
    tasks.spawn(async { axum::serve(listener, upstream.with_state(Arc::new(pages))).await });
    let (settings, clock) = (UpstreamConfig::at(endpoint), Clock::default());
    let upstream = Upstream::new(&settings, UpstreamMetrics::default(), clock.clone());
    // Fresh for as long as any benchmark runs.
    let day = std::time::Duration::from_hours(24);
    let cache = CacheConfig { ttl_list: day, ..CacheConfig::default() };
    let parts = RecordParts {
        cache: &cache,
        inbound: &InboundConfig::default(),
        subscriptions: &SubscriptionsConfig::default(),
        limits: &LimitsConfig { max_scanned_rows: ROWS, ..LimitsConfig::default() },
        metrics: RecordMetrics::default(),
        clock,
        tasks,
        ended: CancellationToken::new(),
    };
    Records::new(upstream.unwrap(), parts).unwrap()
}

fn page((number, values): (usize, &[Value])) -> String {
    let row = |(at, value): (usize, &Value)| {
        serde_json::json!({
            "id": format!("record-{:05}", number * PAGE + at),
            "desktop_id": format!("desktop-{}", at % 40),
            "desktop_name": format!("desktop {}", at % 40),
            "username": value.username,
            "status": "UPLOAD_COMPLETED",
            "type": "FULL",
            "start_time": value.start.to_string(),
            "duration": value.seconds,
            "size": value.bytes,
        })
    };
    let rows: Vec<_> = values.iter().enumerate().map(row).collect();
    serde_json::json!({ "screen_records": rows, "total_count": ROWS }).to_string()
}
