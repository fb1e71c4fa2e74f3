//! What the replicas that share a cache tell each other, and what each makes of it.

use super::key::RecordKey;
use super::loader::Records;
use super::purge::Purge;
use super::invalidation::Removal;
use super::redis::{Heard, News, SharedTier, Tasks};

impl Records {
    /// Keeps the shared tier going until the process ends.
    pub(crate) fn attend(&self, tier: SharedTier, tasks: Tasks) {
        let records = self.downgrade();
        let ended = self.ended().clone();
        self.tasks().spawn(async move {
            let hear = |heard: Heard| {
                if let Some(records) = records.upgrade() {
                    records.hear(&heard);
                }
            };
            tier.run(tasks, hear, ended).await;
        });
    }

    /// Brings what this replica keeps in line with what another has told.
    fn hear(&self, heard: &Heard) {
        let shared = &self.metrics().shared;
        match heard {
            Heard::News(News::Purged(purge)) => {
                shared.count_news("purge");
                self.remove(&Removal::Purge(purge.clone()));
            }
            Heard::News(News::Revoked(revocation)) => {
                shared.count_news("refusal");
                self.remove(&Removal::Revocation(revocation.clone()));
            }
            Heard::News(News::Absent { caller, project, id }) => {
                shared.count_news("absence");
                let (project, id) = (project.clone(), id.clone());
                self.drop_refused(&RecordKey { caller: *caller, project, id });
            }
            Heard::Missed => {
                shared.count_news("missed");
                tracing::warn!("purges of other replicas were missed: the cache was emptied");
                self.remove(&Removal::Purge(Purge::All));
            }
        }
    }
}
