//! Reloads settings, credentials, keys and documents while the process runs.
//!
//! A signal and a changed file cause a reload. After a failure nothing changes: the failure is logged once, and the
//! reload is retried with backoff and at the next change of a file.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::parts::Parts;
use crate::clock::Clock;
use crate::config::{Config, FileStates, Loaded};
use crate::counters::LabelledCounter;

/// What causes a reload, as the log names it: a request such as a signal, a changed file, a failure before.
const ASKED: &str = "asked";
const CHANGE: &str = "change";
const RETRY: &str = "retry";
/// Polls between a failure and the first retry. Each further retry waits for twice as many.
const FIRST_BACKOFF: u32 = 2;
/// The most polls between two retries.
const LONGEST_BACKOFF: u32 = 60;
/// Requests for a reload that may wait.
const MAX_WAITING_REQUESTS: usize = 16;

/// Reads the settings again and puts them into use.
pub(super) struct Reloader {
    active: Arc<Loaded<Config>>,
    parts: Parts,
    metrics: ReloadMetrics,
    requests: mpsc::Receiver<oneshot::Sender<Outcome>>,
    /// The files that were read last, as they were then.
    files: FileStates,
    /// Their state at the last poll.
    polled: FileStates,
    failure: Option<LastFailure>,
}

/// Requests reloads. Clones request the same.
#[derive(Clone)]
pub struct ReloadHandle(mpsc::Sender<oneshot::Sender<Outcome>>);

/// The result of a requested reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The new settings are in use.
    Done {
        /// Keys of settings that have changed. Files that they name may have changed, too.
        changed: Vec<&'static str>,
        /// Keys of settings that have changed and need a restart.
        waiting: Vec<&'static str>,
    },
    /// Nothing has changed, for these reasons.
    Refused(Vec<String>),
}

/// The last reload, if it failed.
struct LastFailure {
    reasons: Vec<String>,
    polls_until_retry: u32,
    backoff: u32,
}

impl ReloadHandle {
    /// Requests a reload and waits for its outcome.
    pub async fn reload(&self) -> Outcome {
        let (sender, outcome) = oneshot::channel();
        // Without a reloader the sender is dropped.
        let _ = self.0.send(sender).await;
        let stopping = || Outcome::Refused(vec!["the process is stopping".to_owned()]);
        outcome.await.unwrap_or_else(|_| stopping())
    }
}

impl Reloader {
    /// A reloader of the settings in use.
    pub(super) fn new(
        active: Loaded<Config>,
        parts: Parts,
        metrics: ReloadMetrics,
    ) -> (Self, ReloadHandle) {
        let (sender, requests) = mpsc::channel(MAX_WAITING_REQUESTS);
        let reloader = Self {
            files: active.files.clone(),
            polled: active.files.clone(),
            active: Arc::new(active),
            parts,
            metrics,
            requests,
            failure: None,
        };
        (reloader, ReloadHandle(sender))
    }

