//! The shared cache, and its outbox: invalidations that Redis has not accepted yet.
//!
//! They are kept however long Redis is away: all purges, where too many of them become one of everything,
//! and refusals up to a number.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use redis::RedisResult;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::super::invalidation::{Invalidation, Purge};
use super::super::metrics::RecordMetrics;
use super::super::ttl_cache::CacheParts;
use super::connection::{RESPONSE_TIMEOUT, RedisClient};
use super::entry::RedisKeys;
use crate::clock::Clock;
use crate::config::{CacheConfig, Live, SharedCacheConfig};
use crate::upstream::Upstream;

/// The most entries that are being stored; further ones are dropped.
const MAX_STORES: usize = 1024;
const MAX_PURGES: usize = 100;
const MAX_REFUSALS: usize = 1000;

/// The shared cache.
pub(crate) struct RedisTier {
    pub(super) keys: RedisKeys,
    /// Knows the region of each project.
    pub(super) upstream: Upstream,
    pub(super) limits: Live<CacheConfig>,
    pub(crate) client: RedisClient,
    /// Invalidations that Redis and the other replicas get as soon as Redis answers.
    pub(crate) outbox: Outbox,
    pub(super) stores: Arc<Semaphore>,
    pub(super) tasks: TaskTracker,
    pub(super) metrics: RecordMetrics,
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
        Ok(Self {
            keys: RedisKeys::new(limits.load().key_secret.as_ref(), &upstream.identity()),
            upstream: upstream.clone(),
            limits,
            client: RedisClient::new(config, metrics.clone()),
            outbox: Outbox::new(metrics.clone()),
            stores: Arc::new(Semaphore::new(MAX_STORES)),
            tasks: tasks.clone(),
            metrics,
            clock,
            replica: getrandom::u64()?,
        })
    }

    /// When a read that begins now stops to wait for Redis, however many commands it sends.
    pub(crate) fn time_limit(&self) -> Instant {
        Instant::now() + self.client.config.timeout
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

/// Undelivered invalidations, oldest first.
pub(crate) struct Outbox {
    queue: watch::Sender<VecDeque<Invalidation>>,
    metrics: RecordMetrics,
}

impl Outbox {
    pub(super) fn new(metrics: RecordMetrics) -> Self {
        Self { queue: watch::Sender::default(), metrics }
    }

    pub(crate) fn add(&self, invalidation: Invalidation) {
        self.change(|queue| {
            let is_purge_added = is_purge(&invalidation);
            let alike = queue.iter().filter(|other| is_purge(other) == is_purge_added).count();
            if is_purge_added && alike >= MAX_PURGES {
                queue.retain(|other| !is_purge(other));
                queue.push_back(Invalidation::Purge(Purge::All));
            } else if !is_purge_added && alike >= MAX_REFUSALS {
                self.metrics.shared_writes.inc("dropped");
            } else {
                queue.push_back(invalidation);
            }
        });
    }

    pub(super) fn has_purges(&self) -> bool {
        self.queue.borrow().iter().any(is_purge)
    }

    /// Whether every purge is delivered within a time.
    pub(crate) async fn delivers_purges(&self, within: Duration) -> bool {
        let mut queue = self.queue.subscribe();
        timeout(within, queue.wait_for(|queue| !queue.iter().any(is_purge))).await.is_ok()
    }

    /// Waits until there is something to deliver.
    pub(super) async fn filled(&self) {
        // The sender lives as long as `self`.
        let _ = self.queue.subscribe().wait_for(|queue| !queue.is_empty()).await;
    }

    /// What to deliver next. Purges come first because nothing is read from Redis before they are
    /// delivered.
    pub(super) fn first(&self) -> Option<Invalidation> {
        let queue = self.queue.borrow();
        queue.iter().find(|waiting| is_purge(waiting)).or(queue.front()).cloned()
    }

    pub(super) fn remove(&self, delivered: &Invalidation) {
        self.change(|queue| {
            if let Some(index) = queue.iter().position(|waiting| waiting == delivered) {
                queue.remove(index);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut VecDeque<Invalidation>)) {
        self.queue.send_modify(|queue| {
            change(queue);
            self.metrics.shared_undelivered.set(i64::try_from(queue.len()).unwrap_or(i64::MAX));
        });
    }
}

pub(super) fn is_purge(invalidation: &Invalidation) -> bool {
    matches!(invalidation, Invalidation::Purge(_))
}

/// A time in milliseconds, as Redis takes it.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ProjectId, RecordId};
    use crate::records::key::{CallerKey, RecordKey};

    #[test]
    fn a_purge_is_delivered_first_and_too_many_become_one_of_everything() {
        let outbox = Outbox::new(RecordMetrics::default());
        let project = |number| ProjectId::parse(&format!("p{number}")).unwrap();
        let refusal = Invalidation::Record(RecordKey {
            caller: CallerKey::Gateway,
            project: project(0),
            id: RecordId::parse("r").unwrap(),
        });
        outbox.add(refusal.clone());

        for number in 0..=MAX_PURGES {
            outbox.add(Invalidation::Purge(Purge::Project(project(number))));
        }

        let all = Invalidation::Purge(Purge::All);
        assert_eq!(outbox.first(), Some(all.clone()));
        outbox.remove(&all);
        assert_eq!((outbox.first(), outbox.queue.borrow().len()), (Some(refusal), 1));
    }
}
