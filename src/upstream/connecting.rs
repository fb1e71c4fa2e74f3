//! New connections: one at a time unless the server speaks HTTP/1.1, and known to the request that one was
//! made for.
//!
//! One connection of HTTP/2 carries all requests. When there is none, each request that waits would make a
//! connection of its own, and all of them but one would be closed after the handshake.

use std::cell::Cell;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Extensions;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpInfo};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{sleep, timeout};
use tower::{Layer, Service};

/// The longest wait for the turn: a connection that hangs must not hold the others back.
const LONGEST_TURN: Duration = Duration::from_millis(500);
/// How long a request waits to be given a connection that another request has made.
const HANDOVER: Duration = Duration::from_millis(10);

tokio::task_local! {
    /// The connection that was made for the request that this task is sending.
    static NEW_CONNECTION: Cell<Option<ConnectionId>>;
}

/// Tells connections apart: the address at this end.
pub(super) type ConnectionId = SocketAddr;

type BoxError = Box<dyn Error + Send + Sync>;

/// Makes connections by an inner service. Clones share the turn.
#[derive(Clone, Default)]
pub(super) struct Connecting<S = ()> {
    inner: S,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Whether the newest connection is of HTTP/1.1. Each request needs its own then.
    is_http_1: AtomicBool,
    /// Connections of HTTP/2 so far.
    http_2_connections: AtomicU64,
    turn: Mutex<()>,
}

#[derive(Debug, thiserror::Error)]
#[error("another connection was made")]
struct Superseded;

/// Sends a request; gives the connection, too, that was made for it. It may have been sent on a kept one
/// all the same, if that was ready first.
pub(super) async fn with_new_connection<F: Future>(
    sending: F,
) -> (F::Output, Option<ConnectionId>) {
    let tracked = async { (sending.await, NEW_CONNECTION.with(Cell::get)) };
    NEW_CONNECTION.scope(Cell::new(None), tracked).await
}

pub(super) fn id_of(connection: &Connected) -> Option<ConnectionId> {
    let mut extras = Extensions::new();
    connection.get_extras(&mut extras);
    extras.get().map(HttpInfo::local_addr)
}

/// Whether this is the task that sends the request. A request that is given a kept connection leaves the
/// one that was begun for it to another task.
fn is_senders_task() -> bool {
    NEW_CONNECTION.try_with(|_| ()).is_ok()
}

impl Shared {
    async fn connect<C: Connection>(
        &self,
        connecting: impl Future<Output = Result<C, BoxError>>,
    ) -> Result<C, BoxError> {
        let turn = self.wait_for_turn().await?;
        let connection = connecting.await?;
        let connected = connection.connected();
        let is_http_2 = connected.is_negotiated_h2();
        self.is_http_1.store(!is_http_2, Ordering::Relaxed);
        if is_http_2 {
            self.http_2_connections.fetch_add(1, Ordering::Relaxed);
        }
        let _ = NEW_CONNECTION.try_with(|new| new.set(id_of(&connected)));
        drop(turn);
        Ok(connection)
    }

    /// Waits until no other connection is being made; nothing is held where that does not matter.
    async fn wait_for_turn(&self) -> Result<Option<MutexGuard<'_, ()>>, Superseded> {
        let has_sender = is_senders_task();
        let mut seen = self.http_2_connections.load(Ordering::Relaxed);
        while !self.is_http_1.load(Ordering::Relaxed) {
            let turn = timeout(LONGEST_TURN, self.turn.lock()).await.ok();
            if has_sender && !is_senders_task() {
                return Err(Superseded);
            }
            let made = self.http_2_connections.load(Ordering::Relaxed);
            if made != seen {
                // Another request has made a connection for all.
                drop(turn);
                sleep(HANDOVER).await;
                seen = made;
            } else if !self.is_http_1.load(Ordering::Relaxed) {
                return Ok(turn);
            }
        }
        Ok(None)
    }
}

impl<S> Layer<S> for Connecting {
    type Service = Connecting<S>;

    fn layer(&self, inner: S) -> Connecting<S> {
        Connecting { inner, shared: Arc::clone(&self.shared) }
    }
}

impl<S, A> Service<A> for Connecting<S>
where
    S: Service<A, Error = BoxError>,
    S::Response: Connection,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, address: A) -> Self::Future {
        let (connecting, shared) = (self.inner.call(address), Arc::clone(&self.shared));
        Box::pin(async move { shared.connect(connecting).await })
    }
}
