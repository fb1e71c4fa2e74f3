//! Builds all parts, binds the sockets, runs until asked to stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use futures_util::future::FutureExt as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{CacheConfig, Config, Live, Loaded};
use crate::error_chain::on_one_line;
use crate::http::{
    Admin, AuditLog, AuditMetrics, AuditSetupError, AuditSink, AuthParts, AuthSetupError,
    Authenticator, ConnectionLimits, ConnectionMetrics, FileError, Hosts, HttpMetrics, Listener,
    Main, MainParts, PageDefaults, Tls, TlsChange, TlsMetrics, Validated, admin_router,
    main_router,
};
use crate::records::{RecordMetrics, RecordParts, Records};
use crate::reload::{Apply, POLL_INTERVAL, ReloadHandle, ReloadMetrics, Reloader};
use crate::telemetry::{LogHandle, MetricsPage, Traces};
use crate::upstream::{Upstream, UpstreamMetrics};

/// How long background tasks may take to end at the stop.
const TASKS_END_WITHIN: Duration = Duration::from_secs(1);

/// The gateway, built and bound, not yet serving.
pub struct App {
    main: (Listener, Validated<Main>),
    admin: (Listener, Validated<Router>),
    draining: Arc<AtomicBool>,
    ends: Ends,
    reloads: ReloadHandle,
    audit: AuditLog,
    traces: Traces,
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
    /// The trusted documents, or the files of the listener's TLS, cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The authentication of callers cannot be set up.
    #[error(transparent)]
    Auth(#[from] AuthSetupError),
    /// The audit log cannot be opened.
    #[error(transparent)]
    Audit(#[from] AuditSetupError),
    /// The system gives no random numbers.
    #[error("the system's random generator does not answer")]
    Random(#[from] getrandom::Error),
}

/// What the gateway needs to start.
pub struct Start {
    /// The settings, which are read again from where they came from.
    pub settings: Loaded<Config>,
    /// What the pages start with.
    pub page_defaults: PageDefaults,
    /// The log of the process, which changes with the settings.
    pub log: Option<LogHandle>,
    /// The export of traces. Its layer belongs into the subscriber of the process.
    pub traces: Traces,
    /// The source of time.
    pub clock: Clock,
    /// How often files are polled for changes.
    pub poll_interval: Duration,
}

impl Start {
    /// With defaults for all but the settings.
    pub fn from(settings: Loaded<Config>, clock: Clock) -> Self {
        let page_defaults = PageDefaults::default();
        let traces = Traces::default();
        Self { settings, page_defaults, log: None, traces, clock, poll_interval: POLL_INTERVAL }
    }
}

/// The metrics of all parts.
struct Metrics {
    upstream: UpstreamMetrics,
    records: RecordMetrics,
    http: HttpMetrics,
    reload: ReloadMetrics,
    connections: ConnectionMetrics,
    tls: TlsMetrics,
    audit: AuditMetrics,
}

/// The tasks of the process, and the signals that end them.
#[derive(Clone, Default)]
struct Ends {
    tasks: TaskTracker,
    stopping: CancellationToken,
    ended: CancellationToken,
}

impl App {
    /// Makes every part and binds both sockets. The settings never change; the files that they name are
    /// reloaded.
    ///
    /// # Errors
    /// [`StartError`], before anything is served.
    pub async fn build(config: &Config, clock: Clock) -> Result<Self, StartError> {
        Self::start(Start::from(Loaded::fixed(config.clone()), clock)).await
    }

    /// Makes every part and binds both sockets, for settings that may change.
    ///
    /// # Errors
    /// [`StartError`], before anything is served.
    pub async fn start(start: Start) -> Result<Self, StartError> {
        let Start { settings, page_defaults, log, traces, clock, poll_interval } = start;
        let config = &settings.settings;
        let ends = Ends::default();
        let metrics = Metrics::new(&clock);
        let page = metrics.page(log.as_ref(), &traces);
        let tls = Tls::load(config.tls.as_ref(), metrics.tls, clock.clone())?;
        let upstream = Upstream::new(&config.upstream, metrics.upstream, clock.clone())?;
        let records = records(config, &upstream, metrics.records, clock.clone(), &ends)?;
        let audit = AuditLog::start(&config.audit, metrics.audit, clock.clone())?;
        records.set_audited(audit.is_on());
        let callers = AuthParts {
            passes_tokens: upstream.uses_callers_token(),
            clock: clock.clone(),
            tasks: ends.tasks.clone(),
            stopping: ends.stopping.clone(),
        };
        let callers = Authenticator::start(&config.inbound, callers).await?;
        warn_of_cursors(&callers, &config.cache);
        let main = main_router(MainParts {
            records: records.clone(),
            callers: callers.clone(),
            cache: config.cache.clone(),
            limits: config.limits.clone(),
            subscriptions: config.subscriptions.clone(),
            graphql: config.graphql.clone(),
            page_defaults,
            metrics: metrics.http,
            audit: audit.clone(),
            clock,
            stopping: ends.stopping.clone(),
            tasks: ends.tasks.clone(),
        })?;
        let connections = [metrics.connections, ConnectionMetrics::default()]
            .map(|metrics| ConnectionLimits::new(&config.limits, metrics));
        let (listener, admin_listener) = listeners(config, &connections, &tls).await?;
        let hosts = Live::new(Hosts::this_machine_if(config.trusts_this_machine()));
        let admin_hosts = Live::new(Hosts::this_machine_if(config.admin_is_on_loopback()));
        let parts = Parts {
            log,
            hosts: hosts.clone(),
            tls,
            connections,
            callers: callers.clone(),
            audit: audit.clone(),
            upstream,
            records: records.clone(),
            main: main.clone(),
            tasks: ends.tasks.clone(),
        };
        let reloads = start_reloading(settings, parts, metrics.reload, poll_interval, &ends);
        let draining = Arc::new(AtomicBool::new(false));
        let admin = admin(Arc::clone(&draining), records, callers, main.clone(), page);
        let main = Validated::new(hosts, main);
        let admin = Validated::new(admin_hosts, admin);
        let (main, admin) = ((listener, main), (admin_listener, admin));
        Ok(Self { main, admin, draining, ends, reloads, audit, traces })
    }

    /// Requests reloads of everything that can change while the process runs.
    pub fn reloads(&self) -> ReloadHandle {
        self.reloads.clone()
    }

    /// The address of the GraphQL listener.
    ///
    /// # Errors
    /// If the system does not know it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.main.0.local_addr()
    }

    /// The address of the admin listener.
    ///
    /// # Errors
    /// If the system does not know it.
    pub fn admin_addr(&self) -> io::Result<SocketAddr> {
        self.admin.0.local_addr()
    }

    /// Serves until `stop` is done. Then accepts nothing more, reports not ready, lets requests
    /// in flight finish for up to 20 s, and returns.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { main: (main, main_router), admin: (admin, admin_router), .. } = self;
        let Self { draining, ends: Ends { tasks, stopping, ended }, audit, traces, .. } = self;
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
            // Background refreshes get little time: no caller waits for them.
            let _ = timeout(TASKS_END_WITHIN, tasks.wait()).await;
            main_done.cancel();
        };
        // Health and metrics are served until the last request has ended.
        tokio::join!(serve_main, admin.serve(admin_router, main_done.cancelled()));
        audit.end().await;
        traces.end().await;
        tracing::info!("stopped");
    }
}

