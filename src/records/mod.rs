//! The one door to data: a caching loader in front of the upstream.
//!
//! A [`Reader`] serves one GraphQL request. What is fresh in the process-wide cache it answers at
//! once; for the rest it collapses duplicates, starts distinct reads together and joins reads that
//! other requests have under way. Knows nothing of GraphQL or HTTP.

mod key;
mod freshness;
mod weight;
mod ttl_cache;
mod cached;
mod sync;
mod flight;
mod caller_index;
mod generation;
mod loader;
mod load;
mod redis;
mod cursor;
mod slice;
mod pages;
mod list;
mod links;
mod dependency;
mod purge;
mod invalidation;
mod eviction;
mod watch;
mod read;
mod explain;
mod metrics;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
#[cfg(test)]
mod model;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod testing;

pub use self::redis::check_shared;
pub use cursor::Cursor;
pub(crate) use dependency::Dependency;
pub use explain::{Explained, Step, at};
pub use invalidation::Purge;
pub(crate) use key::CallerKey;
pub use list::Wanted;
pub use loader::{Asking, Reader, RecordParts, Records};
pub use metrics::RecordMetrics;
pub use read::{CacheOutcome, Read, ReadSummary};
pub use slice::{Placed, Slice};
pub(crate) use ttl_cache::CacheSize;
