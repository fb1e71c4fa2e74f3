//! Dropping cached data before its time, here and on the other replicas.

use std::time::Duration;

use super::invalidation::{Invalidation, Purge};
use super::store::Records;
use crate::domain::ProjectId;

/// How long a purge waits for Redis.
const REDIS_WITHIN: Duration = Duration::from_secs(1);

impl Records {
    /// Purges for every caller and on every replica, and keeps running loads from bringing the data back.
    ///
    /// Returns whether Redis has accepted the purge. Otherwise it is delivered once Redis is back, and this
    /// replica reads nothing from Redis before.
    pub async fn purge(&self, purge: &Purge) -> bool {
        self.revoke(Invalidation::Purge(purge.clone()));
        self.metrics.purges.inc(purge.scope());
        let is_everywhere = match &self.shared {
            Some(tier) => tier.outbox.delivers_purges(REDIS_WITHIN).await,
            None => true,
        };
        let project = purge.project();
        tracing::info!(
            scope = purge.scope(),
            project = project.map(ProjectId::as_str),
            region = project.and_then(|project| self.region_of(project)).as_deref(),
            is_everywhere,
            "the cache was purged"
        );
        is_everywhere
    }

    /// Drops data that was purged or that the upstream has refused, here and on every replica.
    pub(crate) fn revoke(&self, invalidation: Invalidation) {
        self.invalidate(&invalidation);
        self.publish(invalidation);
    }

    /// Sends an invalidation to the other replicas.
    pub(crate) fn publish(&self, invalidation: Invalidation) {
        if let Some(tier) = &self.shared {
            tier.outbox.add(invalidation);
        }
    }

    /// Drops data from the memory of this process, and keeps running loads from bringing it back.
    pub(crate) fn invalidate(&self, invalidation: &Invalidation) {
        // In this order: a load that ends in between caches nothing, or early enough to be dropped.
        self.generations.end(invalidation);
        self.drop_invalid(invalidation);
    }
}
