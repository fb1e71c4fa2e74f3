//! Watching a record: one poller for each record and data owner, however many callers watch.
//!
//! A poller reads the record again and again and tells its watchers when it has changed. It stops
//! when the last watcher leaves, when the record is final, and when the record or the right to see
//! it is gone. While the upstream fails, the poller keeps the last value and asks less often.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::ready;
use futures_util::stream::{self, Stream, StreamExt as _};
use opentelemetry::trace::SpanContext;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument as _, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::context::RequestContext;
use super::fetch::is_absence;
use super::key::RecordKey;
use super::reader::Reader;
use super::store::Records;
use super::watch_list::{RecordUpdate, Watches};
use crate::domain::{Failure, Grant, LimitKey, ProjectId, RecordId, ScreenRecord};
use crate::spans::{self, TARGET};

/// The longest pause between two reads while the upstream fails.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// A pause is longer or shorter by up to a tenth, so that pollers do not march in step.
const JITTER: f64 = 0.1;

/// One caller's view of a poller. Counts towards the caller's limit until it is dropped.
struct Watcher {
    records: Records,
    caller: LimitKey,
    key: RecordKey,
    receiver: watch::Receiver<RecordUpdate>,
}

struct Poller {
    records: Records,
    key: RecordKey,
    context: RequestContext,
    sender: Arc<watch::Sender<RecordUpdate>>,
    /// The span of the operation that started it, which it may outlive.
    started_by: SpanContext,
}

/// What a poller does after a read.
enum Next {
    Poll,
    BackOff(Duration),
    Stop,
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
        let (records, context) = (self.records(), self.context());
        if self.restriction().is_some() {
            return Ok(records.clone().watch_visible(context.clone(), key).left_stream());
        }
        Ok(records.watch(context, key)?.right_stream())
    }
}

impl Records {
    /// Watches a record: its state now, then again whenever it changes. Ends after a final status,
    /// and after a failure that waiting will not mend.
    ///
    /// # Errors
    /// [`Failure::TooManyWatched`] where this caller watches too many records,
    /// [`Failure::Overloaded`] where all callers together do.
    fn watch(
        &self,
        context: &RequestContext,
        key: RecordKey,
    ) -> Result<impl Stream<Item = Result<Arc<ScreenRecord>, Failure>> + Send + use<>, Failure>
    {
        let caller = context.identity.limit_key();
        let mut list = self.watches.lock();
        let running = list.pollers.get(&key).and_then(Weak::upgrade);
        list.check_limits(&caller, &key, running.is_some())?;
        let receiver = match running {
            Some(sender) => {
                let mut receiver = sender.subscribe();
                // A new watcher has not seen the latest state yet.
                receiver.mark_changed();
                receiver
            }
            None => self.start_poller(&mut list, context, &key),
        };
        list.remember(&caller, &key);
        let watcher = Watcher { records: self.clone(), caller, key, receiver };
        Ok(stream::unfold(Some(watcher), Watcher::next))
    }

    /// As [`Self::watch`], for a restricted caller.
    ///
    /// The recording is first read as for a query: what a poller knows already must not answer for an
    /// invisible one.
    fn watch_visible(
        self,
        context: RequestContext,
        key: RecordKey,
    ) -> impl Stream<Item = Result<Arc<ScreenRecord>, Failure>> + Send + use<> {
        let beginning = async move {
            let reader = self.reader(context.clone());
            let read = reader.screen_record(key.project.clone(), key.id.clone()).await;
            match read.and_then(|_| self.watch(&context, key)) {
                Ok(states) => visible_states(context.grant, states).left_stream(),
                Err(failure) => stream::once(ready(Err(failure))).right_stream(),
            }
        };
        stream::once(beginning).flatten()
    }

