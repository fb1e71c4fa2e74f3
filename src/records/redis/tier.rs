//! What the parts of the shared cache have in common.

use std::sync::Arc;
use std::time::Duration;

use redis::RedisResult;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::super::invalidation::Invalidation;
use super::connection::{RESPONSE_TIMEOUT, RedisConnection};
use super::keys::{Identity, Keys};
use super::metrics::RedisMetrics;
use super::outbox::Outbox;
use crate::clock::Clock;
use crate::config::{CacheConfig, Live, SharedCacheConfig};
use crate::upstream::Upstream;

/// The most entries that are being stored; further ones are dropped.
const MAX_STORES: usize = 1024;

/// The shared cache. Clones share everything.
#[derive(Clone)]
pub(crate) struct RedisTier(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) keys: Keys,
    /// Knows the region of each project.
    pub(super) upstream: Upstream,
    pub(super) limits: Live<CacheConfig>,
    timeout: Duration,
    pub(super) connection: RedisConnection,
    pub(super) outbox: Outbox,
    pub(super) stores: Arc<Semaphore>,
    pub(super) tasks: TaskTracker,
    pub(super) metrics: RedisMetrics,
    pub(super) clock: Clock,
    /// Identifies this replica in its messages.
    pub(super) replica: u64,
}

/// What the tier is made of.
pub(crate) struct RedisTierParts<'c> {
    pub(crate) config: &'c SharedCacheConfig,
    pub(crate) limits: Live<CacheConfig>,
    pub(crate) upstream: Upstream,
    pub(crate) metrics: RedisMetrics,
    pub(crate) clock: Clock,
    pub(crate) tasks: TaskTracker,
}

impl RedisTier {
    pub(crate) fn new(parts: RedisTierParts<'_>) -> Result<Self, getrandom::Error> {
        let RedisTierParts { config, limits, upstream, metrics, clock, tasks } = parts;
        Ok(Self(Arc::new(Inner {
            keys: Keys::new(limits.load().key_secret.as_ref(), &Identity(upstream.identity())),
            upstream,
            limits,
            timeout: config.timeout,
            connection: RedisConnection::new(config, metrics.clone()),
            outbox: Outbox::new(metrics.clone()),
            stores: Arc::new(Semaphore::new(MAX_STORES)),
            tasks,
            metrics,
            clock,
            replica: getrandom::u64()?,
        })))
    }

    /// Why the tier is not used now.
    pub(crate) fn trouble(&self) -> Option<&'static str> {
        self.0.connection.get().is_none().then_some("the shared cache does not answer")
    }

    /// Sends an invalidation to Redis and the other replicas, as soon as Redis answers.
    pub(crate) fn publish(&self, invalidation: Invalidation) {
        self.0.outbox.add(invalidation);
    }

    /// Whether Redis accepts all purges within a time.
    pub(crate) async fn accepts_purges(&self, within: Duration) -> bool {
        tokio::time::timeout(within, self.0.outbox.purges_delivered()).await.is_ok()
    }

    /// When a read that begins now stops to wait for Redis, however many commands it sends.
    pub(crate) fn time_limit(&self) -> Instant {
        Instant::now() + self.0.timeout
    }

    /// Runs commands that no answer waits for.
    pub(super) async fn run<T>(&self, commands: impl Future<Output = RedisResult<T>>) -> Option<T> {
        self.0.connection.run(Instant::now() + RESPONSE_TIMEOUT, commands).await
    }

    /// The longest time that an entry stays in Redis.
    pub(super) fn longest_life(&self) -> Duration {
        let limits = self.0.limits.load();
        let fresh = limits.ttl_final.max(limits.ttl_active);
        let life = fresh + limits.stale_if_error.max(limits.stale_while_revalidate);
        life.max(Duration::from_secs(1))
    }
}

/// A time in milliseconds, as Redis takes it.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2)
}
