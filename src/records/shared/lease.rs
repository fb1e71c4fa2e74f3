//! Whose turn it is to load: replicas that miss the same record at the same time make one call.
//!
//! A lease is a hint, not a lock. It ends by itself after a second, and whoever cannot tell whether
//! there is one, or has waited that long, loads.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::super::cache::Entry;
use super::super::key::RecordKey;
use super::SharedTier;
use super::writer::Work;

/// How long a lease holds, and how long anybody waits for one, in milliseconds.
const LEASE_MS: u64 = 1000;
const POLL: Duration = Duration::from_millis(20);
const MOST_POLLS: u64 = LEASE_MS / 20;

/// Held while this replica loads a record.
pub(crate) struct Lease {
    tier: SharedTier,
    key: RecordKey,
}

/// Whose turn it is.
pub(crate) enum Turn {
    /// This replica's; the lease keeps others waiting.
    Own(Option<Lease>),
    /// Another has loaded the record meanwhile.
    Done(Arc<Entry>),
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.tier.queue(Work::Release(self.key.clone()));
    }
}

impl SharedTier {
    /// Waits for the turn to load a record that was just found missing. `is_good` tells whether what
    /// another replica has left will do.
    pub(crate) async fn turn(&self, key: &RecordKey, is_good: impl Fn(&Entry) -> bool) -> Turn {
        let metrics = &self.0.metrics;
        for polls in 0..MOST_POLLS {
            match self.take_lease(key).await {
                Some(true) => {
                    let lease = Lease { tier: self.clone(), key: key.clone() };
                    // Who held it before may have left the record just now.
                    let left = if polls == 0 { None } else { self.look(key).await.entry };
                    if let Some(entry) = left.filter(|entry| is_good(entry)) {
                        metrics.count_lease("waited");
                        return Turn::Done(entry);
                    }
                    metrics.count_lease("taken");
                    return Turn::Own(Some(lease));
                }
                None => return Turn::Own(None),
                Some(false) => {}
            }
            sleep(POLL).await;
            if let Some(entry) = self.look(key).await.entry.filter(|entry| is_good(entry)) {
                metrics.count_lease("waited");
                return Turn::Done(entry);
            }
        }
        metrics.count_lease("expired");
        Turn::Own(None)
    }

    /// Takes the lease unless another holds it; `None` where that cannot be told.
    async fn take_lease(&self, key: &RecordKey) -> Option<bool> {
        let mut connection = self.0.server.connection()?;
        let mut set = redis::cmd("SET");
        set.arg(self.0.names.lease(key)).arg("1").arg("NX").arg("PX").arg(LEASE_MS);
        let answer = self.within(set.query_async::<Option<String>>(&mut connection)).await?;
        Some(answer.is_some())
    }
}
