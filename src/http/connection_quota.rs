//! Limits how many sockets and event streams may be open, for each caller and for all together.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use super::refusal::Refusal;
use crate::domain::LimitKey;
use crate::resizable_semaphore::ResizableSemaphore;

const TOO_MANY: &str = "Too many connections: limits.max_in_flight is reached";

/// Counts open connections. Clones share the counts.
#[derive(Clone)]
pub(crate) struct ConnectionQuota {
    /// Connections of callers who have authenticated.
    authenticated: ResizableSemaphore,
    /// Sockets whose caller has yet to authenticate. Their limit is apart, so that they take no room
    /// from those who have.
    unauthenticated: ResizableSemaphore,
    /// Holds only callers with an open connection.
    by_caller: Arc<Mutex<HashMap<LimitKey, usize>>>,
    /// `limits.max_in_flight`: of all callers who have authenticated, and as many of others.
    total: usize,
    /// `subscriptions.max_connections_per_caller`
    per_caller: usize,
}

/// An open connection of a caller. Dropping it makes room for another.
pub(crate) struct ConnectionPermit {
    quota: ConnectionQuota,
    caller: LimitKey,
    _authenticated: OwnedSemaphorePermit,
}

impl ConnectionQuota {
    pub(crate) fn new(total: usize, per_caller: usize) -> Self {
        Self {
            authenticated: ResizableSemaphore::new(total),
            unauthenticated: ResizableSemaphore::new(total),
            by_caller: Arc::default(),
            total,
            per_caller,
        }
    }

    /// The same counts under other limits. That of all callers changes with [`Self::resize`].
    pub(crate) fn with_limits(&self, total: usize, per_caller: usize) -> Self {
        Self { total, per_caller, ..self.clone() }
    }

    pub(crate) fn resize(&self, tasks: &TaskTracker) {
        self.authenticated.resize(self.total, tasks);
        self.unauthenticated.resize(self.total, tasks);
    }

    /// Counts one connection more of a caller who has authenticated.
    ///
    /// # Errors
    /// 429 where the caller has too many connections, 503 where all callers together have.
    pub(crate) fn acquire(&self, caller: LimitKey) -> Result<ConnectionPermit, Refusal> {
        let authenticated = Arc::clone(&self.authenticated).try_acquire_owned();
        let authenticated = authenticated.map_err(|_| Refusal::unavailable(TOO_MANY))?;
        let limit = self.per_caller;
        let mut by_caller = self.by_caller.lock();
        let count = by_caller.entry(caller).or_default();
        if *count >= limit {
            return Err(Refusal::rate_limited(format!(
                "Too many connections: subscriptions.max_connections_per_caller allows {limit}"
            )));
        }
        *count += 1;
        drop(by_caller);
        Ok(ConnectionPermit { quota: self.clone(), caller, _authenticated: authenticated })
    }

    /// Counts one socket more whose caller has yet to authenticate.
    pub(crate) fn acquire_unauthenticated(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let permit = Arc::clone(&self.unauthenticated).try_acquire_owned();
        permit.map_err(|_| Refusal::unavailable(TOO_MANY))
    }

    /// Whether half of the room for sockets that have yet to authenticate is taken.
    pub(crate) fn is_crowded(&self) -> bool {
        self.unauthenticated.available_permits() <= self.total / 2
    }

    /// How many connections of callers who have authenticated are open.
    pub(crate) fn open(&self) -> usize {
        self.total.saturating_sub(self.authenticated.available_permits())
    }
}

impl ConnectionPermit {
    pub(crate) fn is_of(&self, caller: &LimitKey) -> bool {
        self.caller == *caller
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut by_caller = self.quota.by_caller.lock();
        match by_caller.get_mut(&self.caller) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                by_caller.remove(&self.caller);
            }
        }
    }
}
