//! Watching a record: one poller for each record and data owner, however many callers watch.
//!
//! A poller reads the record again and again and tells its watchers when it has changed. It stops
//! when the last watcher leaves, when the record is final, and when the record or the right to see
//! it is gone. While the upstream fails, the poller keeps the last value and asks less often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::stream::{self, Stream};
use opentelemetry::trace::SpanContext;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument as _, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::key::RecordKey;
use super::loader::{Asking, Reader, Records};
use crate::domain::{Failure, LimitKey, ScreenRecord};
use crate::spans::{self, TARGET};

/// The longest pause between two reads while the upstream fails.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// A pause is longer or shorter by up to a tenth, so that pollers do not march in step.
const JITTER: f64 = 0.1;

/// Records that may be watched at a time, by all callers and by one caller.
const MAX_POLLERS: usize = 10_000;
const MAX_RECORDS_PER_CALLER: usize = 1000;

/// The latest state of a record, or why there is none; `None` before the first read.
type RecordUpdate = Option<Result<Arc<ScreenRecord>, Failure>>;

/// The pollers that run, and who watches.
#[derive(Default)]
pub(crate) struct Watches(Mutex<WatchList>);

#[derive(Default)]
struct WatchList {
    /// Callers who read the same data share a poller.
    pollers: HashMap<RecordKey, Weak<watch::Sender<RecordUpdate>>>,
    /// The records that each caller watches, and how often each of them.
    watched: HashMap<LimitKey, HashMap<RecordKey, usize>>,
}

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
    asking: Asking,
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

impl Records {
    /// Watches a record: its state now, then again whenever it changes. Ends after a final status,
    /// and after a failure that waiting will not mend.
    ///
    /// # Errors
    /// [`Failure::TooManyWatched`] where this caller watches too many records,
    /// [`Failure::Overloaded`] where all callers together do.
    pub(crate) fn watch(
        &self,
        asking: &Asking,
        key: RecordKey,
    ) -> Result<impl Stream<Item = Result<Arc<ScreenRecord>, Failure>> + Send + use<>, Failure>
    {
        let caller = asking.identity.limit_key();
        let mut list = self.watches().lock();
        let running = list.pollers.get(&key).and_then(Weak::upgrade);
        list.check_limits(&caller, &key, running.is_some())?;
        let receiver = match running {
            Some(sender) => {
                let mut receiver = sender.subscribe();
                // A new watcher has not seen the latest state yet.
                receiver.mark_changed();
                receiver
            }
            None => self.start_poller(&mut list, asking, &key),
        };
        list.remember(&caller, &key);
        let watcher = Watcher { records: self.clone(), caller, key, receiver };
        Ok(stream::unfold(Some(watcher), Watcher::next))
    }

    fn start_poller(
        &self,
        list: &mut WatchList,
        asking: &Asking,
        key: &RecordKey,
    ) -> watch::Receiver<RecordUpdate> {
        let (sender, receiver) = watch::channel(None);
        let sender = Arc::new(sender);
        list.pollers.insert(key.clone(), Arc::downgrade(&sender));
        let poller = Poller {
            records: self.clone(),
            key: key.clone(),
            asking: Asking { no_cache: false, ..asking.clone() },
            sender,
            started_by: spans::current(),
        };
        self.metrics().pollers.inc();
        self.tasks().spawn(poller.run());
        receiver
    }
}

impl Watches {
    fn lock(&self) -> MutexGuard<'_, WatchList> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WatchList {
    fn check_limits(
        &self,
        caller: &LimitKey,
        key: &RecordKey,
        is_polled: bool,
    ) -> Result<(), Failure> {
        let records = self.watched.get(caller);
        let is_watched = records.is_some_and(|records| records.contains_key(key));
        let count = records.map_or(0, HashMap::len);
        if !is_watched && count >= MAX_RECORDS_PER_CALLER {
            return Err(Failure::TooManyWatched { limit: MAX_RECORDS_PER_CALLER });
        }
        if !is_polled && self.pollers.len() >= MAX_POLLERS {
            return Err(Failure::Overloaded);
        }
        Ok(())
    }

    fn remember(&mut self, caller: &LimitKey, key: &RecordKey) {
        let records = self.watched.entry(*caller).or_default();
        *records.entry(key.clone()).or_default() += 1;
    }

    fn forget(&mut self, caller: &LimitKey, key: &RecordKey) {
        let Some(records) = self.watched.get_mut(caller) else { return };
        match records.get_mut(key) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                records.remove(key);
            }
        }
        if records.is_empty() {
            self.watched.remove(caller);
        }
    }
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
        self.records.watches().lock().forget(&self.caller, &self.key);
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.records.metrics().pollers.dec();
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
            self.asking.no_cache = true;
            let due = Instant::now() + jittered(pause);
            // A watcher may come while the last one leaves: the pause is kept all the same.
            while timeout_at(due, self.sender.closed()).await.is_ok() {
                if self.leave() {
                    return;
                }
            }
        }
        self.records.watches().lock().pollers.remove(&self.key);
    }

    async fn read(&self) -> Result<Arc<ScreenRecord>, Failure> {
        // Each read starts a trace: a poller may run for hours.
        let span = info_span!(target: TARGET, parent: None, "poll record");
        span.add_link(self.started_by.clone());
        let reader: Reader = self.records.reader(self.asking.clone());
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

    /// Leaves the list if nobody watches. The list is locked meanwhile, so that nobody can join.
    fn leave(&self) -> bool {
        let mut list = self.records.watches().lock();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ProjectId, RecordId};
    use crate::records::key::CallerKey;

    fn record(id: &str) -> RecordKey {
        let project = ProjectId::parse("p").unwrap();
        RecordKey { caller: CallerKey::Gateway, project, id: RecordId::parse(id).unwrap() }
    }

    #[test]
    fn a_caller_at_the_limit_may_watch_the_same_records_again_but_no_other() {
        let (one, another) = (LimitKey::Name([1; 32]), LimitKey::Name([2; 32]));
        let mut list = WatchList::default();
        for number in 0..MAX_RECORDS_PER_CALLER {
            list.remember(&one, &record(&number.to_string()));
        }
        let too_many = Err(Failure::TooManyWatched { limit: MAX_RECORDS_PER_CALLER });

        assert_eq!(list.check_limits(&one, &record("0"), true), Ok(()));
        assert_eq!(list.check_limits(&one, &record("new"), false), too_many);
        assert_eq!(list.check_limits(&one, &record("polled-for-another"), true), too_many);
        assert_eq!(list.check_limits(&another, &record("new"), false), Ok(()));
    }

    #[test]
    fn a_record_counts_until_its_last_watcher_leaves_and_no_caller_is_remembered() {
        let one = LimitKey::Name([1; 32]);
        let mut list = WatchList::default();
        list.remember(&one, &record("a"));
        list.remember(&one, &record("a"));

        list.forget(&one, &record("a"));
        let after_the_first = list.watched.get(&one).map(HashMap::len);
        list.forget(&one, &record("a"));

        assert_eq!(after_the_first, Some(1));
        assert!(list.watched.is_empty());
    }
}
