//! Whose turn it is to load: replicas that miss the same record at the same time make one call.
//!
//! A lease is a hint, not a lock. It is kept while the load goes on and ends by itself a second after
//! its holder has; whoever cannot tell whether there is one, or has waited long enough, loads.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::super::cache::Entry;
use super::super::key::RecordKey;
use super::writer::Work;
use super::{Patience, SharedTier};

/// How long a lease holds unless it is kept.
pub(super) const LEASE: Duration = Duration::from_secs(1);
/// How long anybody waits for one.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);

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

/// What became of the attempt to take a lease.
enum Taken {
    /// It is this replica's.
    Own(Lease),
    /// It is another's.
    Held,
    /// The tier did not say.
    Unknown,
}

impl Lease {
    /// Keeps the lease while a load goes on, so that a slow upstream is asked once all the same.
    pub(crate) async fn held_while<T>(&self, load: impl Future<Output = T>) -> T {
        let mut load = pin!(load);
        loop {
            match timeout(LEASE / 3, &mut load).await {
                Ok(loaded) => return loaded,
                Err(_elapsed) => self.tier.queue(Work::Extend(self.key.clone())),
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.tier.queue(Work::Release(self.key.clone()));
    }
}

impl SharedTier {
    /// Waits for the turn to load a record that was just found missing. `is_good` tells whether what
    /// another replica has left will do.
    pub(crate) async fn turn(
        &self,
        key: &RecordKey,
        patience: &Patience,
        is_good: impl Fn(&Entry) -> bool,
    ) -> Turn {
        match self.take_lease(key, patience).await {
            Taken::Own(lease) => {
                self.0.metrics.count_lease("taken");
                return Turn::Own(Some(lease));
            }
            Taken::Unknown => return Turn::Own(None),
            Taken::Held => {}
        }
        let waited = timeout(LONGEST_WAIT, self.wait(key, is_good)).await;
        waited.unwrap_or_else(|_elapsed| {
            self.0.metrics.count_lease("expired");
            Turn::Own(None)
        })
    }

    /// Waits for what another replica leaves, or for its lease. A tier that becomes slow meanwhile
    /// ends it.
    async fn wait(&self, key: &RecordKey, is_good: impl Fn(&Entry) -> bool) -> Turn {
        let metrics = &self.0.metrics;
        loop {
            sleep(POLL).await;
            let patience = self.patience();
            // The lease before the entry: who held it may leave the record in between.
            let taken = self.take_lease(key, &patience).await;
            if matches!(taken, Taken::Unknown) {
                return Turn::Own(None);
            }
            let left = self.look(key, &patience).await.entry;
            if let Some(entry) = left.filter(|entry| is_good(entry)) {
                metrics.count_lease("waited");
                return Turn::Done(entry);
            }
            if let Taken::Own(lease) = taken {
                metrics.count_lease("taken");
                return Turn::Own(Some(lease));
            }
        }
    }

    /// Takes the lease unless another holds it.
    async fn take_lease(&self, key: &RecordKey, patience: &Patience) -> Taken {
        let Some(mut connection) = self.0.server.connection() else { return Taken::Unknown };
        let mut set = redis::cmd("SET");
        set.arg(self.0.names.lease(key)).arg("1").arg("NX").arg("PX").arg(millis(LEASE));
        let asked = set.query_async::<Option<String>>(&mut connection);
        match self.within(patience, asked).await {
            Some(Some(_)) => Taken::Own(Lease { tier: self.clone(), key: key.clone() }),
            Some(None) => Taken::Held,
            None => Taken::Unknown,
        }
    }
}

/// As Redis takes it.
pub(super) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
