//! Limits how many sockets and event streams may be open, for each caller and for all together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use super::refusal::Refusal;
use crate::domain::LimitKey;
use crate::resizable_semaphore::ResizableSemaphore;

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

/// An open connection. Dropping it makes room for another.
pub(crate) struct ConnectionPermit {
    /// `None` for a socket whose caller has yet to authenticate.
    pub(crate) caller: Option<LimitKey>,
    by_caller: Arc<Mutex<HashMap<LimitKey, usize>>>,
    _permit: OwnedSemaphorePermit,
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

    /// Counts one connection more. Without a caller it is a socket that has yet to authenticate.
    ///
    /// # Errors
    /// 429 where the caller has too many connections, 503 where all together have.
    pub(crate) fn acquire(&self, caller: Option<LimitKey>) -> Result<ConnectionPermit, Refusal> {
        let semaphore = if caller.is_some() { &self.authenticated } else { &self.unauthenticated };
        let permit = Arc::clone(semaphore).try_acquire_owned().map_err(|_| {
            Refusal::unavailable("Too many connections: limits.max_in_flight is reached")
        })?;
        if let Some(caller) = caller {
            let limit = self.per_caller;
            let mut by_caller = self.by_caller.lock();
            let count = by_caller.entry(caller).or_default();
            if *count >= limit {
                return Err(Refusal::rate_limited(format!(
                    "Too many connections: subscriptions.max_connections_per_caller allows {limit}"
                )));
            }
            *count += 1;
        }
        Ok(ConnectionPermit { caller, by_caller: Arc::clone(&self.by_caller), _permit: permit })
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

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let Some(caller) = self.caller else { return };
        if let Entry::Occupied(mut count) = self.by_caller.lock().entry(caller) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}
