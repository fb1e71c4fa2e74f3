//! Invalidations that Redis has not accepted yet.
//!
//! They are kept however long Redis is away: all purges, where too many of them become one of everything,
//! and refusals up to a number.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::super::invalidation::{Invalidation, Purge};
use super::metrics::RedisMetrics;

const MAX_PURGES: usize = 100;
const MAX_REFUSALS: usize = 1000;
/// The most refusals that are delivered together.
const MAX_BATCH: usize = 64;

/// Undelivered invalidations, oldest first.
pub(super) struct Outbox {
    queue: Mutex<VecDeque<Invalidation>>,
    waiting: watch::Sender<Waiting>,
    metrics: RedisMetrics,
}

#[derive(Default)]
struct Waiting {
    purges: usize,
    all: usize,
}

fn is_purge(invalidation: &Invalidation) -> bool {
    matches!(invalidation, Invalidation::Purge(_))
}

impl Outbox {
    pub(super) fn new(metrics: RedisMetrics) -> Self {
        Self { queue: Mutex::default(), waiting: watch::Sender::default(), metrics }
    }

    pub(super) fn add(&self, invalidation: Invalidation) {
        let mut queue = self.lock();
        let is_purge_added = is_purge(&invalidation);
        let alike = queue.iter().filter(|other| is_purge(other) == is_purge_added).count();
        if is_purge_added && alike >= MAX_PURGES {
            queue.retain(|other| !is_purge(other));
            queue.push_back(Invalidation::Purge(Purge::All));
        } else if !is_purge_added && alike >= MAX_REFUSALS {
            self.metrics.count_write("dropped");
        } else {
            queue.push_back(invalidation);
        }
        self.update(&queue);
    }

    pub(super) fn has_purges(&self) -> bool {
        self.waiting.borrow().purges > 0
    }

    /// Waits until every purge is delivered.
    pub(super) async fn purges_delivered(&self) {
        // The sender lives as long as `self`.
        let _ = self.waiting.subscribe().wait_for(|waiting| waiting.purges == 0).await;
    }

    /// Waits for the invalidations to deliver next: one purge, or a batch of refusals. Purges come first
    /// because nothing is read from Redis before they are delivered.
    pub(super) async fn next(&self) -> Vec<Invalidation> {
        loop {
            let next = self.first();
            if !next.is_empty() {
                return next;
            }
            // The sender lives as long as `self`.
            let _ = self.waiting.subscribe().wait_for(|waiting| waiting.all > 0).await;
        }
    }

    fn first(&self) -> Vec<Invalidation> {
        let queue = self.lock();
        match queue.iter().find(|invalidation| is_purge(invalidation)) {
            Some(purge) => vec![purge.clone()],
            None => queue.iter().take(MAX_BATCH).cloned().collect(),
        }
    }

    pub(super) fn remove(&self, delivered: &Invalidation) {
        let mut queue = self.lock();
        if let Some(index) = queue.iter().position(|waiting| waiting == delivered) {
            queue.remove(index);
        }
        self.update(&queue);
    }

    fn update(&self, queue: &VecDeque<Invalidation>) {
        let purges = queue.iter().filter(|invalidation| is_purge(invalidation)).count();
        self.metrics.undelivered.set(i64::try_from(queue.len()).unwrap_or(i64::MAX));
        self.waiting.send_replace(Waiting { purges, all: queue.len() });
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Invalidation>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ProjectId, RecordId};
    use crate::records::key::{CallerKey, RecordKey};

    fn refusal(number: usize) -> Invalidation {
        Invalidation::Record(RecordKey {
            caller: CallerKey::Gateway,
            project: ProjectId::parse("p").unwrap(),
            id: RecordId::parse(&format!("r{number}")).unwrap(),
        })
    }

    #[test]
    fn a_purge_is_delivered_before_the_refusals_that_came_earlier() {
        let outbox = Outbox::new(RedisMetrics::default());
        (0..MAX_REFUSALS).for_each(|number| outbox.add(refusal(number)));
        let purge = Invalidation::Purge(Purge::All);

        outbox.add(purge.clone());

        assert_eq!(outbox.first(), std::slice::from_ref(&purge));
        outbox.remove(&purge);
        let next = outbox.first();
        assert_eq!((next.len(), &next[0]), (MAX_BATCH, &refusal(0)));
    }

    #[test]
    fn purges_that_are_too_many_become_one_of_everything() {
        let outbox = Outbox::new(RedisMetrics::default());
        for number in 0..=MAX_PURGES {
            let project = ProjectId::parse(&format!("p{number}")).unwrap();
            outbox.add(Invalidation::Purge(Purge::Project(project)));
        }

        assert_eq!(*outbox.lock(), [Invalidation::Purge(Purge::All)]);
    }
}
