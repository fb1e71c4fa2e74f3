//! The tier of the cache that the replicas of one deployment share, in Redis or what speaks as it
//! does.
//!
//! Read where a replica holds nothing fresh itself, written behind the answer. It may be slow, full
//! or gone at any time: then reads go on to the upstream, after the small time limit at most. Links
//! to videos never come here.
//!
//! An entry names the last purges of its record, its project and of all that were known when its
//! load began. It counts only while these still are the last ones, so a purge is one write, however
//! much it takes, and whatever was under way on any replica cannot bring back what was purged.

mod client;
mod check;
mod subscriber;
mod entry;
mod lease;
mod metrics;
mod keys;
mod message;
mod outbox;
mod connection;
mod writer;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::AsyncCommands as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use check::check_shared;
pub(crate) use lease::Turn;
pub(crate) use metrics::SharedMetrics;
pub(crate) use keys::Identity;
pub(crate) use message::{Heard, News};

use self::subscriber::Ear;
use self::entry::{Stamp, Stamps};
use self::metrics::ReadOutcome;
use self::keys::Names;
use self::outbox::Owed;
use self::connection::{Connection, Server};
use self::writer::Work;
use super::cache::{Entry, Value};
use super::freshness::ttl_of;
use super::key::{CallerKey, RecordKey};
use super::purge::Purge;
use crate::clock::Clock;
use crate::config::{CacheConfig, Live, SharedCacheConfig};

/// Writes that wait at most; more are left undone.
const MOST_WRITES: usize = 1024;

/// The shared tier. Clones share everything.
#[derive(Clone)]
pub(crate) struct SharedTier(Arc<Inner>);

struct Inner {
    names: Names,
    limits: Live<CacheConfig>,
    timeout: Duration,
    server: Server,
    writes: mpsc::Sender<Work>,
    owed: Owed,
    metrics: SharedMetrics,
    clock: Clock,
}

/// What the tasks of the tier need to begin.
pub(crate) struct Tasks {
    /// Which replica this is, in its messages.
    own: u64,
    writes: mpsc::Receiver<Work>,
}

/// How long one read waits for the tier in all: `cache.redis_timeout`, however many commands it takes.
pub(crate) struct Patience {
    ends: Instant,
}

/// What the shared tier holds of a record.
#[derive(Default)]
pub(crate) struct Looked {
    /// The record and when it was read, however old.
    pub(crate) entry: Option<Arc<Entry>>,
    /// The purges to name in what is kept from a load that begins now; none where they are not known.
    pub(crate) stamps: Option<Stamps>,
}

impl SharedTier {
    pub(crate) fn new(
        config: &SharedCacheConfig,
        limits: Live<CacheConfig>,
        identity: &Identity,
        (metrics, clock): (SharedMetrics, Clock),
    ) -> Result<(Self, Tasks), getrandom::Error> {
        let own = getrandom::u64()?;
        let (writes, waiting) = mpsc::channel(MOST_WRITES);
        let inner = Inner {
            names: Names::new(config.key_secret.as_ref(), identity),
            limits,
            timeout: config.timeout,
            server: Server::new(config, metrics.clone()),
            writes,
            owed: Owed::default(),
            metrics,
            clock,
        };
        Ok((Self(Arc::new(inner)), Tasks { own, writes: waiting }))
    }

