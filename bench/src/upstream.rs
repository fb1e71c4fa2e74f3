//! An upstream that has a recording for any id, and a list.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;

use crate::TOKEN;
use crate::recordings::{LISTED, Recording, USERS, listed};

struct Upstream {
    delay: Duration,
    calls: AtomicU64,
    list: Vec<Recording>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    offset: usize,
    limit: usize,
}

pub fn router(delay_ms: u64) -> Router {
    let delay = Duration::from_millis(delay_ms);
    let upstream = Upstream { delay, calls: AtomicU64::new(0), list: listed() };
    Router::new()
        .route("/v2/{project}/screen-records/{id}", get(screen_record))
        .route("/v2/{project}/screen-records", get(screen_records))
        .route("/v1/traces", post(|_: Bytes| async {}))
        .route("/__calls", get(calls))
        .with_state(Arc::new(upstream))
}

async fn screen_record(
    State(upstream): State<Arc<Upstream>>,
    Path((project, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    upstream.calls.fetch_add(1, Ordering::Relaxed);
    if !upstream.delay.is_zero() {
        wait(upstream.delay).await;
    }
    let mix = mix(&id);
    // The user's name is the caller's token, so that an answer to the wrong caller is noticed.
    let username = match headers.get(TOKEN).map(HeaderValue::to_str) {
        Some(Ok(token)) => token,
        None if headers.contains_key(header::AUTHORIZATION) => {
            USERS[usize::try_from(mix % 8).unwrap_or_default()]
        }
        _ => return StatusCode::UNAUTHORIZED.into_response(),
    };
    let seconds = 60 + mix % 7200;
    let recording = Recording {
        start: Timestamp::constant(1_768_435_200 + (mix % 2_419_200).cast_signed(), 0),
        username: username.to_owned(),
        seconds,
        bytes: seconds * 300_000,
    };
    json(record(&project, &id, &recording))
}

/// Waits for exactly `delay`: tokio's timers end up to 2 ms late.
async fn wait(delay: Duration) {
    let end = Instant::now() + delay;
    tokio::time::sleep(delay.saturating_sub(Duration::from_millis(2))).await;
    while Instant::now() < end {
        tokio::task::yield_now().await;
    }
}

async fn screen_records(
    State(upstream): State<Arc<Upstream>>,
    Path(project): Path<String>,
    Query(page): Query<Page>,
) -> Response {
    upstream.calls.fetch_add(1, Ordering::Relaxed);
    let rows = upstream.list.iter().enumerate().skip(page.offset).take(page.limit);
    let row = |(number, recording)| record(&project, &format!("listed-{number:05}"), recording);
    let rows = rows.map(row).collect::<Vec<_>>().join(",");
    json(format!("{{\"screen_records\":[{rows}],\"total_count\":{LISTED}}}"))
}

async fn calls(State(upstream): State<Arc<Upstream>>) -> String {
    upstream.calls.load(Ordering::Relaxed).to_string()
}

fn json(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// A number that an id always gives, by the hash FNV-1a.
fn mix(id: &str) -> u64 {
    id.bytes().fold(0xCBF2_9CE4_8422_2325, |mix, byte| {
        (mix ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// A recording in the upstream's fields and formats.
fn record(project: &str, id: &str, recording: &Recording) -> String {
    let Recording { start, username, seconds, bytes } = recording;
    let mix = mix(id);
    let desktop = mix % 40;
    let [start, end, update] =
        [0, 2, 3].map(|hours| timestamp(mix, *start + jiff::SignedDuration::from_hours(hours)));
    format!(
        "{{\"id\":\"{id}\",\"desktop_id\":\"00000000-0000-4000-8000-{desktop:012x}\",\"desktop_name\":\
         \"desktop{desktop:02}\",\"desktop_pool_id\":\"11111111-0000-4000-8000-{desktop:012x}\",\
         \"username\":\"{username}\",\"type\":\"SESSION\",\"status\":\"UPLOAD_COMPLETED\",\"size\":{bytes},\
         \"duration\":{seconds},\"start_time\":\"{start}\",\"end_time\":\"{end}\",\"update_time\":\
         \"{update}\",\"policy_id\":\"{mix:016x}{mix:016x}\",\"obs_bucket\":\"records-example\",\
         \"file_directory\":\"records/2026/01/15/\",\"video_filename\":\"video_{project}.mp4\",\
         \"event_filename\":\"event_{project}.json\",\"video_file_sha256\":\"{mix:064x}\",\
         \"event_file_sha256\":\"{mix:064x}\",\"upload_type\":\"NORMAL\",\"site_type\":\"CENTER\"}}"
    )
}

/// A timestamp in one of the upstream's two most frequent formats.
fn timestamp(mix: u64, at: Timestamp) -> String {
    let format =
        if (mix >> 40).is_multiple_of(2) { "%Y-%m-%dT%H:%M:%S.%3fZ" } else { "%Y-%m-%d %H:%M:%S" };
    at.strftime(format).to_string()
}
