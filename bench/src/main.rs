//! The servers that the gateway is measured beside, and the upstream behind it.
//!
//! ```text
//! reference static-route BODY_FILE [NAME: VALUE]…   the same response, always
//! reference pass-through UPSTREAM                    GET requests go to the upstream
//! reference upstream MILLISECONDS                    a record for any id, after this delay
//! ```
//!
//! Each listens on a free port of the loopback interface and prints its address.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use bytes::Bytes;
use tokio::net::TcpListener;

type Error = Box<dyn std::error::Error>;

const TOKEN: &str = "x-auth-token";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let router = match arguments.as_slice() {
        [command, file, headers @ ..] if command == "static-route" => static_route(file, headers)?,
        [command, upstream] if command == "pass-through" => pass_through(upstream),
        [command, delay] if command == "upstream" => upstream(delay.parse()?),
        _ => return Err("usage: reference static-route|pass-through|upstream …".into()),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    Ok(axum::serve(listener, router).await?)
}

fn static_route(file: &str, headers: &[String]) -> Result<Router, Error> {
    let body = Bytes::from(std::fs::read(file)?);
    let mut sent = HeaderMap::new();
    for line in headers {
        let (name, value) = line.split_once(": ").ok_or("a header is written NAME: VALUE")?;
        sent.append(name.parse::<HeaderName>()?, HeaderValue::from_str(value)?);
    }
    Ok(Router::new().route("/graphql", any(move || async move { (sent, body) })))
}

struct PassThrough {
    base: String,
    client: reqwest::Client,
}

fn pass_through(upstream: &str) -> Router {
    let state = PassThrough { base: upstream.to_owned(), client: reqwest::Client::new() };
    Router::new().fallback(forward).with_state(Arc::new(state))
}

async fn forward(
    State(upstream): State<Arc<PassThrough>>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let mut request = upstream.client.get(format!("{}{uri}", upstream.base));
    if let Some(token) = headers.get(TOKEN) {
        request = request.header(TOKEN, token);
    }
    let received = async { request.send().await?.error_for_status()?.bytes().await };
    match received.await {
        Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

struct Upstream {
    delay: Duration,
    requests: AtomicU64,
}

fn upstream(delay_ms: u64) -> Router {
    let delay = Duration::from_millis(delay_ms);
    Router::new()
        .route("/v2/{project}/screen-records/{id}", get(screen_record))
        .route("/__stats", get(stats))
        .route("/__reset", post(reset))
        .with_state(Arc::new(Upstream { delay, requests: AtomicU64::new(0) }))
}

async fn screen_record(
    State(upstream): State<Arc<Upstream>>,
    Path((project, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    upstream.requests.fetch_add(1, Ordering::Relaxed);
    if !upstream.delay.is_zero() {
        tokio::time::sleep(upstream.delay).await;
    }
    match headers.get(TOKEN).and_then(|token| token.to_str().ok()) {
        Some(token) => {
            let body = record(&project, &id, token);
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn stats(State(upstream): State<Arc<Upstream>>) -> String {
    format!("{{\"requests\":{}}}", upstream.requests.load(Ordering::Relaxed))
}

async fn reset(State(upstream): State<Arc<Upstream>>) {
    upstream.requests.store(0, Ordering::Relaxed);
}

/// The record of an id in the upstream's fields and formats. The user's name is the caller's token, so
/// that an answer to the wrong caller is noticed.
fn record(project: &str, id: &str, token: &str) -> String {
    let mix = id.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |mix, byte| {
        (mix ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let (desktop, duration) = (mix % 40, 60 + mix % 7200);
    let (start, end, update) = (timestamp(mix, 0), timestamp(mix, 2), timestamp(mix, 3));
    let size = duration * 300_000;
    format!(
        "{{\"id\":\"{id}\",\"desktop_id\":\"00000000-0000-4000-8000-{desktop:012x}\",\"desktop_name\":\
         \"desktop{desktop:02}\",\"desktop_pool_id\":\"11111111-0000-4000-8000-{desktop:012x}\",\
         \"username\":\"{token}\",\"type\":\"SESSION\",\"status\":\"UPLOAD_COMPLETED\",\"size\":{size},\
         \"duration\":{duration},\"start_time\":\"{start}\",\"end_time\":\"{end}\",\"update_time\":\
         \"{update}\",\"policy_id\":\"{mix:016x}{mix:016x}\",\"obs_bucket\":\"records-example\",\
         \"file_directory\":\"records/2026/01/15/\",\"video_filename\":\"video_{project}.mp4\",\
         \"event_filename\":\"event_{project}.json\",\"video_file_sha256\":\"{mix:064x}\",\
         \"event_file_sha256\":\"{mix:064x}\",\"upload_type\":\"NORMAL\",\"site_type\":\"CENTER\"}}"
    )
}

/// A timestamp in one of the upstream's two most frequent formats.
fn timestamp(mix: u64, hours_later: u64) -> String {
    let (day, hour) = (1 + mix % 28, (mix >> 8) % 20 + hours_later);
    let (minute, second, millis) = ((mix >> 16) % 60, (mix >> 24) % 60, (mix >> 32) % 1000);
    if (mix >> 40).is_multiple_of(2) {
        format!("2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    } else {
        format!("2026-01-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}
