//! The request that reads: its caller, and what it demands of cached data.

use std::sync::Arc;
use std::time::Duration;

use super::read::CacheOutcome;
use super::ttl_cache::{CacheValue, Found};
use crate::domain::{CallerIdentity, Grant, Token};
use crate::upstream::{Call, Requester};

/// The caller of a GraphQL request, and how it wants to be answered.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The caller, for limits.
    pub identity: CallerIdentity,
    /// Distinguishes the operations of a caller; set by [`Records::reader`](super::Records::reader).
    pub(crate) operation: u64,
    /// The caller's token, where one came.
    pub token: Option<Token>,
    /// What the caller may see and do.
    pub grant: Arc<Grant>,
    /// `X-Request-Id`, sent upstream with every call made for this request.
    pub request_id: Arc<str>,
    /// Read from the upstream even what is fresh: request header `Cache-Control: no-cache`.
    pub no_cache: bool,
    /// Read from the upstream what is older than this: request header `Cache-Control: max-age=…`.
    pub max_age: Option<Duration>,
}

impl RequestContext {
    /// The upstream calls of this request.
    pub(crate) fn call(&self) -> Call {
        let request_id = Arc::clone(&self.request_id);
        let token = self.token.clone();
        let requester = Requester { caller: self.identity.limit_key(), operation: self.operation };
        Call { requester, token, request_id, waited: Duration::ZERO }
    }

    /// The outcome of a load: `is_leader` where this request started it.
    pub(crate) fn outcome(&self, is_leader: bool, was_cached: bool) -> CacheOutcome {
        match (is_leader, self.no_cache, was_cached) {
            (false, ..) => CacheOutcome::Collapsed,
            (true, true, _) => CacheOutcome::Bypass,
            (true, false, true) => CacheOutcome::Expired,
            (true, false, false) => CacheOutcome::Miss,
        }
    }

    /// Whether a cached value may answer this request: it is young enough, and visible to the caller.
    pub(crate) fn accepts<V: CacheValue>(&self, found: &Found<V>) -> bool {
        self.accepts_age(found.age) && found.entry.value.is_visible_to(&self.grant)
    }

    /// Whether a cached value of an age is young enough for this request.
    pub(crate) fn accepts_age(&self, age: Duration) -> bool {
        !self.no_cache && self.max_age.is_none_or(|most| age <= most)
    }
}
