//! `limits.*`: how much one request, and all of them together, may ask for.

use std::time::Duration;

/// The limits of a whole HTTP request, batches included, and of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// `limits.max_body_bytes`
    pub max_body_bytes: usize,
    /// `limits.max_depth`
    pub max_depth: usize,
    /// `limits.max_complexity`
    pub max_complexity: usize,
    /// `limits.max_aliases`
    pub max_aliases: usize,
    /// `limits.max_directives`
    pub max_directives: usize,
    /// `limits.max_tokens`
    pub max_tokens: usize,
    /// `limits.max_batch`: operations in one HTTP request.
    pub max_batch: usize,
    /// `limits.request_timeout`: the whole operation.
    pub request_timeout: Duration,
    /// `limits.max_in_flight`: requests under way; more get 503 at once.
    pub max_in_flight: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 256 * 1024,
            max_depth: 10,
            max_complexity: 10_000,
            max_aliases: 100,
            max_directives: 50,
            max_tokens: 10_000,
            max_batch: 10,
            request_timeout: Duration::from_secs(15),
            max_in_flight: 1024,
        }
    }
}
