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
pub(crate) struct Lease {
    tier: RedisTier,
    key: SharedKey,
}

/// Which replica loads a record.
pub(crate) enum LeaseOutcome {
    /// This one. Without a lease if Redis did not answer or the wait was too long; else the others wait.
    Load(Option<Lease>),
    /// Another one has loaded it.
    LoadedElsewhere(Arc<RecordEntry>),
}

struct HeldElsewhere;

/// Gives the lease back.
impl Drop for Lease {
    fn drop(&mut self) {
        let (tier, lease) = (self.tier.clone(), self.tier.0.keys.lease(&self.key));
        if let Some(mut connection) = tier.0.connection.get() {
            self.tier.0.tasks.spawn(async move { tier.run(connection.del::<_, ()>(lease)).await });
        }
    }
}

impl RedisTier {
    /// Takes the lease of a record, or waits for the replica that has it. `is_usable` decides about what
    /// that replica has stored.
    pub(crate) async fn acquire_lease(
        &self,
        key: &SharedKey,
        until: Instant,
        is_usable: impl Fn(&Arc<RecordEntry>) -> bool,
    ) -> LeaseOutcome {
        let leases = &self.0.metrics.leases;
        let waiting = timeout(LEASE, self.wait_for_lease(key, until, is_usable)).await;
        match &waiting {
            Ok(LeaseOutcome::Load(Some(_))) => leases.inc("taken"),
            Ok(LeaseOutcome::Load(None)) => {}
            Ok(LeaseOutcome::LoadedElsewhere(_)) => leases.inc("waited"),
            Err(_elapsed) => leases.inc("expired"),
        }
        waiting.unwrap_or(LeaseOutcome::Load(None))
    }

    async fn wait_for_lease(
        &self,
        key: &SharedKey,
        until: Instant,
        is_usable: impl Fn(&Arc<RecordEntry>) -> bool,
    ) -> LeaseOutcome {
        let mut attempt = self.try_lease(key, until).await;
        loop {
            match attempt {
                Ok(lease) => return LeaseOutcome::Load(lease),
                Err(HeldElsewhere) => sleep(POLL_EVERY).await,
            }
            let until = self.time_limit();
            // The lease before the entry: its holder stores the entry before it gives the lease back.
            attempt = self.try_lease(key, until).await;
            if let Some(entry) = self.look_up(key, until).await.entry.filter(&is_usable) {
                return LeaseOutcome::LoadedElsewhere(entry);
            }
        }
    }

    /// The lease, or `None` if Redis does not answer.
    async fn try_lease(
        &self,
        key: &SharedKey,
        until: Instant,
    ) -> Result<Option<Lease>, HeldElsewhere> {
        let Some(mut connection) = self.0.connection.get() else { return Ok(None) };
        let mut set = redis::cmd("SET");
        set.arg(self.0.keys.lease(key)).arg("1").arg("NX").arg("PX").arg(millis(LEASE));
        let set = set.query_async::<Option<String>>(&mut connection);
        match self.0.connection.run(until, set).await {
            Some(Some(_)) => Ok(Some(Lease { tier: self.clone(), key: key.clone() })),
            Some(None) => Err(HeldElsewhere),
            None => Ok(None),
        }
    }
}
