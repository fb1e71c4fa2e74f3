//! Builds all parts, binds the sockets, runs until asked to stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::Config;
use crate::http::{
    Admin, CallerParts, Callers, CallersError, ConnectionLimits, ConnectionMetrics,
    GraphiqlDefaults, HttpMetrics, Listener, Main, MainParts, ManifestError, Tls, TlsError,
    TlsMetrics, admin_router, main_router,
};
use crate::records::{RecordMetrics, RecordParts, Records};
use crate::telemetry::{MetricsPage, OPENMETRICS_CONTENT_TYPE};
use crate::upstream::{Upstream, UpstreamMetrics};

/// How long tasks that nobody waits for may take to end at the stop.
const TASKS_END_WITHIN: Duration = Duration::from_secs(1);

/// The gateway, built and bound, not yet serving.
pub struct App {
    main: (Listener, Main),
    admin: (Listener, Router),
    draining: Arc<AtomicBool>,
    stopping: CancellationToken,
    ended: CancellationToken,
    tasks: TaskTracker,
}

/// What the parts count.
#[derive(Default)]
struct Metrics {
    upstream: UpstreamMetrics,
    records: RecordMetrics,
    http: HttpMetrics,
    connections: ConnectionMetrics,
    tls: TlsMetrics,
}

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be bound.
    #[error("{setting} {address} cannot be bound")]
    Bind {
        /// The setting that names the address.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The client for the upstream cannot be set up.
    #[error("the upstream's client cannot be set up")]
    Client(#[from] reqwest::Error),
    /// The trusted documents cannot be read.
    #[error("graphql.documents_file cannot be used")]
    Documents(#[from] ManifestError),
    /// The files of the listener's TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Callers cannot be asked who they are.
    #[error(transparent)]
    Callers(#[from] CallersError),
    /// The system gives no random numbers.
    #[error("the system's random generator does not answer")]
    Random(#[from] getrandom::Error),
}

impl App {
    /// Makes every part and binds both sockets.
    ///
    /// # Errors
    /// [`StartError`], before anything is served.
    pub async fn build(config: &Config, clock: Clock) -> Result<Self, StartError> {
        Self::build_with(config, GraphiqlDefaults::default(), clock).await
    }

    /// As [`App::build`], with something for GraphiQL to start with.
    ///
    /// # Errors
    /// [`StartError`], before anything is served.
    pub async fn build_with(
        config: &Config,
        graphiql_defaults: GraphiqlDefaults,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        let ended = CancellationToken::new();
        let metrics = Metrics::default();
        let page = metrics.page();
        let tls = config.tls.as_ref();
        let tls = tls.map(|files| Tls::load(files, metrics.tls, clock.clone())).transpose()?;
        let upstream = Upstream::new(&config.upstream, metrics.upstream, clock.clone())?;
        let passes_tokens = upstream.uses_callers_token();
        let parts = RecordParts {
            upstream: &config.upstream,
            cache: &config.cache,
            inbound: &config.inbound,
            subscriptions: &config.subscriptions,
            metrics: metrics.records,
            clock: clock.clone(),
            tasks: tasks.clone(),
            ended: ended.clone(),
        };
        let records = Records::new(upstream, parts)?;
        let callers = CallerParts {
            passes_tokens,
            clock: clock.clone(),
            tasks: tasks.clone(),
            stopping: stopping.clone(),
        };
        let callers = Callers::start(&config.inbound, callers).await?;
        let draining = Arc::new(AtomicBool::new(false));
        let main = main_router(MainParts {
            records: records.clone(),
            callers: callers.clone(),
            limits: config.limits.clone(),
            subscriptions: config.subscriptions.clone(),
            graphql: config.graphql.clone(),
            graphiql_defaults,
            metrics: metrics.http,
            clock,
            stopping: stopping.clone(),
            tasks: tasks.clone(),
        })?;
        let observed = main.clone();
        let admin = admin_router(Admin {
            draining: Arc::clone(&draining),
            records,
            callers,
            metrics: Arc::new(move || {
                observed.observe();
                Some((page.render().ok()?, OPENMETRICS_CONTENT_TYPE))
            }),
        });
        if let Some(tls) = &tls {
            tls.follow(&tasks, stopping.clone());
        }
        let limits = ConnectionLimits::of(&config.limits);
        let listener = bind("listen", config.listen).await?;
        let main = (listener.within(limits).counted(metrics.connections).over(tls), main);
        // Probes and monitoring speak HTTP to it, and a certificate that cannot be used must not hide that.
        let admin = (bind("admin_listen", config.admin_listen).await?.within(limits), admin);
        Ok(Self { main, admin, draining, stopping, ended, tasks })
    }

    /// The address of the GraphQL listener.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.main.0.local_addr()
    }

    /// The address of the admin listener.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn admin_addr(&self) -> io::Result<SocketAddr> {
        self.admin.0.local_addr()
    }

    /// Serves until `stop` is done. Then accepts nothing more, reports not ready, lets requests
    /// under way finish for up to 20 s, and returns.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { main: (main, main_router), admin: (admin, admin_router), .. } = self;
        let Self { draining, stopping, ended, tasks, .. } = self;
        let main_done = CancellationToken::new();
        let draining_begins = async {
            stop.await;
            draining.store(true, Ordering::Relaxed);
            stopping.cancel();
            tracing::info!("stopping: requests under way may finish");
        };
        let serve_main = async {
            main.serve(main_router, draining_begins).await;
            ended.cancel();
            tasks.close();
            // Refreshes that nobody waits for are not worth waiting for either.
            let _ = timeout(TASKS_END_WITHIN, tasks.wait()).await;
            main_done.cancel();
        };
        // Health and metrics stay on show until the last request is through.
        tokio::join!(serve_main, admin.serve(admin_router, main_done.cancelled()));
        tracing::info!("stopped");
    }
}

impl Metrics {
    fn page(&self) -> MetricsPage {
        MetricsPage::new(|registry| {
            self.upstream.register(registry);
            self.records.register(registry);
            self.http.register(registry);
            self.connections.register(registry);
            self.tls.register(registry);
        })
    }
}

async fn bind(setting: &'static str, address: SocketAddr) -> Result<Listener, StartError> {
    let bound = Listener::bind(address).await;
    bound.map_err(|source| StartError::Bind { setting, address, source })
}