    /// Polls the files and reloads, until the process stops.
    pub(super) async fn run(mut self, poll_interval: Duration, stopping: CancellationToken) {
        let mut polls = interval(poll_interval);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                Some(request) = self.requests.recv() => {
                    let outcome = self.reload(ASKED).await;
                    // The receiver may be gone.
                    let _ = request.send(outcome);
                }
                _ = polls.tick() => {
                    if let Some(cause) = self.poll().await {
                        self.reload(cause).await;
                    }
                }
            }
        }
    }

    /// Whether a reload is due.
    async fn poll(&mut self) -> Option<&'static str> {
        let files = self.files.clone();
        // A network file system may be slow.
        let now = self.parts.tasks.spawn_blocking(move || files.now()).await.ok()?;
        // A file is read once two polls see the same state: half a file may look like a whole one.
        let is_settled = now == self.polled;
        self.polled.clone_from(&now);
        if now != self.files {
            return is_settled.then_some(CHANGE);
        }
        let failure = self.failure.as_mut()?;
        failure.polls_until_retry = failure.polls_until_retry.saturating_sub(1);
        (failure.polls_until_retry == 0).then_some(RETRY)
    }

    async fn reload(&mut self, cause: &'static str) -> Outcome {
        match self.read_and_apply().await {
            Ok(next) => self.succeed(cause, next),
            Err(reasons) => self.fail(cause, reasons),
        }
    }

    async fn read_and_apply(&mut self) -> Result<Loaded<Config>, Vec<String>> {
        let active = Arc::clone(&self.active);
        let Ok(read) = self.parts.tasks.spawn_blocking(move || active.reload()).await else {
            return Err(vec!["the settings could not be read to their end".to_owned()]);
        };
        let next = read.map_err(|error| {
            self.files = error.files;
            error.problems
        })?;
        self.files.clone_from(&next.files);
        self.parts.apply(&next.settings).await?;
        Ok(next)
    }

    fn succeed(&mut self, cause: &'static str, next: Loaded<Config>) -> Outcome {
        let (changed, waiting) = (next.changed.clone(), next.waiting.clone());
        let files = next.files.differing(&self.active.files);
        self.metrics.succeeded(waiting.len());
        tracing::info!(
            changed = changed.join(", "),
            files = files.join(", "),
            cause,
            "settings, keys and documents were read again and are in use"
        );
        if !waiting.is_empty() && (waiting != self.active.waiting || cause == ASKED) {
            tracing::warn!(
                settings = waiting.join(", "),
                "settings have changed that need a restart: they stay as they were until then"
            );
        }
        self.active = Arc::new(next);
        self.failure = None;
        Outcome::Done { changed, waiting }
    }

    fn fail(&mut self, cause: &'static str, reasons: Vec<String>) -> Outcome {
        self.metrics.failed();
        let before = self.failure.take();
        let is_known = before.as_ref().is_some_and(|before| before.reasons == reasons);
        if !(cause == RETRY && is_known) {
            tracing::error!(
                reasons = reasons.join("; "),
                cause,
                "the settings cannot be used: everything stays as it was"
            );
        }
        let backoff = match (cause, before) {
            (RETRY, Some(before)) => (before.backoff * 2).min(LONGEST_BACKOFF),
            _ => FIRST_BACKOFF,
        };
        let polls_until_retry = backoff;
        self.failure = Some(LastFailure { reasons: reasons.clone(), polls_until_retry, backoff });
        Outcome::Refused(reasons)
    }
}

/// The metrics of reloads.
#[derive(Clone, Debug)]
pub(super) struct ReloadMetrics {
    reloads: LabelledCounter,
    last_successful: Gauge,
    last_success: Gauge,
    waiting: Gauge,
    clock: Clock,
}

impl ReloadMetrics {
    /// The metrics of a process that has just read its settings.
    pub(super) fn new(clock: Clock) -> Self {
        let reloads = LabelledCounter::new("outcome", &["success", "failure"]);
        let (last_successful, last_success) = (Gauge::default(), Gauge::default());
        let metrics =
            Self { reloads, last_successful, last_success, waiting: Gauge::default(), clock };
        metrics.show_success();
        metrics
    }

    /// Adds the metrics to the metrics page.
    pub(super) fn register(&self, registry: &mut Registry) {
        let config = registry.sub_registry_with_prefix("gateway_config");
        config.register("reloads", "Reloads of the settings, by outcome", self.reloads.family());
        config.register(
            "last_reload_successful",
            "Whether the last reload of the settings succeeded",
            self.last_successful.clone(),
        );
        config.register_with_unit(
            "last_reload_success_timestamp",
            "When the last successful reload was, as Unix time",
            Unit::Seconds,
            self.last_success.clone(),
        );
        config.register(
            "settings_pending_restart",
            "Changed settings that need a restart",
            self.waiting.clone(),
        );
    }

    pub(super) fn succeeded(&self, waiting: usize) {
        self.reloads.inc("success");
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.show_success();
    }

    pub(super) fn failed(&self) {
        self.reloads.inc("failure");
        self.last_successful.set(0);
    }

    fn show_success(&self) {
        self.last_successful.set(1);
        self.last_success.set(self.clock.timestamp().as_second());
    }
}