    /// What is wrong with the tier, where something is.
    pub(crate) fn trouble(&self) -> Option<&'static str> {
        let is_away = self.0.server.connection().is_none();
        is_away.then_some("the shared cache does not answer")
    }

    /// What a read that begins now may cost.
    pub(crate) fn patience(&self) -> Patience {
        Patience { ends: self.0.clock.now() + self.0.timeout }
    }

    /// Looks a record up. Never takes longer than there is patience, and finds nothing where that
    /// ends.
    pub(crate) async fn look(&self, key: &RecordKey, patience: &Patience) -> Looked {
        let Inner { server, owed, metrics, .. } = &*self.0;
        // What was purged here must not come back from there before the purge has arrived there.
        let connection = server.connection().filter(|_| !owed.has_purges());
        let Some(connection) = connection else {
            metrics.count_read(ReadOutcome::Skipped);
            return Looked::default();
        };
        let Some(read) = self.within(patience, self.fetch(connection, key)).await else {
            metrics.count_read(ReadOutcome::Failed);
            return Looked::default();
        };
        let stamps = Some(read.stamps);
        let (outcome, entry) = self.judge(read);
        metrics.count_read(outcome);
        Looked { entry, stamps }
    }

    /// Keeps a record that was just read from the upstream, behind the answer.
    pub(crate) fn keep(&self, key: &RecordKey, entry: &Arc<Entry>, stamps: Option<Stamps>) {
        if let (Some(stamps), Value::Record(_)) = (stamps, &entry.value) {
            self.queue(Work::Keep { key: key.clone(), entry: Arc::clone(entry), stamps });
        }
    }

    /// Tells the other replicas, and drops the record that it is about, if there is one.
    pub(crate) fn tell_others(&self, news: News) {
        self.0.owed.add(news, &self.0.metrics);
    }

    /// Takes a purge to the tier and to the other replicas.
    ///
    /// It is taken there as soon as the tier answers. Until then nothing is read from it. Whether
    /// that was the case in the time given.
    pub(crate) async fn purge(&self, purge: &Purge, within: Duration) -> bool {
        self.0.owed.add(News::Purged(purge.clone()), &self.0.metrics);
        tokio::time::timeout(within, self.0.owed.paid()).await.is_ok()
    }

    /// Keeps the tier going until the process ends: connects, writes, tells and hears.
    pub(crate) async fn run(
        &self,
        mut tasks: Tasks,
        hear: impl FnMut(Heard) + Send,
        ended: CancellationToken,
    ) {
        let mut ear = Ear::new(self.clone(), tasks.own, hear);
        let channel = self.0.names.channel();
        let going = async {
            tokio::join!(
                self.0.server.run(&channel, &mut ear),
                self.pay(tasks.own),
                self.write(&mut tasks.writes),
            )
        };
        tokio::select! {
            _ = going => {}
            () = ended.cancelled() => {}
        }
        // What was read last is worth its write.
        tasks.writes.close();
        self.write(&mut tasks.writes).await;
    }

    fn queue(&self, work: Work) {
        if self.0.writes.try_send(work).is_err() {
            self.0.metrics.count_write("dropped");
        }
    }

    /// Runs something against the tier while there is patience.
    async fn within<T>(
        &self,
        patience: &Patience,
        work: impl Future<Output = redis::RedisResult<T>>,
    ) -> Option<T> {
        let left = patience.ends.saturating_duration_since(self.0.clock.now());
        let outcome = tokio::time::timeout(left, work).await;
        match outcome {
            Ok(Ok(value)) => {
                self.0.server.is_well();
                Some(value)
            }
            Ok(Err(error)) => {
                self.0.server.note(&error);
                None
            }
            Err(_elapsed) => {
                self.0.server.is_slow();
                None
            }
        }
    }

    async fn fetch(&self, mut connection: Connection, key: &RecordKey) -> redis::RedisResult<Read> {
        let names = &self.0.names;
        let entry = names.entry(key);
        let (of_project, of_record) =
            (names.project_purge(&key.project), names.record_purge(&key.project, &key.id));
        let (mut other, mut third) = (connection.clone(), connection.clone());
        let mut last_of_all = redis::cmd("GET");
        last_of_all.arg(names.purge_of_all());
        let refusal = async {
            match key.caller {
                CallerKey::Gateway => Ok(None),
                CallerKey::Holder(_) => third.get(names.caller(&key.caller)).await,
            }
        };
        // The time to live comes first: an entry that is replaced in between looks older than it is,
        // never younger. The keys of one project are in one slot of a cluster.
        let mut of_one = redis::pipe();
        of_one.pttl(&entry).mget(&[entry.as_str(), &of_project, &of_record]);
        let (all, refusal, (left, values)) = tokio::try_join!(
            last_of_all.query_async::<Option<String>>(&mut other),
            refusal,
            of_one.query_async::<(i64, Vec<Option<Vec<u8>>>)>(&mut connection),
        )?;
        let mut values = values.into_iter();
        let mut next = || values.next().flatten();
        let bytes = next();
        let stamp = |value: Option<Vec<u8>>| Stamp::read(&value?);
        let stamps = Stamps {
            project: stamp(next()),
            record: stamp(next()),
            all: stamp(all.map(String::into_bytes)),
            caller: stamp(refusal),
        };
        // A token whose last refusal has no name any more has no entries that count.
        let counts = key.caller == CallerKey::Gateway || stamps.caller.is_some();
        Ok(Read { bytes: bytes.filter(|_| counts), left, stamps })
    }

    fn judge(&self, read: Read) -> (ReadOutcome, Option<Arc<Entry>>) {
        let Inner { limits, clock, .. } = &*self.0;
        let Some(bytes) = read.bytes else { return (ReadOutcome::Miss, None) };
        let Some(stored) = entry::decode(&bytes) else { return (ReadOutcome::Broken, None) };
        if stored.stamps != read.stamps {
            return (ReadOutcome::Purged, None);
        }
        let fetched = stored.age(read.left).and_then(|age| clock.now().checked_sub(age));
        let Some(fetched) = fetched else { return (ReadOutcome::Miss, None) };
        let ttl = stored.ttl.min(ttl_of(&stored.record, &limits.load()));
        let value = Value::Record(Arc::new(stored.record));
        (ReadOutcome::Hit, Some(Arc::new(Entry::new(value, 200, fetched, ttl))))
    }
}

/// What a look brought back.
struct Read {
    bytes: Option<Vec<u8>>,
    /// Milliseconds that the entry has left.
    left: i64,
    stamps: Stamps,
}
