//! Builds all parts, binds the sockets, runs until asked to stop.

mod parts;
mod reload;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Config, Live, Loaded};
use crate::http::{Admin, AuditLog, Hosts, Listener, ListenerRules, Main, admin_router};
use crate::telemetry::{MetricsPage, Traces};
use parts::{Ends, Parts};
use reload::{ReloadMetrics, Reloader};

pub use parts::{Start, StartError};
pub use reload::{Outcome, ReloadHandle};

/// How long background tasks may take to end at the stop.
const TASKS_END_WITHIN: Duration = Duration::from_secs(1);

/// The gateway, built and bound, not yet serving.
pub struct App {
    main: (Listener, Main),
    admin: (Listener, Router),
    ends: Ends,
    reloads: ReloadHandle,
    audit: AuditLog,
    traces: Traces,
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
        let (ends, mut page) = (Ends::default(), MetricsPage::default());
        let parts = Parts::build(&start, &ends, &mut page).await?;
        let Start { settings, traces, clock, poll_interval, .. } = start;
        let traces = page.add(traces, Traces::register);
        let reload_metrics = page.add(ReloadMetrics::new(clock), ReloadMetrics::register);
        let config = &settings.settings;
        let [main_limits, admin_limits] = parts.connections.clone();
        let (tls, hosts) = (Some(parts.tls.clone()), parts.hosts.clone());
        let rules = ListenerRules { limits: main_limits, tls, hosts };
        let listener = bind("listen", config.listen, rules).await?;
        let hosts = Live::new(Hosts::this_machine_if(config.admin_is_on_loopback()));
        // Without TLS: probes and monitoring speak HTTP, and a certificate that cannot be used must not hide that.
        let rules = ListenerRules { limits: admin_limits, tls: None, hosts };
        let admin_listener = bind("admin_listen", config.admin_listen, rules).await?;
        let main = parts.main.clone();
        let admin = admin_router(Admin {
            stopping: ends.stopping.clone(),
            records: parts.records.clone(),
            callers: parts.callers.clone(),
            metrics: Arc::new(move |reasons| {
                main.observe(reasons);
                page.render().ok()
            }),
        });
        let (main, admin) = ((listener, parts.main.clone()), (admin_listener, admin));
        let audit = parts.audit.clone();
        let (reloader, reloads) = Reloader::new(settings, parts, reload_metrics);
        ends.tasks.spawn(reloader.run(poll_interval, ends.stopping.clone()));
        Ok(Self { main, admin, ends, reloads, audit, traces })
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
        let Self { ends: Ends { tasks, stopping, ended }, audit, traces, .. } = self;
        let main_done = CancellationToken::new();
        let draining_begins = async {
            stop.await;
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

async fn bind(
    setting: &'static str,
    address: SocketAddr,
    rules: ListenerRules,
) -> Result<Listener, StartError> {
    let bound = Listener::bind(address, rules).await;
    bound.map_err(|error| format!("{setting} {address} cannot be bound: {error}").into())
}
