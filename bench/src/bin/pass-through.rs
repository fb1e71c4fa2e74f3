//! Passes GET requests on to the upstream and its bytes back: the limit for a record that is not cached.

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};

const TOKEN: &str = "x-auth-token";

struct Upstream {
    base: String,
    client: reqwest::Client,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let base = std::env::args().nth(1).context("usage: pass-through UPSTREAM")?;
    let upstream = Arc::new(Upstream { base, client: reqwest::Client::new() });
    bench::serve(Router::new().fallback(pass).with_state(upstream)).await
}

async fn pass(State(upstream): State<Arc<Upstream>>, headers: HeaderMap, uri: Uri) -> Response {
    let mut request = upstream.client.get(format!("{}{uri}", upstream.base));
    if let Some(token) = headers.get(TOKEN) {
        request = request.header(TOKEN, token);
    }
    let bytes = async {
        let answer = request.send().await?.error_for_status()?;
        answer.bytes().await
    };
    match bytes.await {
        Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
