//! `cache.*`: how much is kept, and how long it may be served.

use std::time::Duration;

/// The record cache's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// `cache.max_bytes`: weighed, not counted.
    pub max_bytes: u64,
    /// `cache.ttl_active`: freshness of records that still change.
    pub ttl_active: Duration,
    /// `cache.ttl_final`: freshness of records in a final status.
    pub ttl_final: Duration,
    /// `cache.ttl_not_found`: freshness of "no such record".
    pub ttl_not_found: Duration,
    /// `cache.stale_while_revalidate`: how long after its freshness a record is served while a
    /// refresh runs behind it.
    pub stale_while_revalidate: Duration,
    /// `cache.stale_if_error`: how long after its freshness a record is served in place of an
    /// upstream failure.
    pub stale_if_error: Duration,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            max_bytes: 256 * 1024 * 1024,
            ttl_active: Duration::from_secs(5),
            ttl_final: Duration::from_mins(1),
            ttl_not_found: Duration::from_secs(2),
            stale_while_revalidate: Duration::from_secs(30),
            stale_if_error: Duration::from_mins(10),
        }
    }
}
