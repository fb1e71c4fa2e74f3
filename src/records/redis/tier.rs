//! What the parts of the shared cache have in common.

use std::sync::Arc;
use std::time::Duration;

use redis::RedisResult;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::super::ttl_cache::CacheParts;
use super::connection::{RESPONSE_TIMEOUT, RedisClient};
use super::keys::RedisKeys;
use super::metrics::RedisMetrics;
use super::outbox::Outbox;
use crate::clock::Clock;
use crate::config::{CacheConfig, Live, SharedCacheConfig};
use crate::upstream::Upstream;

/// The most entries that are being stored; further ones are dropped.
const MAX_STORES: usize = 1024;

/// The shared cache.
pub(crate) struct RedisTier {
    pub(super) keys: RedisKeys,
    /// Knows the region of each project.
    pub(super) upstream: Upstream,
    pub(super) limits: Live<CacheConfig>,
    timeout: Duration,
    pub(super) client: RedisClient,
    /// Invalidations that Redis and the other replicas get as soon as Redis answers.
    pub(crate) outbox: Outbox,
    pub(super) stores: Arc<Semaphore>,
    pub(super) tasks: TaskTracker,
    pub(super) metrics: RedisMetrics,
    pub(super) clock: Clock,
    /// Identifies this replica in its messages.
    pub(super) replica: u64,
}

impl RedisTier {
    pub(crate) fn new(
        config: &SharedCacheConfig,
        caches: &CacheParts,
        upstream: &Upstream,
        tasks: &TaskTracker,
    ) -> Result<Self, getrandom::Error> {
        let CacheParts { limits, metrics, clock, .. } = caches.clone();
        let metrics = metrics.shared;
        Ok(Self {
            keys: RedisKeys::new(limits.load().key_secret.as_ref(), &upstream.identity()),
            upstream: upstream.clone(),
            limits,
            timeout: config.timeout,
            client: RedisClient::new(config, metrics.clone()),
            outbox: Outbox::new(metrics.clone()),
            stores: Arc::new(Semaphore::new(MAX_STORES)),
            tasks: tasks.clone(),
            metrics,
            clock,
            replica: getrandom::u64()?,
        })
    }

    /// Why the tier is not used now.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.client.get().is_none().then(|| "the shared cache does not answer".to_owned())
    }

    /// When a read that begins now stops to wait for Redis, however many commands it sends.
    pub(crate) fn time_limit(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Runs commands that no answer waits for.
    pub(super) async fn run<T>(&self, commands: impl Future<Output = RedisResult<T>>) -> Option<T> {
        self.client.run(Instant::now() + RESPONSE_TIMEOUT, commands).await
    }

    /// The longest time that an entry stays in Redis.
    pub(super) fn longest_life(&self) -> Duration {
        let limits = self.limits.load();
        let fresh = limits.ttl_final.max(limits.ttl_active);
        let life = fresh + limits.stale_if_error.max(limits.stale_while_revalidate);
        life.max(Duration::from_secs(1))
    }
}

/// A time in milliseconds, as Redis takes it.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2)
}