impl Metrics {
    fn new(clock: &Clock) -> Self {
        Self {
            upstream: UpstreamMetrics::default(),
            records: RecordMetrics::default(),
            http: HttpMetrics::default(),
            reload: ReloadMetrics::new(clock.clone()),
            connections: ConnectionMetrics::default(),
            tls: TlsMetrics::default(),
            audit: AuditMetrics::default(),
        }
    }

    fn page(&self, log: Option<&LogHandle>, traces: &Traces) -> MetricsPage {
        MetricsPage::new(|registry| {
            if let Some(log) = log {
                log.register(registry);
            }
            self.upstream.register(registry);
            self.records.register(registry);
            self.http.register(registry);
            self.reload.register(registry);
            traces.register(registry);
            self.connections.register(registry);
            self.tls.register(registry);
            self.audit.register(registry);
        })
    }
}

/// Says if cursors of restricted callers are sealed with a key of this process.
fn warn_of_cursors(callers: &Authenticator, cache: &CacheConfig) {
    if callers.may_restrict() && cache.key_secret.is_none() {
        tracing::warn!(
            "cache.key_secret is not set: cursors of restricted callers are valid in this process \
             only"
        );
    }
}

fn records(
    config: &Config,
    upstream: &Upstream,
    metrics: RecordMetrics,
    clock: Clock,
    ends: &Ends,
) -> Result<Records, getrandom::Error> {
    let parts = RecordParts {
        cache: &config.cache,
        inbound: &config.inbound,
        subscriptions: &config.subscriptions,
        limits: &config.limits,
        metrics,
        clock,
        tasks: ends.tasks.clone(),
        ended: ends.ended.clone(),
    };
    let records = Records::new(upstream.clone(), parts)?;
    records.start_eviction();
    Ok(records)
}

