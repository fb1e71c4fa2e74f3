//! The HTTP server: listeners, the life of a connection, TLS, and the limits on each connection.

mod limits;
mod request_end;
mod socket;
mod tls;
mod watchdog;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use axum::http::uri::Scheme;
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::either::Either;
use tokio_util::io::InspectReader;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use self::socket::Socket;
use self::watchdog::{Order, RequestInProgress, Watchdog};
use super::validation::{self, Hosts};
use crate::config::Live;

pub use limits::ConnectionLimits;
pub use tls::{Tls, TlsChange};

/// Headers of one request; tokens have up to 64,000 characters. HTTP/2's usual limit is 16 KiB, hyper's
/// for HTTP/1 more than 400 KiB.
const MAX_HEADER_BYTES: u32 = 96 * 1024;
/// Requests in progress on one HTTP/2 connection.
const MAX_CONCURRENT_STREAMS: u32 = 256;
/// How often an HTTP/2 client is pinged, and how long it may take to answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// How long requests in progress may take to finish once the process is asked to stop.
const LONGEST_DRAIN: Duration = Duration::from_secs(20);
/// Pause after a failed accept. The usual cause is a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers the requests of a listener.
pub trait Serve: Clone + Send + Sync + Unpin + 'static {
    /// Answers a request from `peer`. [`Scheme::HTTPS`] is among its extensions if it came over TLS.
    fn serve(
        &self,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response> + Send;
}

impl Serve for Router {
    async fn serve(&self, _: SocketAddr, request: Request<Incoming>) -> Response {
        let answer: Result<Response, Infallible> = self.clone().oneshot(request).await;
        answer.unwrap_or_else(|never| match never {})
    }
}

/// A bound socket that does not serve yet.
pub struct Listener {
    socket: TcpListener,
    rules: ListenerRules,
}

/// The rules for every connection of a listener. They may change while it serves.
#[derive(Clone)]
pub struct ListenerRules {
    /// The limits on connections.
    pub limits: ConnectionLimits,
    /// TLS while the settings name files for it; `None` for never.
    pub tls: Option<Tls>,
    /// The hosts that requests may name.
    pub hosts: Live<Hosts>,
}

impl Listener {
    /// Binds an address; port 0 picks a free one.
    ///
    /// # Errors
    /// When the address is in use, or not an address of this machine.
    pub async fn bind(address: SocketAddr, rules: ListenerRules) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, rules })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop` completes. Then it accepts no more connections, and waits up to 20 s for
    /// requests in progress.
    pub async fn serve(self, service: impl Serve, stop: impl Future<Output = ()>) {
        let (connections, draining) = (TaskTracker::new(), watch::Sender::new(()));
        let builder = Arc::new(builder());
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                accepted = self.accept() => {
                    let Some((socket, peer)) = accepted else { continue };
                    let connection = Connection {
                        rules: self.rules.clone(),
                        builder: Arc::clone(&builder),
                        peer,
                        draining: draining.subscribe(),
                    };
                    connections.spawn(connection.serve(socket, service.clone()));
                }
                () = &mut stop => break,
            }
        }
        // New connections are refused from here on.
        drop(self.socket);
        draining.send_replace(());
        connections.close();
        if timeout(LONGEST_DRAIN, connections.wait()).await.is_err() {
            tracing::warn!("requests were still under way when the time to finish them was over");
        }
    }

    /// Accepts the next connection once `limits.max_connections` allows one more. Until then clients wait in
    /// the system's queue.
    async fn accept(&self) -> Option<(Socket, SocketAddr)> {
        let limits = &self.rules.limits;
        let permit = limits.permit().await?;
        match self.socket.accept().await {
            Ok((stream, peer)) => Some((Socket::new(stream, limits.metrics.clone(), permit), peer)),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // The watchdog limits this. hyper's own limit starts only when the protocol is known, so a silent
        // client would never reach it, and it also runs between requests.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEADER_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS);
    builder
}

/// A connection that was accepted.
struct Connection {
    rules: ListenerRules,
    builder: Arc<Builder<TokioExecutor>>,
    peer: SocketAddr,
    draining: watch::Receiver<()>,
}

impl Connection {
    /// Does the TLS handshake, if there is one, and serves all requests of the connection. A slow handshake
    /// delays no other connection.
    async fn serve(mut self, socket: Socket, service: impl Serve) {
        let activity = Arc::clone(&socket.activity);
        let limits = self.rules.limits.limits.get();
        let tls = self.rules.tls.as_ref().and_then(|tls| Some((tls, tls.acceptor()?)));
        let (scheme, stream) = match tls {
            None => (None, Either::Left(socket)),
            Some((tls, acceptor)) => tokio::select! {
                accepted = tls.accept(acceptor, socket, limits.header_timeout) => match accepted {
                    Some(stream) => (Some(Scheme::HTTPS), Either::Right(Box::new(stream))),
                    None => return,
                },
                _ = self.draining.changed() => return,
            },
        };
        let watchdog = Watchdog::new(activity, limits, self.rules.limits.metrics.clone());
        self.answer(stream, watchdog, scheme, service).await;
    }

    async fn answer(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        mut watchdog: Watchdog,
        scheme: Option<Scheme>,
        service: impl Serve,
    ) {
        let Self { rules: ListenerRules { hosts, .. }, builder, peer, mut draining } = self;
        let [activity, reading] = [Arc::clone(&watchdog.activity), Arc::clone(&watchdog.activity)];
        let stream =
            InspectReader::new(stream, move |bytes: &[u8]| reading.lock().note_read(bytes));
        let service = service_fn(move |mut request: Request<Incoming>| {
            let service = service.clone();
            let under_way = RequestInProgress::begin(Arc::clone(&activity), &request);
            if let Some(scheme) = &scheme {
                request.extensions_mut().insert(scheme.clone());
            }
            let refused = validation::refuse(&request, **hosts.load());
            async move {
                let response = match refused {
                    Some(refused) => refused,
                    None => service.serve(peer, request).await,
                };
                Ok::<_, Infallible>(response.map(|body| ResponseBody::new(body, under_way)))
            }
        });
        let mut connection =
            pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let mut is_draining = false;
        let ended = loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => break ended,
                _ = draining.changed(), if !is_draining => {
                    is_draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                // After the connection, whose progress it judges.
                order = poll_fn(|cx| watchdog.poll(cx)) => match order {
                    Order::Finish => connection.as_mut().graceful_shutdown(),
                    Order::Drop => break Ok(()),
                },
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a connection ended early");
        }
    }
}

/// The body of an answer, which notes how far the client has taken it.
struct ResponseBody {
    body: Body,
    request: RequestInProgress,
}

impl ResponseBody {
    /// The body of an answer that is ready now.
    fn new(body: Body, mut request: RequestInProgress) -> Self {
        request.note_progress(false);
        Self { body, request }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.request.note_progress(frame.is_pending());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
