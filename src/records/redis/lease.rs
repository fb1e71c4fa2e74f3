//! Leases on loads: replicas that miss the same record at once make one call.
//!
//! A lease is a hint, not a lock. It expires by itself, so a replica that dies delays others by
//! [`LEASE`] at most. A replica that cannot tell whether there is a lease loads.

use std::sync::Arc;
use std::time::Duration;

use redis::AsyncCommands as _;
use tokio::time::{Instant, sleep, timeout};

use super::super::cached::RecordEntry;
use super::keys::SharedKey;
use super::tier::{RedisTier, millis};

/// How long a lease lasts, and the longest wait for one.
const LEASE: Duration = Duration::from_secs(2);
const POLL_EVERY: Duration = Duration::from_millis(20);

/// Held while this replica loads a record.
pub(crate) struct RedisLease {
    tier: Arc<RedisTier>,
    key: SharedKey,
}

/// Which replica loads a record.
pub(crate) enum LeaseOutcome {
    /// This one. Without a lease if Redis did not answer or the wait was too long; else the others wait.
    Load(Option<RedisLease>),
    /// Another one has loaded it.
    LoadedElsewhere(Arc<RecordEntry>),
}

/// Gives the lease back.
impl Drop for RedisLease {
    fn drop(&mut self) {
        let (tier, lease) = (Arc::clone(&self.tier), self.tier.keys.lease(&self.key));
        if let Some(mut connection) = tier.client.get() {
            self.tier.tasks.spawn(async move { tier.run(connection.del::<_, ()>(lease)).await });
        }
    }
}

impl RedisTier {
    /// Takes the lease of a record, or waits for the replica that has it. `is_usable` decides about what
    /// that replica has stored.
    pub(crate) async fn acquire_lease(
        self: &Arc<Self>,
        key: &SharedKey,
        until: Instant,
        is_usable: impl Fn(&Arc<RecordEntry>) -> bool,
    ) -> LeaseOutcome {
        let outcome = timeout(LEASE, self.wait_for_lease(key, until, is_usable)).await;
        match &outcome {
            Ok(LeaseOutcome::Load(Some(_))) => self.metrics.leases.inc("taken"),
            Ok(LeaseOutcome::Load(None)) => {}
            Ok(LeaseOutcome::LoadedElsewhere(_)) => self.metrics.leases.inc("waited"),
            Err(_elapsed) => self.metrics.leases.inc("expired"),
        }
        outcome.unwrap_or(LeaseOutcome::Load(None))
    }

    async fn wait_for_lease(
        self: &Arc<Self>,
        key: &SharedKey,
        mut until: Instant,
        is_usable: impl Fn(&Arc<RecordEntry>) -> bool,
    ) -> LeaseOutcome {
        let mut has_waited = false;
        loop {
            // The lease before the entry: its holder stores the entry before it gives the lease back.
            let is_taken = self.try_lease(key, until).await;
            let lease = is_taken.filter(|is_taken| *is_taken);
            let lease = lease.map(|_| RedisLease { tier: Arc::clone(self), key: key.clone() });
            if has_waited
                && let Some(entry) = self.look_up(key, until).await.entry.filter(&is_usable)
            {
                return LeaseOutcome::LoadedElsewhere(entry);
            }
            if is_taken != Some(false) {
                return LeaseOutcome::Load(lease);
            }
            sleep(POLL_EVERY).await;
            (has_waited, until) = (true, self.time_limit());
        }
    }

    /// Whether this replica has the lease now; `None` if Redis does not answer.
    async fn try_lease(&self, key: &SharedKey, until: Instant) -> Option<bool> {
        let mut connection = self.client.get()?;
        let mut set = redis::cmd("SET");
        set.arg(self.keys.lease(key)).arg("1").arg("NX").arg("PX").arg(millis(LEASE));
        let set = set.query_async::<Option<String>>(&mut connection);
        Some(self.client.run(until, set).await?.is_some())
    }
}
