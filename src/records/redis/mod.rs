//! The cache that the replicas of one deployment share, in Redis or Valkey.
//!
//! A replica looks here for a record that its own memory does not have fresh, and writes here after it has
//! answered. Redis may be slow, full or gone at any time: a read then goes on to the upstream, after
//! `cache.redis_timeout` at most. Links to videos and lists are never written.
//!
//! Purges work by generations: there is a random number for everything, for each project, caller and
//! record. An entry names those that were current when its load began, and counts only while they are
//! still current. So a purge is one write, however much it covers, and a load on another replica cannot
//! bring back what was purged.

mod connection;
mod entry;
mod tier;
mod entries;
mod replicas;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;

pub use self::connection::check_shared;
pub(crate) use self::entries::LeaseOutcome;
pub(crate) use self::entry::SharedKey;
pub(crate) use self::tier::RedisTier;
