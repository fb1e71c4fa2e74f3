//! What the parts of a request cost: reading timestamps and recordings, signing, a query that is answered from
//! the cache, and compressing an answer, whose sizes are printed first.
#![expect(clippy::unwrap_used, reason = "what a benchmark sets up itself has to work")]
#![expect(clippy::panic, reason = "what a benchmark sets up itself has to work")]
#![expect(clippy::print_stdout, reason = "sizes are half of the result")]

use std::io::Write as _;

use divan::{Bencher, black_box};
use jiff::tz::TimeZone;
use screen_record_gateway::app::App;
use screen_record_gateway::clock::Clock;
use screen_record_gateway::config::{Environment, Invocation};
use screen_record_gateway::signature::{SignableRequest, Signature};
use screen_record_gateway::simulator::{DEMO_TOKEN, Simulator, SimulatorConfig};
use screen_record_gateway::upstream::{WireValue, screen_record};
use tokio::runtime::Runtime;

const TIMESTAMPS: [&str; 7] = [
    "\"2024-10-15T10:04:41.263Z\"",
    "\"2024-03-12 12:02:01\"",
    "\"2024-10-15T10:04:41.263999999+08:00\"",
    "\"2024/10/15 18:04:41 GMT+08:00\"",
    "\"Tue, 15 Oct 2024 10:04:41 GMT\"",
    "1728986681263",
    "\"yesterday\"",
];
const RECORD: &[u8] = include_bytes!("../tests/fixtures/samples/records/all-fields.json");

/// Codings and levels, each measured for an answer with one of these numbers of recordings.
const CODINGS: [(&str, u32); 7] =
    [("gzip", 1), ("gzip", 6), ("br", 1), ("br", 4), ("br", 5), ("zstd", 1), ("zstd", 3)];
const RECORDINGS: [usize; 6] = [1, 2, 5, 10, 100, 1000];

fn main() {
    for recordings in RECORDINGS {
        let body = answer(recordings);
        let sizes = CODINGS.map(|(coding, level)| compress(coding, level, &body).len());
        println!("{recordings} recordings, {} bytes: {CODINGS:?} {sizes:?}", body.len());
    }
    divan::main();
}

#[divan::bench(args = TIMESTAMPS)]
fn timestamp(bencher: Bencher<'_, '_>, json: &str) {
    bencher.bench(|| WireValue::Json(black_box(json)).timestamp(&TimeZone::UTC));
}

#[divan::bench]
fn record(bencher: Bencher<'_, '_>) {
    bencher.bench(|| screen_record(black_box(RECORD), &TimeZone::UTC));
}

/// The same bytes as a tree of JSON values, with no field read yet.
#[divan::bench]
fn record_as_json_tree(bencher: Bencher<'_, '_>) {
    bencher.bench(|| serde_json::from_slice::<serde_json::Value>(black_box(RECORD)));
}

#[divan::bench]
fn signature(bencher: Bencher<'_, '_>) {
    let request = SignableRequest {
        method: "GET",
        path: "/v2/089b2f9a3d80d3062f24c00ca4ed5cbd/screen-records/6c655e6a-1b2c-4d3e-8f90-b7f0edc7a082",
        query: &[],
        headers: &[
            ("host", "workspace.cn-north-4.myhuaweicloud.com"),
            ("x-sdk-date", "20260115T083000Z"),
            ("x-project-id", "089b2f9a3d80d3062f24c00ca4ed5cbd"),
        ],
        body: &[],
    };
    bencher
        .bench(|| Signature::of(black_box(&request), "fakeSK/Example+Secret=Key~0000000000000001"));
}

/// Five fields of a fresh recording, client and gateway in one process.
#[divan::bench]
fn cached_query(bencher: Bencher<'_, '_>) {
    let runtime = Runtime::new().unwrap();
    let (address, body) = runtime.block_on(gateway());
    let client = reqwest::Client::new();
    let ask = async || {
        let request = client.post(&address).header("content-type", "application/json");
        let request = request.header("x-auth-token", DEMO_TOKEN).body(body.clone());
        request.send().await.unwrap().text().await.unwrap()
    };
    assert!(runtime.block_on(ask()).contains("UPLOAD_COMPLETED"));
    bencher.bench(|| runtime.block_on(ask()));
}

