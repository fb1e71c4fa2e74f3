//! A simulated upstream: the same contract, without an account.
//!
//! It verifies tokens and signatures, keeps recordings that move through their life, writes times as
//! inconsistently as the real one, and answers every documented error on demand. It is written from
//! the upstream's documents alone and shares no wire type with the gateway's reading of them, so that
//! each checks the other.

mod config;
mod random;
mod records;
mod video;
mod issuers;
mod access;
mod faults;
mod routes;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

pub use config::{DEMO_TOKEN, FaultPlan, IamUser, SimulatorConfig};

use self::routes::SimulatedUpstream;
use crate::clock::Clock;

/// A simulated upstream, bound and not yet serving.
pub struct Simulator {
    listener: TcpListener,
    upstream: Arc<SimulatedUpstream>,
}

impl Simulator {
    /// Makes the recordings and binds the address.
    ///
    /// # Errors
    /// When the address is taken or is none of this machine's.
    pub async fn bind(config: SimulatorConfig, clock: Clock) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let upstream = SimulatedUpstream::new(config, clock).map_err(io::Error::other)?;
        Ok(Self { listener, upstream: Arc::new(upstream) })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// A project and a recording that are there.
    pub fn sample(&self) -> (&str, &str) {
        let SimulatedUpstream { access, records, .. } = &*self.upstream;
        (access.config.projects.first().map_or("", String::as_str), records.sample())
    }

    /// Serves until `stop` is done.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) {
        let serving = axum::serve(self.listener, routes::router(self.upstream));
        if let Err(error) = serving.with_graceful_shutdown(stop).await {
            tracing::error!(%error, "the simulated upstream ended early");
        }
    }
}
