//! The upstream: credentials, calls, and reading its answers into domain values.
//!
//! Knows the upstream's wire format and nothing of caches, GraphQL or the caller's HTTP request.

mod client;
mod project_client;
mod attempt;
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
pub(crate) use attempt::malformed;
pub use client::{Outdated, Routes, Upstream};
pub use diagnostics::{CheckedAddress, Findings, reach};
pub use metrics::UpstreamMetrics;
pub use normalize::WireValue;
pub use project_client::{Call, ProjectClient};
pub(crate) use retry::chance;
pub use wire::{Unlike, screen_record};
