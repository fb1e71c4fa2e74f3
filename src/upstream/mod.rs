//! The upstream: credentials, calls, and reading its answers into domain values.
//!
//! Knows the upstream's wire format and nothing of caches, GraphQL or the caller's HTTP request.

mod client;
mod attempt;
mod coding;
mod http_client;
mod reach;
mod probe;
mod calls;
mod breaker;
mod retry;
mod credentials;
mod metrics;
mod traced;
mod failure;
mod normalize;
mod redact;
mod wire;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;

pub use crate::fair_semaphore::Requester;
pub use calls::Range;
pub(crate) use calls::{MOST_LINKS, operation_filter, record_filter};
pub use client::{Call, Upstream, UpstreamChange};
pub use metrics::UpstreamMetrics;
pub use normalize::WireValue;
pub use probe::Probe;
pub use reach::{Place, Reached, reach};
pub use wire::{Unlike, screen_record};
