//! A route that answers the same bytes always and reads nothing: the limit for a warm record.

use anyhow::Context as _;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::routing::post;
use bytes::Bytes;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: static-route BODY_FILE CONTENT_TYPE";
    let (file, content_type) = arguments.next().zip(arguments.next()).context(usage)?;
    let body = Bytes::from(std::fs::read(file)?);
    let content_type = HeaderValue::try_from(content_type)?;
    let answer = move || async move { ([(header::CONTENT_TYPE, content_type)], body) };
    bench::serve(Router::new().route("/graphql", post(answer))).await
}
