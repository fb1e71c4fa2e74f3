//! Invalidations that Redis has not accepted yet, and the messages that replicas send about them.
//!
//! They are kept however long Redis is away: all purges, where too many of them become one of everything,
//! and refusals up to a number.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::timeout;

use super::super::invalidation::{Invalidation, Purge};
use super::metrics::RedisMetrics;

const MAX_PURGES: usize = 100;
const MAX_REFUSALS: usize = 1000;

/// Undelivered invalidations, oldest first.
pub(crate) struct Outbox {
    queue: watch::Sender<VecDeque<Invalidation>>,
    metrics: RedisMetrics,
}

/// A message on the channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Message {
    /// The replica that sends it.
    pub(super) from: u64,
    /// Present in messages about purges.
    pub(super) purge: Option<PurgeLink>,
    pub(super) invalidation: Invalidation,
}

/// A purge in the chain of all purges. Each names the one before, so that a replica notices that it has
/// missed one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PurgeLink {
    /// A random number.
    pub(super) id: u64,
    /// 0 for the first one that Redis knows.
    pub(super) previous: u64,
}

pub(super) fn is_purge(invalidation: &Invalidation) -> bool {
    matches!(invalidation, Invalidation::Purge(_))
}

impl Outbox {
    pub(super) fn new(metrics: RedisMetrics) -> Self {
        Self { queue: watch::Sender::default(), metrics }
    }

    pub(crate) fn add(&self, invalidation: Invalidation) {
        self.change(|queue| {
            let is_purge_added = is_purge(&invalidation);
            let alike = queue.iter().filter(|other| is_purge(other) == is_purge_added).count();
            if is_purge_added && alike >= MAX_PURGES {
                queue.retain(|other| !is_purge(other));
                queue.push_back(Invalidation::Purge(Purge::All));
            } else if !is_purge_added && alike >= MAX_REFUSALS {
                self.metrics.writes.inc("dropped");
            } else {
                queue.push_back(invalidation);
            }
        });
    }

    pub(super) fn has_purges(&self) -> bool {
        self.queue.borrow().iter().any(is_purge)
    }

    /// Whether every purge is delivered within a time.
    pub(crate) async fn delivers_purges(&self, within: Duration) -> bool {
        let mut queue = self.queue.subscribe();
        timeout(within, queue.wait_for(|queue| !queue.iter().any(is_purge))).await.is_ok()
    }

    /// Waits until there is something to deliver.
    pub(super) async fn filled(&self) {
        // The sender lives as long as `self`.
        let _ = self.queue.subscribe().wait_for(|queue| !queue.is_empty()).await;
    }

    /// What to deliver next. Purges come first because nothing is read from Redis before they are
    /// delivered.
    pub(super) fn first(&self) -> Option<Invalidation> {
        let queue = self.queue.borrow();
        queue.iter().find(|waiting| is_purge(waiting)).or(queue.front()).cloned()
    }

    pub(super) fn remove(&self, delivered: &Invalidation) {
        self.change(|queue| {
            if let Some(index) = queue.iter().position(|waiting| waiting == delivered) {
                queue.remove(index);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut VecDeque<Invalidation>)) {
        self.queue.send_modify(|queue| {
            change(queue);
            self.metrics.undelivered.set(i64::try_from(queue.len()).unwrap_or(i64::MAX));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ProjectId, RecordId};
    use crate::records::key::{CallerKey, RecordKey};

    #[test]
    fn a_purge_is_delivered_first_and_too_many_become_one_of_everything() {
        let outbox = Outbox::new(RedisMetrics::default());
        let project = |number| ProjectId::parse(&format!("p{number}")).unwrap();
        let refusal = Invalidation::Record(RecordKey {
            caller: CallerKey::Gateway,
            project: project(0),
            id: RecordId::parse("r").unwrap(),
        });
        outbox.add(refusal.clone());

        for number in 0..=MAX_PURGES {
            outbox.add(Invalidation::Purge(Purge::Project(project(number))));
        }

        let all = Invalidation::Purge(Purge::All);
        assert_eq!(outbox.first(), Some(all.clone()));
        outbox.remove(&all);
        assert_eq!((outbox.first(), outbox.queue.borrow().len()), (Some(refusal), 1));
    }
}
