//! The parts of the gateway: how they are made, and how they change with the settings.

use std::error::Error;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{Config, Live, Loaded};
use crate::error_chain::on_one_line;
use crate::http::{
    AuditLog, AuditSink, AuthParts, Authenticator, ConnectionLimits, Hosts, HttpMetrics, Main,
    MainParts, PageDefaults, Tls, TlsChange,
};
use crate::records::{RecordMetrics, RecordParts, Records};
use crate::telemetry::{Log, MetricsPage, Traces};
use crate::upstream::{Upstream, UpstreamMetrics};

/// How often files are polled for changes by default.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Why the gateway cannot start.
pub type StartError = Box<dyn Error + Send + Sync>;

/// What the gateway needs to start.
pub struct Start {
    /// The settings, which are read again from where they came from.
    pub settings: Loaded<Config>,
    /// What the pages start with.
    pub page_defaults: PageDefaults,
    /// The log of the process, which changes with the settings.
    pub log: Option<Log>,
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

/// The tasks of the process, and the signals that end them.
#[derive(Clone, Default)]
pub(super) struct Ends {
    pub(super) tasks: TaskTracker,
    pub(super) stopping: CancellationToken,
    pub(super) ended: CancellationToken,
}

/// The parts of the process that change with the settings.
pub(super) struct Parts {
    log: Option<Log>,
    pub(super) hosts: Live<Hosts>,
    pub(super) tls: Tls,
    /// Both listeners have the same limits, each with its own permits.
    pub(super) connections: [ConnectionLimits; 2],
    pub(super) callers: Authenticator,
    pub(super) audit: AuditLog,
    upstream: Upstream,
    pub(super) records: Records,
    pub(super) main: Main,
    pub(super) tasks: TaskTracker,
}

impl Parts {
    /// Makes every part.
    pub(super) async fn build(
        start: &Start,
        ends: &Ends,
        page: &mut MetricsPage,
    ) -> Result<Self, StartError> {
        let (config, clock) = (&start.settings.settings, &start.clock);
        let tls = page.add(Tls::load(config.tls.as_ref(), clock.clone())?, Tls::register);
        let upstream = page.add(UpstreamMetrics::default(), UpstreamMetrics::register);
        let upstream = Upstream::new(&config.upstream, upstream, clock.clone())
            .map_err(|error| format!("no client for the upstream: {}", on_one_line(&error)))?;
        let records = RecordParts {
            cache: &config.cache,
            inbound: &config.inbound,
            subscriptions: &config.subscriptions,
            limits: &config.limits,
            metrics: page.add(RecordMetrics::default(), RecordMetrics::register),
            clock: clock.clone(),
            tasks: ends.tasks.clone(),
            ended: ends.ended.clone(),
        };
        let records = Records::new(upstream.clone(), records)?;
        records.start();
        let audit = AuditLog::start(&config.audit, clock.clone())?;
        let audit = page.add(audit, AuditLog::register);
        records.set_audited(audit.is_on());
        let (stopping, tasks) = (ends.stopping.clone(), ends.tasks.clone());
        let passes_tokens = upstream.uses_callers_token();
        let callers = AuthParts { passes_tokens, clock: clock.clone(), tasks, stopping };
        let callers = Authenticator::start(&config.inbound, callers).await?;
        if callers.may_restrict() && config.cache.key_secret.is_none() {
            tracing::warn!(
                "cache.key_secret is not set: cursors of restricted callers are valid in this \
                 process only"
            );
        }
        let main = Main::new(MainParts {
            records: records.clone(),
            callers: callers.clone(),
            response_bytes: config.cache.budget().responses,
            limits: config.limits.clone(),
            subscriptions: config.subscriptions.clone(),
            graphql: config.graphql.clone(),
            page_defaults: start.page_defaults.clone(),
            metrics: page.add(HttpMetrics::default(), HttpMetrics::register),
            audit: audit.clone(),
            clock: clock.clone(),
            stopping: ends.stopping.clone(),
            tasks: ends.tasks.clone(),
        })?;
        let connections = ConnectionLimits::new(&config.limits);
        let connections = page.add(connections, ConnectionLimits::register);
        let connections = [connections, ConnectionLimits::new(&config.limits)];
        let log = start.log.clone().map(|log| page.add(log, Log::register));
        let hosts = Live::new(Hosts::this_machine_if(config.trusts_this_machine()));
        let tasks = ends.tasks.clone();
        Ok(Self { log, hosts, tls, connections, callers, audit, upstream, records, main, tasks })
    }

    /// Puts settings into use as a whole: every part prepares its change before any part changes. The error is
    /// each reason why they cannot be used, with the setting's name and without secrets.
    pub(super) async fn apply(&self, config: &Config) -> Result<(), Vec<String>> {
        let Config { cache, inbound, limits, subscriptions, graphql, .. } = config;
        let mut reasons = Vec::new();
        let tls = prepared(TlsChange::read(config.tls.as_ref()), &mut reasons);
        let callers = prepared(self.callers.prepare(inbound).await, &mut reasons);
        // Opens the sink again at each reload, so that a signal follows a file that was renamed.
        let sink = prepared(AuditSink::open(&config.audit), &mut reasons);
        let upstream = prepared(self.upstream.prepare(&config.upstream), &mut reasons);
        let main = prepared(self.main.prepare(limits, subscriptions, graphql), &mut reasons);
        let (Some(tls), Some(callers), Some(sink), Some(upstream), Some(main)) =
            (tls, callers, sink, upstream, main)
        else {
            return Err(reasons);
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

/// What a part has prepared; else notes why it cannot.
fn prepared<T>(change: Result<T, impl Error>, reasons: &mut Vec<String>) -> Option<T> {
    change.map_err(|error| reasons.push(on_one_line(&error))).ok()
}