    fn start_poller(
        &self,
        list: &mut Watches,
        context: &RequestContext,
        key: &RecordKey,
    ) -> watch::Receiver<RecordUpdate> {
        let (sender, receiver) = watch::channel(None);
        let sender = Arc::new(sender);
        list.pollers.insert(key.clone(), Arc::downgrade(&sender));
        let poller = Poller {
            records: self.clone(),
            key: key.clone(),
            // Each watcher applies the grant of its own caller.
            context: RequestContext {
                no_cache: false,
                grant: Grant::unrestricted(),
                ..context.clone()
            },
            sender,
            started_by: spans::current(),
        };
        self.metrics.pollers.inc();
        self.tasks.spawn(poller.run());
        receiver
    }
}

/// The states of a recording, up to the first in which it is missing or invisible.
fn visible_states(
    grant: Arc<Grant>,
    states: impl Stream<Item = Result<Arc<ScreenRecord>, Failure>> + Send,
) -> impl Stream<Item = Result<Arc<ScreenRecord>, Failure>> + Send {
    stream::unfold(Some((Box::pin(states), grant)), async |watching| {
        let (mut states, grant) = watching?;
        let state = match states.next().await? {
            Ok(record) if grant.shows(&record) => Ok(record),
            Err(failure) if !is_absence(&failure) => Err(failure),
            Ok(_) | Err(_) => Err(Failure::NotVisible),
        };
        let is_over = state.is_err();
        Some((state, (!is_over).then_some((states, grant))))
    })
}

impl Watcher {
    /// The next state that this watcher has not seen. The last state ends the stream.
    async fn next(
        watcher: Option<Self>,
    ) -> Option<(Result<Arc<ScreenRecord>, Failure>, Option<Self>)> {
        let mut watcher = watcher?;
        loop {
            // A poller that has stopped closes the channel. Its last state may still be unseen.
            watcher.receiver.changed().await.ok()?;
            let Some(update) = watcher.receiver.borrow_and_update().clone() else { continue };
            let is_last = match &update {
                Ok(record) => record.is_final(),
                Err(_) => true,
            };
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
        let mut failures = 0;
        loop {
            let read = self.read().await;
            let pause = match self.publish(read, failures) {
                Next::Stop => break,
                Next::Poll => {
                    failures = 0;
                    self.records.poll_interval()
                }
                Next::BackOff(pause) => {
                    failures += 1;
                    pause
                }
            };
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

    async fn read(&self) -> Result<Arc<ScreenRecord>, Failure> {
        // Each read starts a trace: a poller may run for hours.
        let span = info_span!(target: TARGET, parent: None, "poll record");
        span.add_link(self.started_by.clone());
        let reader: Reader = self.records.reader(self.context.clone());
        reader.screen_record(self.key.project.clone(), self.key.id.clone()).instrument(span).await
    }

    /// Tells the watchers what has changed.
    fn publish(&self, read: Result<Arc<ScreenRecord>, Failure>, failures: u32) -> Next {
        let known = self.sender.borrow().clone();
        match read {
            Ok(record) => {
                let is_final = record.is_final();
                if known.is_none_or(|known| known.as_ref() != Ok(&record)) {
                    self.sender.send_replace(Some(Ok(record)));
                }
                if is_final { Next::Stop } else { Next::Poll }
            }
            // The state that the watchers know stands until the upstream answers again.
            Err(failure) if known.is_some() && may_pass(&failure) => {
                let backed_off = self.records.poll_interval() * 2_u32.saturating_pow(failures + 1);
                let asked = failure.retry_after().unwrap_or_default();
                Next::BackOff(backed_off.min(LONGEST_PAUSE).max(asked))
            }
            Err(failure) => {
                self.sender.send_replace(Some(Err(failure)));
                Next::Stop
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

fn may_pass(failure: &Failure) -> bool {
    failure.permits_stale() || failure.is_retryable()
}

fn jittered(pause: Duration) -> Duration {
    // Without randomness pollers do march in step, which is no reason not to poll.
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    let share = f64::from(random) / f64::from(u32::MAX);
    pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * share)
}
