//! The upstream: credentials, calls, and reading its answers into domain values.
//!
//! Knows the upstream's wire format and nothing of caches, GraphQL or the caller's HTTP request.

mod client;
mod api_request;
mod routes;
mod region;
mod project_client;
mod spans;
mod attempt;
mod content_encoding;
mod http_client;
mod diagnostics;
mod api;
mod breaker;
mod retry;
mod credentials;
mod metrics;
mod error_mapping;
mod normalize;
mod redact;
mod wire;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;

pub use crate::fair_semaphore::Requester;
pub use api::Range;
pub(crate) use api::{MOST_LINKS, operation_filter, record_filter};
pub use api_request::Call;
pub use client::{Outdated, Upstream, UpstreamChange};
pub use diagnostics::{CheckedAddress, Findings, Reached, reach};
pub use metrics::UpstreamMetrics;
pub use normalize::WireValue;
pub use project_client::ProjectClient;
pub(crate) use retry::chance;
pub use wire::{Unlike, screen_record};
