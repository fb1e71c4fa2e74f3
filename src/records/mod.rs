//! The one door to data: a caching loader in front of the upstream.
//!
//! A [`Reader`] serves one GraphQL request. What is fresh in the process-wide cache it answers at
//! once; for the rest it collapses duplicates, starts distinct reads together and joins reads that
//! other requests have under way. Knows nothing of GraphQL or HTTP.

mod key;
mod freshness;
mod weight;
mod invalidation;
mod ttl_cache;
mod cached;
mod link_cache;
mod sync;
mod single_flight;
mod caller_index;
mod generation;
mod pages;
mod audit_event;
mod statistics;
mod read;
mod seal;
mod denials;
mod scan_budget;
mod context;
mod redis;
mod store;
mod fetch;
mod batch;
mod dependency;
mod explain;
mod reader;
mod audit;
mod visibility;
mod pagination;
mod links;
mod row_changes;
mod watch_list;
mod watch;
mod purge;
mod eviction;
mod metrics;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
#[cfg(test)]
mod model;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod testing;

pub use self::redis::check_shared;
pub use audit_event::{AuditEvent, AuditEventKind, AuditedListing};
pub use context::RequestContext;
pub(crate) use dependency::Dependency;
pub use explain::{Explained, Step, at};
pub use invalidation::Purge;
pub(crate) use key::CallerKey;
pub(crate) use metrics::CacheSize;
pub use metrics::RecordMetrics;
pub use pagination::PageRequest;
pub(crate) use pagination::{Cursor, Edge, ListPage};
pub use read::{AskedProjects, CacheOutcome, Read, ReadSummary};
pub use reader::Reader;
pub use row_changes::{RowChange, RowChangeKind};
pub use statistics::{GroupBy, GroupKey, Grouping, Statistics, StatisticsGroup, Sums};
pub use store::{RecordParts, Records};
