//! Reading what the upstream sends: timestamps by shape, and whole records, beside what a general
//! library does with the same bytes in the same run.

use divan::{Bencher, black_box};
use jiff::tz::TimeZone;
use screen_record_gateway::upstream::{WireValue, screen_record};

/// A body by name, so that the names stand in the table of results.
fn body(name: &str) -> &'static [u8] {
    match name {
        "all fields" => include_bytes!("../tests/fixtures/samples/records/all-fields.json"),
        _ => include_bytes!("../tests/fixtures/samples/records/seed-example.json"),
    }
}

const BODIES: [&str; 2] = ["all fields", "documented example"];

const SHAPES: [&str; 7] = [
    "\"2024-10-15T10:04:41.263Z\"",
    "\"2024-03-12 12:02:01\"",
    "\"2024-10-15T10:04:41.263999999+08:00\"",
    "\"2024/10/15 18:04:41 GMT+08:00\"",
    "\"Tue, 15 Oct 2024 10:04:41 GMT\"",
    "1728986681263",
    "\"yesterday\"",
];

fn main() {
    divan::main();
}

#[divan::bench(args = SHAPES)]
fn timestamp(bencher: Bencher<'_, '_>, json: &str) {
    bencher.bench(|| WireValue::Json(black_box(json)).timestamp(&TimeZone::UTC));
}

/// The documented shape, by jiff's own parser.
#[divan::bench]
fn timestamp_by_jiff() -> Option<jiff::Timestamp> {
    black_box("2024-10-15T10:04:41.263Z").parse().ok()
}

#[divan::bench(args = BODIES)]
fn record(bencher: Bencher<'_, '_>, name: &str) {
    let body = body(name);
    bencher.bench(|| screen_record(black_box(body), &TimeZone::UTC));
}

/// The same bytes as a tree of JSON values, with no field read yet.
#[divan::bench(args = BODIES)]
fn record_as_json_tree(bencher: Bencher<'_, '_>, name: &str) {
    let body = body(name);
    bencher.bench(|| serde_json::from_slice::<serde_json::Value>(black_box(body)));
}
