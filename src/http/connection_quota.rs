//! Limits how many sockets and event streams one caller may have open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::LimitKey;

/// Counts the open connections of every caller. Clones share the counts.
#[derive(Clone)]
pub(crate) struct ConnectionQuota {
    /// Holds only callers with an open connection.
    open: Arc<Mutex<HashMap<LimitKey, usize>>>,
    limit: usize,
}

/// One open connection of a caller. Dropping it gives it back.
pub(crate) struct ConnectionPermit {
    quota: ConnectionQuota,
    caller: LimitKey,
}

impl ConnectionQuota {
    pub(crate) fn new(limit: usize) -> Self {
        Self { open: Arc::default(), limit }
    }

    /// The same counts under another limit.
    pub(crate) fn with_limit(&self, limit: usize) -> Self {
        Self { open: Arc::clone(&self.open), limit }
    }

    /// Counts one connection more, unless the caller is at the limit.
    pub(crate) fn acquire(&self, caller: LimitKey) -> Option<ConnectionPermit> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&caller).copied().unwrap_or_default();
        if count >= self.limit {
            return None;
        }
        open.insert(caller, count + 1);
        Some(ConnectionPermit { quota: self.clone(), caller })
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.quota.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.caller) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                open.remove(&self.caller);
            }
        }
    }
}

/// Tells a caller that it is at the limit.
pub(crate) fn message(limit: usize) -> String {
    format!("Too many connections: subscriptions.max_connections_per_caller allows {limit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_that_is_dropped_can_be_acquired_again_and_no_caller_is_remembered() {
        let quota = ConnectionQuota::new(2);
        let [one, other] = [1, 2].map(|byte| move || LimitKey::Name([byte; 32]));

        let mut permits = vec![quota.acquire(one()), quota.acquire(one())];
        let third = quota.acquire(one()).is_some();
        let of_the_other = quota.acquire(other()).is_some();
        permits.pop();
        let again = quota.acquire(one()).is_some();

        assert_eq!((third, of_the_other, again), (false, true, true));
        drop(permits);
        assert!(quota.open.lock().unwrap().is_empty());
    }
}
