//! Watching a record or a list: one poller for each of them and data owner, however many callers watch.
//!
//! A poller reads again and again and tells its watchers when something has changed. It stops when
//! the last watcher leaves, when the record is final, and when the record, the list or the right to see
//! it is gone. While the upstream fails, the poller keeps the last state and asks less often.
//!
//! A record has a poller for each grant that may hide it, which reads as a query of such a caller does. The
//! poller of a list reads without a grant, and each watcher applies that of its own caller.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::ready;
use futures_util::stream::{self, Stream, StreamExt as _};
use opentelemetry::trace::SpanContext;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument as _, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::key::{Key, RecordKey};
use super::read::RequestContext;
use super::reader::{Reader, Siblings};
use super::store::Records;
use super::watch_list::{RowChange, Rows, Update, WatchKey, changes, intervals};
use crate::domain::{Failure, Grant, LimitKey, ProjectId, RecordId, RecordSelection, ScreenRecord};
use crate::spans::{self, TARGET};
use crate::upstream::chance;

/// The longest pause between two reads while the upstream fails.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// A pause is longer or shorter by up to a tenth, so that pollers do not march in step.
const JITTER: f64 = 0.1;

/// One caller's view of a poller. Counts towards the caller's limit until it is dropped.
struct Watcher {
    records: Records,
    caller: LimitKey,
    key: WatchKey,
    receiver: watch::Receiver<Update>,
}

struct Poller {
    records: Records,
    key: WatchKey,
    context: RequestContext,
    sender: Arc<watch::Sender<Update>>,
    /// The span of the operation that started it, which it may outlive.
    started_by: SpanContext,
    /// Failed reads since the last one that did not fail.
    failures: u32,
}

impl Reader {
    /// The state of a recording now, then again whenever it changes. Ends after a final status, and
    /// after a failure that waiting will not mend.
    ///
    /// # Errors
    /// [`Failure::TokenMissing`] and [`Failure::ProjectNotAllowed`] before anything is read;
    /// [`Failure::TooManyWatched`] and [`Failure::Overloaded`] at the limits of watched recordings.
    pub fn watch(
        &self,
        project: ProjectId,
        id: RecordId,
    ) -> Result<impl Stream<Item = Result<Arc<ScreenRecord>, Failure>> + Send + use<>, Failure>
    {
        let key = self.admit(project, id)?;
        let grant = self.restriction().map(Grant::key);
        let states = self.records.watch(&self.context, WatchKey::Record { key, grant })?;
        Ok(states
            .filter_map(|state| ready(state.map(|rows| rows.values().next().cloned()).transpose())))
    }

    /// Each recording of a selection that the caller may see, then each change. Ends after a failure that
    /// waiting will not mend.
    ///
    /// # Errors
    /// As [`Self::watch`], and [`Failure::BadInput`] for a selection that cannot be asked for.
    pub fn watch_list(
        &self,
        project: ProjectId,
        selection: RecordSelection,
    ) -> Result<impl Stream<Item = Result<RowChange, Failure>> + Send + use<>, Failure> {
        let selection = selection.checked()?;
        let caller = self.admit_project(&project)?;
        let Some(listing) = self.scanned_list(&selection) else {
            return Ok(stream::pending().left_stream());
        };
        let key = WatchKey::List(Key { caller, project, id: listing });
        let states = self.records.watch(&self.context, key)?;
        let reader = self.records.reader_of(Some(caller), self.context.clone());
        let mut known = Arc::<Rows>::default();
        let events = states.flat_map(move |state| {
            let sees = |record: &ScreenRecord| {
                reader.context.grant.shows(record) && selection.rows.matches(record)
            };
            stream::iter(match state {
                Ok(rows) => {
                    let previous = std::mem::replace(&mut known, Arc::clone(&rows));
                    changes(&previous, &rows, sees).into_iter().map(Ok).collect()
                }
                Err(failure) => vec![Err(reader.scan_failure(failure))],
            })
        });
        Ok(events.right_stream())
    }

    /// What a poller reads. `None` if rows shifted while a list was read, so that some may be missing.
    async fn read_state(&self, key: &WatchKey) -> Result<Option<Rows>, Failure> {
        match key {
            WatchKey::Record { key: RecordKey { project, id, .. }, .. } => {
                let record =
                    self.screen_record(project.clone(), id.clone(), Siblings::None).await?;
                Ok(Some(Rows::from([(id.as_str().to_owned(), record)])))
            }
            WatchKey::List(list) => {
                self.admit_project(&list.project)?;
                let list = self.whole_list(list).await?;
                if !list.is_complete && self.scan_budget.left() == 0 {
                    let problem = "selects more recordings than can be watched, which is \
                                   limits.max_scanned_rows: narrow it, as with startedAfter";
                    let problem = problem.to_owned();
                    return Err(Failure::BadInput { argument: "filter", problem });
                }
                let keyed = |row: Arc<ScreenRecord>| Some((RecordId::folded(row.id()?), row));
                let rows = list.rows.into_iter().flatten().filter_map(keyed);
                Ok(list.is_complete.then(|| rows.collect()))
            }
        }
    }
}

