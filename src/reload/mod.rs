//! Settings, credentials, keys and documents that change while the process runs.
//!
//! Everything is read again when somebody asks for it, as by a signal, and when a file has changed that
//! something was read from. Each part of the process first gets ready for what was read; only when all of
//! them are, all of them change. Otherwise everything stays as it was, which is said once, and it is tried
//! again: at the next change, and now and then, for what is wrong may pass.

mod metrics;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{
    ActiveSettings, Config, FailedReload, FileStates, ReloadedSettings, SettingsSource,
};

pub use metrics::ReloadMetrics;

/// How often files are looked at, unless somebody wants it otherwise.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a failure it is tried again after so many looks; each time after twice as many.
const FIRST_PAUSE: u32 = 2;
/// The most looks between two attempts.
const LONGEST_PAUSE: u32 = 60;
/// So many looks a file may go on changing before it is read all the same.
const LONGEST_WRITE: u32 = 10;
/// Requests to read everything again that may wait.
const MOST_ASKS: usize = 16;

/// Puts into use what a part has got ready. Cannot fail, and takes no time.
pub type Commit = Box<dyn FnOnce() + Send>;

/// What a part has to say to new settings: that it is ready, or each reason why they cannot be used, with
/// the setting's name and without secrets.
pub type Prepared = Result<Commit, Vec<String>>;

/// A part of the process that takes changes: gets ready for settings, and changes nothing yet.
pub struct Part(Box<dyn Fn(Arc<Config>) -> BoxFuture<'static, Prepared> + Send + Sync>);

/// Reads the settings again, and has the parts use them.
pub struct Reloader {
    source: Arc<SettingsSource>,
    active: Arc<ActiveSettings>,
    parts: Vec<Part>,
    metrics: ReloadMetrics,
    tasks: TaskTracker,
    asks: mpsc::Receiver<oneshot::Sender<Outcome>>,
    /// What was read last, and as it was then.
    files: FileStates,
    /// The same of what is in use.
    files_in_use: FileStates,
    /// How the files were at the last look, if they have changed, and for how many looks they have:
    /// whoever writes may not be done yet.
    unsettled: Option<(FileStates, u32)>,
    /// After a failure.
    trouble: Option<Trouble>,
    /// Settings that need a restart, as they were told of last.
    told: Vec<&'static str>,
}

/// Asks for everything to be read again. Clones ask the same.
#[derive(Clone)]
pub struct Reloads(mpsc::Sender<oneshot::Sender<Outcome>>);

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that was read is in use.
    Done {
        /// Settings that have changed, by name. Files that they name may have changed, too.
        changed: Vec<&'static str>,
        /// Settings that have changed and need a restart, by name.
        waiting: Vec<&'static str>,
    },
    /// Everything stays as it was; each reason.
    Refused(Vec<String>),
    /// The process is about to end, and reads nothing any more.
    Stopping,
}

/// Why something is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Somebody asked for it.
    Asked,
    /// A file has changed.
    Change,
    /// It failed before.
    Retry,
}

struct Trouble {
    reasons: Vec<String>,
    /// Looks until the next attempt.
    left: u32,
    pause: u32,
}

