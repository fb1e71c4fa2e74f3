//! HTTP clients of the upstream: certificates, proxies, and how connections are opened.
//!
//! One HTTP/2 connection carries all requests. While there is none, reqwest opens one for every waiting
//! request and drops all but one. So a client opens one connection at a time, until a response shows that
//! the server speaks HTTP/1.1, where each request needs its own.

use std::cell::Cell;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::Version;
use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, ClientBuilder, Request, Response, Url, retry};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{sleep, timeout};
use tower::util::MapFutureLayer;

use crate::config::{Proxies, UpstreamConfig};

/// Idle connections are kept for less time than servers commonly keep theirs.
const POOL_IDLE: Duration = Duration::from_secs(55);
const AGENT: &str = concat!("screen-record-gateway/", env!("CARGO_PKG_VERSION"));
/// The compressions that `attempt` reads.
const CODINGS: HeaderValue = HeaderValue::from_static("gzip, deflate");
/// The longest wait for another connection, in case that one hangs.
const LONGEST_TURN: Duration = Duration::from_millis(500);
/// How long the pool may take to hand a new HTTP/2 connection to the requests that wait.
const HANDOVER: Duration = Duration::from_millis(10);

tokio::task_local! {
    /// Whether a connection was opened for the request that this task is sending.
    static IS_NEW_CONNECTION: Cell<bool>;
}

type BoxError = Box<dyn Error + Send + Sync>;

/// A client for one address. Clones share connections.
#[derive(Clone)]
pub(super) struct HttpClient {
    client: Client,
    connections: Arc<Connections>,
}

/// What a request led to.
pub(super) struct Sent {
    pub(super) response: reqwest::Result<Response>,
    /// Whether it was sent on an HTTP/1.1 connection that had been used before.
    pub(super) on_kept_http_1: bool,
}

/// Decides when a connection may be opened.
struct Connections {
    speaks_http_1: AtomicBool,
    /// Connections so far.
    opened: AtomicU64,
    turn: Mutex<()>,
}

/// A connection that is not needed: the request got one that was opened for another.
#[derive(Debug, thiserror::Error)]
#[error("another connection was opened")]
struct Superseded;

impl HttpClient {
    /// A client for an address, through the proxy that the environment names for it.
    pub(super) fn new(address: &Url, config: &UpstreamConfig) -> reqwest::Result<Self> {
        let mut builder = config.proxies.client(address)?.connect_timeout(config.connect_timeout);
        if address.scheme() == "https" && !config.ca_certificates.is_empty() {
            builder = builder.tls_certs_merge(ca_certificates(config)?);
        }
        Self::build(builder, address)
    }

    /// A client for an address of this machine's own: without a proxy. It trusts only the configured CAs,
    /// because no public one certifies such an address.
    pub(super) fn direct(
        address: &Url,
        config: &UpstreamConfig,
        connect_timeout: Duration,
    ) -> reqwest::Result<Self> {
        let builder = Proxies::default().client(address)?.connect_timeout(connect_timeout);
        Self::build(builder.tls_certs_only(ca_certificates(config)?), address)
    }

    fn build(builder: ClientBuilder, address: &Url) -> reqwest::Result<Self> {
        let speaks_http_1 = AtomicBool::new(address.scheme() == "http");
        let connections =
            Connections { speaks_http_1, opened: AtomicU64::new(0), turn: Mutex::default() };
        let connections = Arc::new(connections);
        let opened_by = Arc::clone(&connections);
        let client = builder
            .default_headers(HeaderMap::from_iter([(ACCEPT_ENCODING, CODINGS)]))
            .user_agent(AGENT)
            // `attempt::exchange` resends, with waits and until the deadline. Without a retry of its own
            // reqwest need not copy each request.
            .retry(retry::never().max_retries_per_request(0))
            .pool_idle_timeout(POOL_IDLE)
            .connector_layer(MapFutureLayer::new(move |connecting| {
                Connections::open(Arc::clone(&opened_by), connecting)
            }))
            .build()?;
        Ok(Self { client, connections })
    }

    /// Sends a request.
    pub(super) async fn execute(&self, request: Request) -> Sent {
        let sending = async {
            let response = self.client.execute(request).await;
            (response, IS_NEW_CONNECTION.with(Cell::get))
        };
        let (response, is_new) = IS_NEW_CONNECTION.scope(Cell::new(false), sending).await;
        let speaks_http_1 = &self.connections.speaks_http_1;
        if let Ok(response) = &response {
            speaks_http_1.store(response.version() < Version::HTTP_2, Ordering::Relaxed);
        }
        Sent { response, on_kept_http_1: !is_new && speaks_http_1.load(Ordering::Relaxed) }
    }
}

impl Connections {
    async fn open<C>(
        self: Arc<Self>,
        connecting: impl Future<Output = Result<C, BoxError>>,
    ) -> Result<C, BoxError> {
        let turn = self.wait_for_turn().await?;
        let connection = connecting.await?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        drop(turn);
        let _ = IS_NEW_CONNECTION.try_with(|is_new| is_new.set(true));
        Ok(connection)
    }

    /// Waits until no other connection is being opened. Holds nothing where each request needs its own.
    async fn wait_for_turn(&self) -> Result<Option<MutexGuard<'_, ()>>, Superseded> {
        let mut opened = self.opened.load(Ordering::Relaxed);
        while !self.speaks_http_1.load(Ordering::Relaxed) {
            let turn = timeout(LONGEST_TURN, self.turn.lock()).await.ok();
            if is_superseded() {
                return Err(Superseded);
            }
            let opened_by_now = self.opened.load(Ordering::Relaxed);
            if opened_by_now == opened {
                return Ok(turn);
            }
            // The pool is about to hand the connection of another request to this one.
            drop(turn);
            sleep(HANDOVER).await;
            opened = opened_by_now;
        }
        Ok(None)
    }
}

/// Whether the request got another connection: the client then leaves the one that it began to open to a
/// task of its own.
fn is_superseded() -> bool {
    IS_NEW_CONNECTION.try_with(|_| ()).is_err()
}

/// The certificates of `upstream.ca_file`.
fn ca_certificates(config: &UpstreamConfig) -> reqwest::Result<Vec<Certificate>> {
    config.ca_certificates.iter().map(|certificate| Certificate::from_der(certificate)).collect()
}

/// The address of a path below a base address, which may have a path itself.
pub(super) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    match base.path().trim_end_matches('/') {
        "" => url.set_path(path),
        above => url.set_path(&[above, path].concat()),
    }
    url
}
