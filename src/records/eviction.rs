//! Evicts what has expired, to give its memory back.

use std::time::Duration;

use tokio::time::interval;

use super::link_cache::LINK_TTL;
use super::store::Records;
use crate::config::CacheConfig;

const EVICT_EVERY: Duration = Duration::from_secs(30);

impl Records {
    /// Evicts what has expired, every half minute from now on.
    pub fn start_eviction(&self) {
        let records = self.clone();
        let evicting = async move {
            let mut ticks = interval(EVICT_EVERY);
            loop {
                ticks.tick().await;
                let records = records.clone();
                // Going through a full cache takes longer than a task should run for.
                let _ = records.tasks.clone().spawn_blocking(move || records.evict()).await;
            }
        };
        self.tasks.spawn(self.ended.clone().run_until_cancelled_owned(evicting));
    }

    fn evict(&self) {
        let life = longest_life(&self.limits.load());
        self.cache.evict_expired(life);
        self.record_pages.evict_expired(life);
        self.operation_pages.evict_expired(life);
        self.links.evict_expired(life);
    }
}

/// No cached value is served when it is older.
fn longest_life(limits: &CacheConfig) -> Duration {
    let CacheConfig { ttl_final, ttl_active, ttl_not_found, ttl_list, .. } = *limits;
    let ttl = ttl_final.max(ttl_active).max(ttl_not_found).max(ttl_list).max(LINK_TTL);
    ttl + limits.stale_if_error.max(limits.stale_while_revalidate)
}
