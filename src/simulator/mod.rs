//! A simulated upstream: the same contract, without an account.
//!
//! It verifies tokens and signatures, keeps recordings that move through their life, writes times as
//! inconsistently as the real one, and answers every documented error on demand. It is written from
//! the upstream's documents alone and shares no wire type with the gateway's reading of them, so that
//! each checks the other.

mod random;
mod records;
mod times;
mod operations;
mod iam;
mod metadata;
mod access;
mod faults;
mod paging;
mod routes;
mod stats;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;

pub use faults::FaultPlan;
pub use iam::IamUser;

use self::access::Access;
use self::faults::{Limiter, Reserved};
use self::records::Records;
use self::stats::Stats;
use crate::clock::Clock;

/// The token of the demo.
pub const DEMO_TOKEN: &str = "demo-token";
/// The project of the documented example.
const EXAMPLE_PROJECT: &str = "089b2f9a3d80d3062f24c00ca4ed5cbd";

/// What is simulated.
#[derive(Clone)]
pub struct SimulatorConfig {
    /// Address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Recordings there are at the start; from then on a new one begins every minute.
    pub records: usize,
    /// Time before every answer.
    pub latency: Duration,
    /// Equal seeds give equal recordings.
    pub seed: u64,
    /// Projects of the recordings; any other is forbidden.
    pub projects: Vec<String>,
    /// Tokens that are accepted.
    pub tokens: Vec<String>,
    /// Tokens that were valid once: they have to be renewed.
    pub ended_tokens: Vec<String>,
    /// Access keys and their secrets.
    pub access_keys: Vec<(String, String)>,
    /// Users that IAM issues tokens to.
    pub iam_users: Vec<IamUser>,
    /// How long such a token lives.
    pub token_life: Duration,
    /// Largest page of a list: 1,000 or 100, as the upstream's two documents have it.
    pub largest_page: usize,
    /// Faults among ordinary answers.
    pub faults: FaultPlan,
}

/// A simulated upstream, bound and not yet serving.
pub struct Simulator {
    listener: TcpListener,
    upstream: Arc<SimulatedUpstream>,
}

/// Everything a request is answered from.
struct SimulatedUpstream {
    records: Records,
    access: Access,
    reserved: Reserved,
    limiter: Limiter,
    stats: Stats,
    latency: Duration,
    largest_page: usize,
    clock: Clock,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8090).into(),
            records: 250,
            latency: Duration::ZERO,
            seed: 1,
            projects: vec![EXAMPLE_PROJECT.to_owned()],
            tokens: Vec::new(),
            ended_tokens: Vec::new(),
            access_keys: Vec::new(),
            iam_users: Vec::new(),
            token_life: Duration::from_hours(24),
            largest_page: 1000,
            faults: FaultPlan::default(),
        }
    }
}

impl SimulatorConfig {
    /// As the demo has it: on a free port, with the demo's token.
    pub fn for_demo() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            tokens: vec![DEMO_TOKEN.to_owned()],
            latency: Duration::from_millis(20),
            ..Self::default()
        }
    }
}

impl fmt::Debug for SimulatorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorConfig")
            .field("listen", &self.listen)
            .field("records", &self.records)
            .field("seed", &self.seed)
            .field("projects", &self.projects)
            .finish_non_exhaustive()
    }
}

impl Simulator {
    /// Makes the recordings and binds the address.
    ///
    /// # Errors
    /// When the address is taken or is none of this machine's.
    pub async fn bind(config: SimulatorConfig, clock: Clock) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let upstream = SimulatedUpstream {
            records: Records::new(config.seed, config.records, clock.timestamp()),
            access: Access::new(&config),
            reserved: Reserved::load().map_err(io::Error::other)?,
            limiter: Limiter::new(config.faults, config.seed),
            stats: Stats::default(),
            latency: config.latency,
            largest_page: config.largest_page,
            clock,
        };
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
        let project = self.upstream.access.projects().first().map_or("", String::as_str);
        (project, self.upstream.records.sample())
    }

    /// Serves until `stop` is done.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let router = Router::new().fallback(routes::answer).with_state(self.upstream);
        // Axum wants a future that borrows nothing; this one only has to be driven beside it.
        let (stopped, stopping) = tokio::sync::oneshot::channel::<()>();
        let serving = axum::serve(self.listener, router).with_graceful_shutdown(async {
            let _ = stopping.await;
        });
        let stop = async {
            stop.await;
            let _ = stopped.send(());
        };
        let (served, ()) = tokio::join!(serving.into_future(), stop);
        if let Err(error) = served {
            tracing::error!(%error, "the simulated upstream ended early");
        }
    }
}

#[cfg(test)]
mod tests;
