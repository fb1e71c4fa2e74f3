//! Leases on loads: replicas that miss the same record at once make one call.
//!
//! A lease is a hint, not a lock. It expires by itself, so a replica that dies delays others by
//! [`LEASE`] at most. A replica that cannot tell whether there is a lease loads.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::super::cached::RecordEntry;
use super::super::key::RecordKey;
use super::tier::{RedisTier, TimeBudget, Write};

/// How long a lease lasts, and the longest wait for one.
const LEASE: Duration = Duration::from_millis(LEASE_MS);
const LEASE_MS: u64 = 2000;
const POLL_EVERY: Duration = Duration::from_millis(20);

/// Held while this replica loads a record.
pub(crate) struct Lease {
    tier: RedisTier,
    key: RecordKey,
}

/// Which replica loads a record.
pub(crate) enum LeaseOutcome {
    /// This one, with a lease that keeps the others waiting.
    Acquired(Lease),
    /// This one, without a lease: Redis did not answer, or the wait was too long.
    LoadAnyway,
    /// Another one has loaded it.
    LoadedElsewhere(Arc<RecordEntry>),
}

enum Attempt {
    Acquired(Lease),
    HeldElsewhere,
    NoAnswer,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.tier.queue(Write::ReleaseLease(self.key.clone()));
    }
}

impl RedisTier {
    /// Takes the lease of a record, or waits for the replica that has it. `is_usable` decides about what
    /// that replica has stored.
    pub(crate) async fn acquire_lease(
        &self,
        key: &RecordKey,
        budget: &TimeBudget,
        is_usable: impl Fn(&Arc<RecordEntry>) -> bool,
    ) -> LeaseOutcome {
        let metrics = &self.0.metrics;
        let outcome = match self.try_lease(key, budget).await {
            Attempt::Acquired(lease) => LeaseOutcome::Acquired(lease),
            Attempt::NoAnswer => LeaseOutcome::LoadAnyway,
            Attempt::HeldElsewhere => {
                let Ok(outcome) = timeout(LEASE, self.wait_for_lease(key, is_usable)).await else {
                    metrics.count_lease("expired");
                    return LeaseOutcome::LoadAnyway;
                };
                outcome
            }
        };
        match &outcome {
            LeaseOutcome::Acquired(_) => metrics.count_lease("taken"),
            LeaseOutcome::LoadedElsewhere(_) => metrics.count_lease("waited"),
            LeaseOutcome::LoadAnyway => {}
        }
        outcome
    }

    async fn wait_for_lease(
        &self,
        key: &RecordKey,
        is_usable: impl Fn(&Arc<RecordEntry>) -> bool,
    ) -> LeaseOutcome {
        loop {
            sleep(POLL_EVERY).await;
            let budget = self.time_budget();
            // The lease before the entry: its holder stores the entry before it gives the lease back.
            let attempt = self.try_lease(key, &budget).await;
            if matches!(attempt, Attempt::NoAnswer) {
                return LeaseOutcome::LoadAnyway;
            }
            let stored = self.look_up(key, &budget).await.entry;
            if let Some(entry) = stored.filter(|entry| is_usable(entry)) {
                return LeaseOutcome::LoadedElsewhere(entry);
            }
            if let Attempt::Acquired(lease) = attempt {
                return LeaseOutcome::Acquired(lease);
            }
        }
    }

    async fn try_lease(&self, key: &RecordKey, budget: &TimeBudget) -> Attempt {
        let Some(mut connection) = self.0.connection.get() else { return Attempt::NoAnswer };
        let mut set = redis::cmd("SET");
        set.arg(self.0.keys.lease(key)).arg("1").arg("NX").arg("PX").arg(LEASE_MS);
        match self.within(budget, set.query_async::<Option<String>>(&mut connection)).await {
            Some(Some(_)) => Attempt::Acquired(Lease { tier: self.clone(), key: key.clone() }),
            Some(None) => Attempt::HeldElsewhere,
            None => Attempt::NoAnswer,
        }
    }
}
