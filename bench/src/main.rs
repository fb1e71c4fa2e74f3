//! The servers that the gateway is measured beside, and the upstream behind it.
//!
//! ```text
//! reference static-route BODY_FILE [NAME: VALUE]…   the same response, always
//! reference pass-through UPSTREAM                    GET requests go to the upstream
//! reference async-graphql UPSTREAM                   plain async-graphql with a cache, if built with `peers`
//! reference fold                                     statistics of values in memory
//! reference upstream MILLISECONDS                    records for any id, after this delay; drops traces
//! reference secrets DIRECTORY COUNT                  writes a certificate, a key set and tokens; no server
//! ```
//!
//! Each server listens on a free port of the loopback interface and prints its address. `TLS_DIRECTORY`
//! names the directory of a certificate: a server listens with it, the pass-through trusts it.

#[cfg(feature = "peers")]
mod async_graphql_peer;
mod recordings;
mod secrets;
mod upstream;

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use bytes::Bytes;
use tokio::net::TcpListener;

type Error = Box<dyn std::error::Error + Send + Sync>;

const TOKEN: &str = "x-auth-token";
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

#[tokio::main]
async fn main() -> Result<(), Error> {
    // Fails only when a provider has been installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let certificate = std::env::var("TLS_DIRECTORY").ok();
    let mut listens_with = certificate.as_deref().map(Path::new);
    let router = match arguments.as_slice() {
        ["secrets", directory, count] => {
            return secrets::write(Path::new(directory), count.parse()?);
        }
        ["static-route", file, headers @ ..] => static_route(file, headers)?,
        ["pass-through", upstream] => pass_through(upstream, listens_with.take())?,
        #[cfg(feature = "peers")]
        ["async-graphql", upstream] => async_graphql_peer::router(upstream),
        ["fold"] => recordings::fold_router()?,
        ["upstream", delay] => upstream::router(delay.parse()?),
        _ => return Err("usage: reference static-route|pass-through|upstream|…".into()),
    };
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let scheme = if listens_with.is_some() { "https" } else { "http" };
    writeln!(std::io::stdout(), "{scheme}://{}", listener.local_addr()?)?;
    match listens_with {
        Some(directory) => {
            let files = [CERTIFICATE, KEY].map(|name| directory.join(name));
            let config = RustlsConfig::from_pem_file(&files[0], &files[1]).await?;
            let acceptor = RustlsAcceptor::new(config).acceptor(NoDelayAcceptor);
            let server = axum_server::from_tcp(listener)?.acceptor(acceptor);
            server.serve(router.into_make_service()).await?;
        }
        None => axum::serve(TcpListener::from_std(listener)?, router).await?,
    }
    Ok(())
}

fn static_route(file: &str, headers: &[&str]) -> Result<Router, Error> {
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

fn pass_through(upstream: &str, trusted: Option<&Path>) -> Result<Router, Error> {
    let mut certificates = Vec::new();
    if let Some(directory) = trusted {
        let pem = std::fs::read(directory.join(CERTIFICATE))?;
        certificates.push(reqwest::Certificate::from_pem(&pem)?);
    }
    let client = reqwest::Client::builder().tls_certs_only(certificates).build()?;
    let state = PassThrough { base: upstream.to_owned(), client };
    Ok(Router::new().fallback(forward).with_state(Arc::new(state)))
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
