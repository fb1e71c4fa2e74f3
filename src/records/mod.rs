//! The one door to data: a caching loader in front of the upstream.
//!
//! A [`Reader`] serves one GraphQL request. What is fresh in the process-wide cache it answers at
//! once; for the rest it collapses duplicates, starts distinct reads together and joins reads that
//! other requests have under way. Knows nothing of GraphQL or HTTP.

mod key;
mod freshness;
mod read;
mod metrics;
mod sync;
mod invalidation;
mod single_flight;
mod ttl_cache;
mod cached;
mod statistics;
mod pagination;
mod redis;
mod watch_list;
mod store;
mod fetch;
mod batch;
mod reader;
mod notes;
mod visibility;
mod links;
mod watch;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
#[cfg(test)]
mod model;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod testing;

pub use self::redis::check_shared;
pub(crate) use fetch::Dependency;
pub use invalidation::Purge;
pub(crate) use key::CallerKey;
pub(crate) use metrics::CacheSize;
pub use metrics::RecordMetrics;
pub use pagination::PageRequest;
pub(crate) use pagination::{Cursor, Edge, ListPage};
pub use read::{
    AskedProject, AskedProjects, AuditEvent, AuditEventKind, AuditedListing, CacheOutcome,
    Explained, Read, ReadSummary, RequestContext, at,
};
pub use reader::{Reader, Siblings};
pub use statistics::{GroupBy, GroupKey, Grouping, Statistics, StatisticsGroup, Sums};
pub use store::{RecordParts, Records};
pub use watch_list::{RowChange, RowChangeKind};