/// A gateway in front of a simulated upstream, and a query for one of its recordings.
async fn gateway() -> (String, String) {
    let [demo, _] = SimulatorConfig::for_demo();
    let simulated = SimulatorConfig { listen: ([127, 0, 0, 1], 0).into(), ..demo };
    let simulator = Simulator::bind(simulated, Clock::default()).await.unwrap();
    let (project, record) = simulator.sample();
    let fields = "id username size status startTime";
    let query =
        format!("{{ screenRecord(projectId: \"{project}\", id: \"{record}\") {{ {fields} }} }}");
    let upstream = format!("http://{}", simulator.local_addr().unwrap());
    tokio::spawn(simulator.run(std::future::pending()));
    let settings = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--cache-ttl-final=1d"];
    let arguments = ["gateway", "serve"].into_iter().chain(settings).map(Into::into);
    let arguments = arguments.chain([format!("--upstream-endpoint={upstream}").into()]);
    let Ok(Invocation::Serve(loaded)) = Invocation::parse(arguments, &Environment::of_process())
    else {
        panic!("the settings were refused");
    };
    let app = App::build(&loaded.settings, Clock::default()).await.unwrap();
    let address = format!("http://{}/graphql", app.local_addr().unwrap());
    tokio::spawn(app.run(std::future::pending()));
    (address, serde_json::json!({ "query": query }).to_string())
}

#[divan::bench(args = 0..CODINGS.len(), consts = RECORDINGS)]
fn compression<const RECORDINGS: usize>(bencher: Bencher<'_, '_>, number: usize) {
    let &(coding, level) = CODINGS.get(number).unwrap();
    let body = answer(RECORDINGS);
    bencher.bench(|| compress(coding, level, black_box(&body)));
}

fn compress(coding: &str, level: u32, body: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let level = flate2::Compression::new(level);
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
            writer.write_all(body).unwrap();
            writer.finish().unwrap()
        }
        "br" => {
            let mut writer = brotli::CompressorWriter::new(Vec::new(), 4096, level, 20);
            writer.write_all(body).unwrap();
            writer.into_inner()
        }
        _ => zstd::bulk::compress(body, level.cast_signed()).unwrap(),
    }
}

/// An answer with recordings. Ids and checksums are hexadecimal digits without a pattern, names and times are
/// similar to each other, as in real ones.
fn answer(recordings: usize) -> Vec<u8> {
    let records = (0..recordings).map(recording).collect::<Vec<_>>().join(",");
    format!(r#"{{"data":{{"screenRecords":{{"nodes":[{records}],"totalCount":1000}}}}}}"#)
        .into_bytes()
}

fn recording(number: usize) -> String {
    let digits =
        |part: u8| blake3::hash(format!("{number} {part}").as_bytes()).to_hex().to_string();
    let [video, event, ids, policy] = [0, 1, 2, 3].map(digits);
    let ((id, desktop), (policy, _)) = (ids.split_at(32), policy.split_at(32));
    let (day, minute, user) = (1 + number % 28, number % 60, number % 37);
    format!(
        r#"{{"id":"{id}","projectId":"089b2f9a3d80d3062f24c00ca4ed5cbd","desktopId":"{desktop}","desktopName":"desktop-{user:04}","username":"user{user}","size":{},"duration":{},"type":"SESSION_CREATE","status":"UPLOAD_COMPLETED","policyId":"{policy}","obsBucket":"recordings-cn-north-4","fileDirectory":"2026/01/{day:02}/{id}","videoFilename":"{id}.mp4","videoFileSha256":"{video}","eventFilename":"{id}.json","eventFileSha256":"{event}","startTime":"2026-01-{day:02}T08:{minute:02}:00Z","endTime":"2026-01-{day:02}T09:{minute:02}:31Z","updateTime":"2026-01-{day:02}T09:{minute:02}:59Z"}}"#,
        1_000_000 + number * 7919,
        60 + number * 31 % 7200,
    )
}
