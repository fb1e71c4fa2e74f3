//! What the parts of the shared cache have in common.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::super::cached::{RecordEntry, Value};
use super::super::invalidation::Invalidation;
use super::super::key::RecordKey;
use super::connection::RedisConnection;
use super::entry::Generations;
use super::keys::{Identity, Keys};
use super::metrics::RedisMetrics;
use super::outbox::Outbox;
use crate::clock::Clock;
use crate::config::{CacheConfig, Live, SharedCacheConfig};

/// The most writes that wait; further ones are dropped.
const MAX_WAITING_WRITES: usize = 1024;

/// The shared cache. Clones share everything.
#[derive(Clone)]
pub(crate) struct RedisTier(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) keys: Keys,
    pub(super) limits: Live<CacheConfig>,
    pub(super) timeout: Duration,
    pub(super) connection: RedisConnection,
    pub(super) outbox: Outbox,
    pub(super) metrics: RedisMetrics,
    pub(super) clock: Clock,
    /// Identifies this replica in its messages.
    pub(super) replica: u64,
    writes: mpsc::Sender<Write>,
}

/// What the tier is made of.
pub(crate) struct RedisTierParts<'c> {
    pub(crate) config: &'c SharedCacheConfig,
    pub(crate) limits: Live<CacheConfig>,
    pub(crate) identity: Identity,
    pub(crate) metrics: RedisMetrics,
    pub(crate) clock: Clock,
}

/// The writes that wait, for the task that makes them.
pub(crate) type WriteQueue = mpsc::Receiver<Write>;

/// A write that no answer waits for.
pub(crate) enum Write {
    /// Stores a record that was read from the upstream.
    Store { key: RecordKey, entry: Arc<RecordEntry>, generations: Generations },
    /// Gives the lease of a record back.
    ReleaseLease(RecordKey),
}

/// How long one read waits for Redis in all: `cache.redis_timeout`, however many commands it sends.
pub(crate) struct TimeBudget {
    ends: Instant,
}

impl RedisTier {
    pub(crate) fn new(parts: RedisTierParts<'_>) -> Result<(Self, WriteQueue), getrandom::Error> {
        let RedisTierParts { config, limits, identity, metrics, clock } = parts;
        let (writes, queue) = mpsc::channel(MAX_WAITING_WRITES);
        let inner = Inner {
            keys: Keys::new(config.key_secret.as_ref(), &identity),
            limits,
            timeout: config.timeout,
            connection: RedisConnection::new(config, metrics.clone()),
            outbox: Outbox::new(metrics.clone()),
            metrics,
            clock,
            replica: getrandom::u64()?,
            writes,
        };
        Ok((Self(Arc::new(inner)), queue))
    }

    /// Why the tier is not used now.
    pub(crate) fn trouble(&self) -> Option<&'static str> {
        self.0.connection.get().is_none().then_some("the shared cache does not answer")
    }

    /// Stores a record that was read from the upstream, after the answer.
    pub(crate) fn store(
        &self,
        key: &RecordKey,
        entry: &Arc<RecordEntry>,
        generations: Option<Generations>,
    ) {
        if let (Some(generations), Value::Record(_)) = (generations, &entry.value.value) {
            self.queue(Write::Store { key: key.clone(), entry: Arc::clone(entry), generations });
        }
    }

    /// Sends an invalidation to Redis and the other replicas, as soon as Redis answers.
    pub(crate) fn publish(&self, invalidation: Invalidation) {
        self.0.outbox.add(invalidation);
    }

    /// Sends a purge as [`Self::publish`] does; whether Redis has accepted it within a time.
    pub(crate) async fn purge(&self, purge: Invalidation, within: Duration) -> bool {
        self.publish(purge);
        tokio::time::timeout(within, self.0.outbox.purges_delivered()).await.is_ok()
    }

    /// The time that a read that begins now may spend here.
    pub(crate) fn time_budget(&self) -> TimeBudget {
        TimeBudget { ends: self.0.clock.now() + self.0.timeout }
    }

    pub(super) fn queue(&self, write: Write) {
        if self.0.writes.try_send(write).is_err() {
            self.0.metrics.count_write("dropped");
        }
    }

    /// Runs commands within a time budget.
    pub(super) async fn within<T>(
        &self,
        budget: &TimeBudget,
        commands: impl Future<Output = redis::RedisResult<T>>,
    ) -> Option<T> {
        let left = budget.ends.saturating_duration_since(self.0.clock.now());
        match tokio::time::timeout(left, commands).await {
            Ok(Ok(value)) => {
                self.0.connection.note_answer();
                Some(value)
            }
            Ok(Err(error)) => {
                self.0.connection.note_error(&error);
                None
            }
            Err(_elapsed) => {
                self.0.connection.note_timeout();
                None
            }
        }
    }

    /// The longest time that an entry stays in Redis, in milliseconds.
    pub(super) fn longest_life_ms(&self) -> u64 {
        let limits = self.0.limits.load();
        let fresh = limits.ttl_final.max(limits.ttl_active);
        let life = fresh + limits.stale_if_error.max(limits.stale_while_revalidate);
        u64::try_from(life.as_millis()).unwrap_or(u64::MAX / 2).max(1000)
    }
}
