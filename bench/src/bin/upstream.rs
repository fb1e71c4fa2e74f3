//! An upstream that has a record for any id and any token, for what the project's own simulator
//! cannot do: ids without end, ten thousand tokens, and as little of the processor as can be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

struct Upstream {
    latency: Duration,
    requests: AtomicU64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let latency = std::env::args().nth(1).context("usage: upstream LATENCY_IN_MILLISECONDS")?;
    let latency = Duration::from_millis(latency.parse()?);
    let upstream = Arc::new(Upstream { latency, requests: AtomicU64::new(0) });
    let router = Router::new()
        .route("/v2/{project}/screen-records/{id}", get(record))
        .route("/__stats", get(stats))
        .route("/__reset", post(reset))
        .with_state(upstream);
    bench::serve(router).await
}

async fn record(
    State(upstream): State<Arc<Upstream>>,
    Path((project, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    upstream.requests.fetch_add(1, Ordering::Relaxed);
    if !upstream.latency.is_zero() {
        tokio::time::sleep(upstream.latency).await;
    }
    let token = headers.get("x-auth-token").and_then(|token| token.to_str().ok());
    let Some(token) = token else { return StatusCode::UNAUTHORIZED.into_response() };
    let record = bench::records::record(&project, &id, token);
    ([(header::CONTENT_TYPE, "application/json")], record).into_response()
}

/// In the shape of the simulator's.
async fn stats(State(upstream): State<Arc<Upstream>>) -> String {
    format!("{{\"requests\":{}}}", upstream.requests.load(Ordering::Relaxed))
}

async fn reset(State(upstream): State<Arc<Upstream>>) -> &'static str {
    upstream.requests.store(0, Ordering::Relaxed);
    "{\"requests\":0}"
}