impl Part {
    /// A part that gets ready by `prepare`.
    pub fn new<F>(prepare: impl Fn(Arc<Config>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Prepared> + Send + 'static,
    {
        Self(Box::new(move |config| prepare(config).boxed()))
    }

    /// A part that is ready for whatever settings there are.
    pub fn always_ready(change: impl Fn(&Config) + Clone + Send + Sync + 'static) -> Self {
        Self::new(move |config| {
            let change = change.clone();
            async move { Ok(Box::new(move || change(&config)) as Commit) }
        })
    }
}

impl Reloads {
    /// Reads everything again, and tells what became of it.
    pub async fn reload(&self) -> Outcome {
        let (answer, answered) = oneshot::channel();
        if self.0.send(answer).await.is_err() {
            return Outcome::Stopping;
        }
        answered.await.unwrap_or(Outcome::Stopping)
    }
}

impl Reloader {
    /// For settings that are in use already, and the parts that use them, in the order in which they
    /// change.
    pub fn new(
        source: SettingsSource,
        active: ActiveSettings,
        parts: Vec<Part>,
        metrics: ReloadMetrics,
        tasks: TaskTracker,
    ) -> (Self, Reloads) {
        let (ask, asks) = mpsc::channel(MOST_ASKS);
        let reloader = Self {
            source: Arc::new(source),
            // As they were before the parts read them: they are looked at before the first of them does.
            files: active.files(),
            files_in_use: active.files(),
            active: Arc::new(active),
            parts,
            metrics,
            tasks,
            asks,
            unsettled: None,
            trouble: None,
            told: Vec::new(),
        };
        (reloader, Reloads(ask))
    }

    /// Looks at the files so often, and reads everything again where that is due, until the process is
    /// asked to stop.
    pub async fn run(mut self, look_every: Duration, stopping: CancellationToken) {
        let mut looks = interval(look_every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                Some(ask) = self.asks.recv() => {
                    let outcome = self.reload(Cause::Asked).await;
                    // Who asked may have gone.
                    let _ = ask.send(outcome);
                }
                _ = looks.tick() => {
                    if let Some(cause) = self.look().await {
                        self.reload(cause).await;
                    }
                }
            }
        }
    }

    /// Whether something has to be read again.
    async fn look(&mut self) -> Option<Cause> {
        let files = self.files.clone();
        // Files may be far away, and slow.
        let now = self.tasks.spawn_blocking(move || files.now()).await.ok()?;
        if now == self.files {
            self.unsettled = None;
            let trouble = self.trouble.as_mut()?;
            trouble.left = trouble.left.saturating_sub(1);
            return (trouble.left == 0).then_some(Cause::Retry);
        }
        // Read only once it has stood for a while: half a file may look like a whole one.
        let (before, looks) = self.unsettled.take().unzip();
        let looks = looks.unwrap_or(0) + 1;
        let is_due = before.as_ref() == Some(&now) || looks > LONGEST_WRITE;
        self.unsettled = Some((now, looks));
        is_due.then_some(Cause::Change)
    }

    async fn reload(&mut self, cause: Cause) -> Outcome {
        self.unsettled = None;
        match self.prepare().await {
            Ok((reloaded, commits)) => {
                for commit in commits {
                    commit();
                }
                self.succeed(cause, reloaded)
            }
            Err(reasons) => self.fail(cause, reasons),
        }
    }

    /// Reads everything, and has every part get ready for it.
    async fn prepare(&mut self) -> Result<(ReloadedSettings, Vec<Commit>), Vec<String>> {
        let (source, active) = (Arc::clone(&self.source), Arc::clone(&self.active));
        let Ok(read) = self.tasks.spawn_blocking(move || source.reload(&active)).await else {
            return Err(vec!["the settings could not be read to their end".to_owned()]);
        };
        let reloaded = match read {
            Ok(reloaded) => reloaded,
            Err(FailedReload { error, files }) => {
                self.files = files;
                return Err(error.problems().to_vec());
            }
        };
        self.files = reloaded.next.files();
        let config = Arc::new(reloaded.next.config.clone());
        let prepared =
            join_all(self.parts.iter().map(|Part(prepare)| prepare(Arc::clone(&config)))).await;
        let (mut commits, mut reasons) = (Vec::new(), Vec::new());
        for part in prepared {
            match part {
                Ok(commit) => commits.push(commit),
                Err(more) => reasons.extend(more),
            }
        }
        if reasons.is_empty() { Ok((reloaded, commits)) } else { Err(reasons) }
    }

    fn succeed(&mut self, cause: Cause, reloaded: ReloadedSettings) -> Outcome {
        let ReloadedSettings { next, changed, waiting } = reloaded;
        self.active = Arc::new(next);
        self.trouble = None;
        self.metrics.succeeded(waiting.len());
        let files = self.files.differing(&self.files_in_use);
        self.files_in_use = self.files.clone();
        tracing::info!(
            changed = changed.join(", "),
            files = files.join(", "),
            cause = cause.word(),
            "settings, keys and documents were read again and are in use"
        );
        if !waiting.is_empty() && (waiting != self.told || cause == Cause::Asked) {
            tracing::warn!(
                settings = waiting.join(", "),
                "settings have changed that need a restart: they stay as they were until then"
            );
        }
        self.told.clone_from(&waiting);
        Outcome::Done { changed, waiting }
    }

    fn fail(&mut self, cause: Cause, reasons: Vec<String>) -> Outcome {
        self.metrics.failed();
        let before = self.trouble.take();
        let is_known = before.as_ref().is_some_and(|before| before.reasons == reasons);
        if !(cause == Cause::Retry && is_known) {
            tracing::error!(
                reasons = reasons.join("; "),
                cause = cause.word(),
                "the settings cannot be used: everything stays as it was"
            );
        }
        let pause = match (cause, before) {
            (Cause::Retry, Some(before)) => (before.pause * 2).min(LONGEST_PAUSE),
            _ => FIRST_PAUSE,
        };
        self.trouble = Some(Trouble { reasons: reasons.clone(), left: pause, pause });
        Outcome::Refused(reasons)
    }
}

impl Cause {
    /// As it stands in the log.
    fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Change => "change",
            Self::Retry => "retry",
        }
    }
}