impl Records {
    /// The state now, then again whenever it changes. Ends after a final state, and after a failure that
    /// waiting will not mend.
    ///
    /// # Errors
    /// [`Failure::TooManyWatched`] where this caller watches too much,
    /// [`Failure::Overloaded`] where all callers together do.
    fn watch(
        &self,
        context: &RequestContext,
        key: WatchKey,
    ) -> Result<impl Stream<Item = Result<Arc<Rows>, Failure>> + Send + use<>, Failure> {
        let caller = context.identity.limit_key();
        let mut list = self.watches.lock();
        let running = list.pollers.get(&key).and_then(Weak::upgrade);
        list.admit(&caller, &key, running.is_some())?;
        let sender = running.unwrap_or_else(|| {
            let sender = Arc::new(watch::Sender::new(None));
            list.pollers.insert(key.clone(), Arc::downgrade(&sender));
            let grant = match key {
                WatchKey::Record { grant: Some(_), .. } => Arc::clone(&context.grant),
                WatchKey::Record { grant: None, .. } | WatchKey::List(_) => Grant::unrestricted(),
            };
            let poller = Poller {
                records: self.clone(),
                key: key.clone(),
                context: RequestContext { no_cache: false, grant, ..context.clone() },
                sender: Arc::clone(&sender),
                started_by: spans::current(),
                failures: 0,
            };
            self.metrics.pollers.inc();
            self.tasks.spawn(poller.run());
            sender
        });
        let mut receiver = sender.subscribe();
        // A new watcher has not seen the latest state yet.
        receiver.mark_changed();
        let watcher = Watcher { records: self.clone(), caller, key, receiver };
        Ok(stream::unfold(Some(watcher), Watcher::next))
    }
}

impl Watcher {
    /// The next state that this watcher has not seen. The last state ends the stream.
    async fn next(watcher: Option<Self>) -> Option<(Result<Arc<Rows>, Failure>, Option<Self>)> {
        let mut watcher = watcher?;
        loop {
            // A poller that has stopped closes the channel. Its last state may still be unseen.
            watcher.receiver.changed().await.ok()?;
            let Some(update) = watcher.receiver.borrow_and_update().clone() else { continue };
            let is_last = update.as_ref().map_or(true, |rows| watcher.key.is_final(rows));
            return Some((update, (!is_last).then_some(watcher)));
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.records.watches.lock().forget(&self.caller, &self.key);
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.records.metrics.pollers.dec();
    }
}

impl Poller {
    async fn run(mut self) {
        loop {
            let read = self.read().await;
            let Some(pause) = self.publish(read) else { break };
            // The first read may come from the cache. Later reads look for changes.
            self.context.no_cache = true;
            let due = Instant::now() + jittered(pause);
            // A watcher may come while the last one leaves: the pause is kept all the same.
            while timeout_at(due, self.sender.closed()).await.is_ok() {
                if self.leave() {
                    return;
                }
            }
        }
        self.records.watches.lock().pollers.remove(&self.key);
    }

    async fn read(&self) -> Result<Option<Rows>, Failure> {
        // Each read starts a trace: a poller may run for hours.
        let span = match self.key {
            WatchKey::Record { .. } => info_span!(target: TARGET, parent: None, "poll record"),
            WatchKey::List(_) => info_span!(target: TARGET, parent: None, "poll list"),
        };
        span.add_link(self.started_by.clone());
        let reader = self.records.reader(self.context.clone());
        reader.read_state(&self.key).instrument(span).await
    }

    /// Publishes what has changed; the pause before the next read, or `None` if there is none.
    fn publish(&mut self, read: Result<Option<Rows>, Failure>) -> Option<Duration> {
        let known = self.sender.borrow().clone();
        let interval = **self.records.poll_interval.load();
        if read.is_ok() {
            self.failures = 0;
        }
        match read {
            Ok(None) => Some(interval),
            Ok(Some(rows)) => {
                let pause = (!self.key.is_final(&rows)).then(|| interval * intervals(&rows));
                if known.and_then(Result::ok).is_none_or(|known| *known != rows) {
                    self.sender.send_replace(Some(Ok(Arc::new(rows))));
                }
                pause
            }
            // The state that the watchers know stands until the upstream answers again.
            Err(failure)
                if known.is_some() && (failure.permits_stale() || failure.is_retryable()) =>
            {
                self.failures += 1;
                let backed_off = interval * 2_u32.saturating_pow(self.failures);
                let asked = failure.retry_after().unwrap_or_default();
                Some(backed_off.min(LONGEST_PAUSE).max(asked))
            }
            Err(failure) => {
                self.sender.send_replace(Some(Err(failure)));
                None
            }
        }
    }

    /// Leaves the list if it has no watchers. The list is locked meanwhile, so that none can join.
    fn leave(&self) -> bool {
        let mut list = self.records.watches.lock();
        let is_unwatched = self.sender.receiver_count() == 0;
        if is_unwatched {
            list.pollers.remove(&self.key);
        }
        is_unwatched
    }
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance())
}
