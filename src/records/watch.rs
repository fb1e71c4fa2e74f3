//! Watching a record: one poller for each record and caller, however many watch.
//!
//! A poller reads the record again and again and tells its watchers when it has changed. It stops
//! when the last of them leaves, when the record is final, and when the record or the right to see
//! it is gone. While the upstream is out of order it keeps the last value and asks less often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::stream::{self, Stream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::key::RecordKey;
use super::loader::{Asking, Reader, Records};
use crate::domain::{Failure, ProjectId, RecordId, ScreenRecord};
use crate::trace::Begun;

/// The longest pause between two reads while the upstream is out of order.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// A pause is longer or shorter by up to a tenth, so that pollers do not march in step.
const JITTER: f64 = 0.1;

/// Records that may be watched at a time, by everybody and by one caller.
const MOST_POLLERS: usize = 10_000;
const MOST_POLLERS_OF_ONE: usize = 1000;

/// What watchers see.
type News = Option<Result<Arc<ScreenRecord>, Failure>>;

/// The pollers that run.
#[derive(Default)]
pub(crate) struct Watches {
    pollers: Mutex<HashMap<RecordKey, Weak<watch::Sender<News>>>>,
}

impl Records {
    /// Watches a record: its state now, then again whenever it changes. Ends after a final status,
    /// and after a failure that waiting will not mend.
    ///
    /// # Errors
    /// [`Failure::TokenMissing`] and [`Failure::ProjectNotAllowed`] before anything is read;
    /// [`Failure::Overloaded`] where too many records are watched already.
    pub fn watch(
        &self,
        asking: &Asking,
        project: ProjectId,
        id: RecordId,
    ) -> Result<impl Stream<Item = Result<Arc<ScreenRecord>, Failure>> + Send + use<>, Failure>
    {
        let key = self.reader(asking.clone()).admit(project, id)?;
        let receiver = self.receiver(&key, asking)?;
        Ok(stream::unfold(Some(receiver), next_news))
    }

    /// Joins the poller of a record, or starts it.
    fn receiver(&self, key: &RecordKey, asking: &Asking) -> Result<watch::Receiver<News>, Failure> {
        let mut pollers = self.watches().lock();
        if let Some(sender) = pollers.get(key).and_then(Weak::upgrade) {
            let mut receiver = sender.subscribe();
            // What is known already is news to who has just come.
            receiver.mark_changed();
            return Ok(receiver);
        }
        let of_this_caller = pollers.keys().filter(|other| other.caller == key.caller).count();
        if pollers.len() >= MOST_POLLERS || of_this_caller >= MOST_POLLERS_OF_ONE {
            return Err(Failure::Overloaded);
        }
        let (sender, receiver) = watch::channel(None);
        let sender = Arc::new(sender);
        pollers.insert(key.clone(), Arc::downgrade(&sender));
        let poller = Poller {
            records: self.clone(),
            key: key.clone(),
            asking: Asking { no_cache: false, ..asking.clone() },
            sender,
        };
        self.metrics().pollers.inc();
        self.tasks().spawn(poller.run());
        Ok(receiver)
    }
}

impl Watches {
    fn lock(&self) -> MutexGuard<'_, HashMap<RecordKey, Weak<watch::Sender<News>>>> {
        self.pollers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next state that a watcher has not seen; after a last one, the end.
async fn next_news(
    receiver: Option<watch::Receiver<News>>,
) -> Option<(Result<Arc<ScreenRecord>, Failure>, Option<watch::Receiver<News>>)> {
    let mut receiver = receiver?;
    loop {
        // The poller is gone once the channel is closed; what it said last may still be unseen.
        receiver.changed().await.ok()?;
        let Some(news) = receiver.borrow_and_update().clone() else { continue };
        let is_last = match &news {
            Ok(record) => record.is_final(),
            Err(_) => true,
        };
        return Some((news, (!is_last).then_some(receiver)));
    }
}

struct Poller {
    records: Records,
    key: RecordKey,
    asking: Asking,
    sender: Arc<watch::Sender<News>>,
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
            let pause = match self.tell(read, failures) {
                Verdict::End => break,
                Verdict::Again => {
                    failures = 0;
                    self.records.poll_interval()
                }
                Verdict::Later(wait) => {
                    failures += 1;
                    wait
                }
            };
            // The first read may come from the cache; later ones are about what is new.
            self.asking.no_cache = true;
            if timeout(jittered(pause), self.sender.closed()).await.is_ok() && self.leave() {
                return;
            }
        }
        self.records.watches().lock().remove(&self.key);
    }

    async fn read(&self) -> Result<Arc<ScreenRecord>, Failure> {
        // A poller may go on for hours, and for others than the one it was begun for.
        let span = self.asking.trace.begin_apart(|| Begun::internal("poll record"));
        let asking = Asking { trace: span.trace().clone(), ..self.asking.clone() };
        let reader: Reader = self.records.reader(asking);
        reader.screen_record(self.key.project.clone(), self.key.id.clone()).await
    }

    /// Tells the watchers what they do not know yet.
    fn tell(&self, read: Result<Arc<ScreenRecord>, Failure>, failures: u32) -> Verdict {
        let known = self.sender.borrow().clone();
        match read {
            Ok(record) => {
                let is_final = record.is_final();
                if known.is_none_or(|known| known.as_ref() != Ok(&record)) {
                    self.sender.send_replace(Some(Ok(record)));
                }
                if is_final { Verdict::End } else { Verdict::Again }
            }
            // Nothing has been told yet, so there is nothing that could stand in.
            Err(failure) if known.is_some() && failure.permits_stale() => {
                let backed_off = self.records.poll_interval() * 2_u32.saturating_pow(failures + 1);
                let asked = failure.retry_after().unwrap_or_default();
                Verdict::Later(backed_off.min(LONGEST_PAUSE).max(asked))
            }
            Err(failure) => {
                self.sender.send_replace(Some(Err(failure)));
                Verdict::End
            }
        }
    }

    /// Leaves the list if still nobody watches; under its lock, so that nobody can join meanwhile.
    fn leave(&self) -> bool {
        let mut pollers = self.records.watches().lock();
        let nobody = self.sender.receiver_count() == 0;
        if nobody {
            pollers.remove(&self.key);
        }
        nobody
    }
}

/// What a poller does after a read.
enum Verdict {
    Again,
    Later(Duration),
    End,
}

fn jittered(pause: Duration) -> Duration {
    // Without randomness pollers do march in step, which is no reason not to poll.
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    let share = f64::from(random) / f64::from(u32::MAX);
    pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * share)
}
