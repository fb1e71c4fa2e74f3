//! New connections: one at a time to a server that speaks HTTP/2, and known to the request that one was
//! made for.
//!
//! One connection of HTTP/2 carries all requests. When it ends, each request that waits would make a
//! connection of its own, and all of them but one would be closed after the handshake.

use std::cell::Cell;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::Connection;
use tokio::sync::Mutex;
use tokio::time::sleep;
use tower::{Layer, Service};

/// How long a request waits to be given a connection that another request has made.
const HANDOVER: Duration = Duration::from_millis(10);

tokio::task_local! {
    /// Whether a connection was made for the request that this task is sending.
    static IS_NEW_CONNECTION: Cell<bool>;
}

type BoxError = Box<dyn Error + Send + Sync>;

/// Makes connections by an inner service. Clones share the turn.
#[derive(Clone, Default)]
pub(super) struct Connecting<S = ()> {
    inner: S,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Connections of HTTP/2 so far; 0 when the last one was of HTTP/1.1.
    http_2_connections: AtomicU64,
    turn: Mutex<()>,
}

#[derive(Debug, thiserror::Error)]
#[error("another connection was made")]
struct Superseded;

/// Sends a request, and tells whether a connection was made for it. A kept one was used otherwise.
pub(super) async fn with_connection<F: Future>(sending: F) -> (F::Output, bool) {
    let tracked = async { (sending.await, IS_NEW_CONNECTION.with(Cell::get)) };
    IS_NEW_CONNECTION.scope(Cell::new(false), tracked).await
}

/// A request that is given a kept connection leaves the one that was begun for it to another task.
fn is_wanted_by_its_request() -> bool {
    IS_NEW_CONNECTION.try_with(|_| ()).is_ok()
}

impl Shared {
    async fn connect<C: Connection>(
        &self,
        connecting: impl Future<Output = Result<C, BoxError>>,
    ) -> Result<C, BoxError> {
        let mut seen = self.http_2_connections.load(Ordering::Relaxed);
        let mut turn = None;
        while seen > 0 && turn.is_none() {
            let mine = self.turn.lock().await;
            let now = self.http_2_connections.load(Ordering::Relaxed);
            if now == seen {
                turn = Some(mine);
            } else {
                drop(mine);
                sleep(HANDOVER).await;
                seen = now;
            }
            if !is_wanted_by_its_request() {
                return Err(Superseded.into());
            }
        }
        let connection = connecting.await?;
        if connection.connected().is_negotiated_h2() {
            self.http_2_connections.fetch_add(1, Ordering::Relaxed);
        } else {
            self.http_2_connections.store(0, Ordering::Relaxed);
        }
        let _ = IS_NEW_CONNECTION.try_with(|is_new| is_new.set(true));
        drop(turn);
        Ok(connection)
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
