//! Accepting connections and letting them go.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use super::first_bytes::FirstBytes;

/// How long a client may take to begin, and to send a request's headers.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Headers of one HTTP/2 request; tokens have up to 64,000 characters, HTTP/2's usual limit is 16 KiB.
const MAX_HEADER_LIST_BYTES: u32 = 96 * 1024;
/// Requests under way on one HTTP/2 connection.
const MAX_CONCURRENT_STREAMS: u32 = 256;
/// How often an HTTP/2 connection is asked whether its client is still there.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long that may take to be answered.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests under way may take to finish once the process is asked to stop.
const LONGEST_DRAIN: Duration = Duration::from_secs(20);
/// Pause after a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What answers the requests of a listener.
pub trait Serve: Clone + Send + Sync + 'static {
    /// Answers a request that came from `peer`.
    fn serve(
        &self,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response> + Send;
}

impl Serve for Router {
    async fn serve(&self, peer: SocketAddr, mut request: Request<Incoming>) -> Response {
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer: Result<Response, Infallible> = self.clone().oneshot(request).await;
        answer.unwrap_or_else(|never| match never {})
    }
}

/// A bound socket that does not serve yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Binds an address; port 0 picks a free one.
    ///
    /// # Errors
    /// When the address is taken or is none of this machine's.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await? })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves `service` until `stop` is done; then accepts nothing more and waits up to 20 s for
    /// requests under way.
    pub async fn serve(self, service: impl Serve, stop: impl Future<Output = ()>) {
        let (builder, connections) = (builder(), GracefulShutdown::new());
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                accepted = self.socket.accept() => match accepted {
                    Ok(accepted) => serve_connection(&builder, &connections, accepted, &service),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                () = &mut stop => break,
            }
        }
        // New connections are refused from here on.
        drop(self.socket);
        if timeout(LONGEST_DRAIN, connections.shutdown()).await.is_err() {
            tracing::warn!("requests were still under way when the time to finish them was over");
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS);
    builder
}

#[expect(
    clippy::disallowed_methods,
    reason = "connections are waited for by the graceful shutdown, not by the list of tasks"
)]
fn serve_connection(
    builder: &Builder<TokioExecutor>,
    connections: &GracefulShutdown,
    (stream, peer): (TcpStream, SocketAddr),
    service: &impl Serve,
) {
    // Answers are small and complete: holding them back to fill packets only delays them.
    let _ = stream.set_nodelay(true);
    let service = service.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.serve(peer, request).await) }
    });
    let stream = TokioIo::new(FirstBytes::within(HEADER_READ_TIMEOUT, stream));
    let connection = builder.serve_connection_with_upgrades(stream, service).into_owned();
    let watched = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = watched.await {
            tracing::debug!(error, "a connection ended early");
        }
    });
}
