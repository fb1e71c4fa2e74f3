//! The recordings of the upstream, and statistics of them as a program computes them that has them in memory.

use std::collections::BTreeMap;

use axum::Router;
use axum::http::header;
use axum::routing::post;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// How many recordings the list has.
pub const LISTED: usize = 10_000;

pub const USERS: [&str; 8] =
    ["user0", "user1", "user2", "user3", "user4", "user5", "user6", "user7"];

/// What statistics by day and user read of a recording.
#[derive(Clone)]
pub struct Recording {
    pub start: Timestamp,
    pub username: String,
    pub seconds: u64,
    pub bytes: u64,
}

/// The recordings of the list, two minutes apart, the newest first.
pub fn listed() -> Vec<Recording> {
    let newest = Timestamp::constant(1_774_872_000, 0); // 2026-03-30T12:00:00Z
    let recording = |number: u64| Recording {
        start: newest - SignedDuration::from_mins(2 * number.cast_signed()),
        username: format!("user{}", number * 7 % 8),
        seconds: number % 7200,
        bytes: number * 250_000,
    };
    (0..).take(LISTED).map(recording).collect()
}

/// Computes the statistics anew for each request.
pub fn fold_router() -> Result<Router, jiff::Error> {
    let (recordings, zone) = (listed(), TimeZone::get("Europe/Berlin")?);
    let answer = move || {
        let groups = fold(&recordings, &zone).unwrap_or_default();
        async { ([(header::CONTENT_TYPE, "application/json")], groups) }
    };
    Ok(Router::new().route("/graphql", post(answer)))
}

#[derive(Default)]
struct Sums {
    count: u64,
    seconds: u64,
    bytes: u64,
}

/// The gateway's answer to the same question.
fn fold(recordings: &[Recording], zone: &TimeZone) -> Result<String, jiff::Error> {
    let mut groups = BTreeMap::<(Timestamp, &str), Sums>::new();
    for recording in recordings {
        let day = recording.start.to_zoned_datetime(zone.clone()).start_of_day()?;
        let sums = groups.entry((day.timestamp(), &recording.username)).or_default();
        sums.count += 1;
        sums.seconds += recording.seconds;
        sums.bytes += recording.bytes;
    }
    let group = |((day, username), sums): (&(Timestamp, &str), &Sums)| {
        json!({
            "time": day.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(), "username": username,
            "count": sums.count, "seconds": sums.seconds, "bytes": sums.bytes,
        })
    };
    let groups: Vec<_> = groups.iter().map(group).collect();
    let statistics = json!({ "groups": groups, "scanned": recordings.len(), "isComplete": true });
    Ok(json!({ "data": { "screenRecordStatistics": statistics } }).to_string())
}