fn admin(
    draining: Arc<AtomicBool>,
    records: Records,
    callers: Authenticator,
    main: Main,
    page: MetricsPage,
) -> Router {
    let metrics = Arc::new(move || {
        main.observe();
        page.render().ok()
    });
    admin_router(Admin { draining, records, callers, metrics })
}

/// The parts of the process that change with the settings.
struct Parts {
    log: Option<LogHandle>,
    hosts: Live<Hosts>,
    tls: Tls,
    /// Both listeners have the same limits, each with its own permits.
    connections: [ConnectionLimits; 2],
    callers: Authenticator,
    audit: AuditLog,
    upstream: Upstream,
    records: Records,
    main: Main,
    tasks: TaskTracker,
}

impl Parts {
    /// Puts settings into use: every part prepares its change before any part changes.
    async fn apply(&self, config: &Config) -> Result<(), Vec<String>> {
        let Config { cache, inbound, limits, subscriptions, graphql, .. } = config;
        let tls = TlsChange::read(config.tls.as_ref()).map_err(reason);
        let callers = self.callers.prepare(inbound).await.map_err(reason);
        // Opens the sink again at each reload, so that a signal follows a file that was renamed.
        let sink = AuditSink::open(&config.audit).map_err(reason);
        let upstream = self.upstream.prepare(&config.upstream).map_err(reason);
        let main = self.main.prepare(limits, subscriptions, graphql).map_err(reason);
        let (tls, callers, sink, upstream, main) = match (tls, callers, sink, upstream, main) {
            (Ok(tls), Ok(callers), Ok(sink), Ok(upstream), Ok(main)) => {
                (tls, callers, sink, upstream, main)
            }
            (tls, callers, sink, upstream, main) => {
                let reasons = [tls.err(), callers.err(), sink.err(), upstream.err(), main.err()];
                return Err(reasons.into_iter().flatten().collect());
            }
        };
        if let Some(log) = &self.log {
            log.change(&config.log);
        }
        // The allowed `Host` headers follow from the settings of callers.
        self.hosts.set(Hosts::this_machine_if(config.trusts_this_machine()));
        self.tls.change(tls);
        for connections in &self.connections {
            connections.change(limits, &self.tasks);
        }
        self.callers.change(callers);
        // Before the endpoint, whose new responses are then made with their events.
        self.records.set_audited(sink.is_on());
        self.audit.change(sink);
        let outdated = self.upstream.change(upstream);
        self.records.change(cache, inbound, subscriptions, limits);
        self.records.forget(outdated);
        // So that responses of before are dropped after the data that they were made from.
        self.main.change(main);
        Ok(())
    }
}

/// Starts the task that reloads the settings.
fn start_reloading(
    settings: Loaded<Config>,
    parts: Parts,
    metrics: ReloadMetrics,
    poll_interval: Duration,
    ends: &Ends,
) -> ReloadHandle {
    let parts = Arc::new(parts);
    let apply: Apply = Box::new(move |config| {
        let parts = Arc::clone(&parts);
        async move { parts.apply(&config).await }.boxed()
    });
    let (reloader, reloads) = Reloader::new(settings, apply, metrics, ends.tasks.clone());
    ends.tasks.spawn(reloader.run(poll_interval, ends.stopping.clone()));
    reloads
}

fn reason(error: impl Into<StartError>) -> String {
    on_one_line(&error.into())
}

/// The GraphQL listener and the admin listener. The latter has no TLS: probes and monitoring speak HTTP to
/// it, and a certificate that cannot be used must not hide that.
async fn listeners(
    config: &Config,
    [main, admin]: &[ConnectionLimits; 2],
    tls: &Tls,
) -> Result<(Listener, Listener), StartError> {
    let listener = bind("listen", config.listen).await?.within(main.clone()).over(tls.clone());
    let admin_listener = bind("admin_listen", config.admin_listen).await?.within(admin.clone());
    Ok((listener, admin_listener))
}

async fn bind(setting: &'static str, address: SocketAddr) -> Result<Listener, StartError> {
    let bound = Listener::bind(address).await;
    bound.map_err(|source| StartError::Bind { setting, address, source })
}
