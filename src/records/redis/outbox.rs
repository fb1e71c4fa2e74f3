//! Invalidations that Redis has not accepted yet, and their delivery: it changes generations, deletes
//! entries and tells the other replicas.
//!
//! They are kept however long Redis is away: all purges, where too many of them become one of everything,
//! and refusals up to a number.

use std::collections::VecDeque;
use std::time::Duration;

use redis::{AsyncCommands as _, ErrorKind, RedisError, RedisResult};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::sleep;

use super::super::invalidation::{Invalidation, Purge};
use super::connection::Connection;
use super::entry::{purge_generation, random};
use super::metrics::RedisMetrics;
use super::store::GENERATION_LIFE;
use super::tier::{RedisTier, millis};

const MAX_PURGES: usize = 100;
const MAX_REFUSALS: usize = 1000;
/// How long the refusal of a token is stored: longer than a load that began before it. Not longer, because
/// anyone can make up tokens.
const REFUSAL_LIFE: Duration = Duration::from_mins(1);
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Undelivered invalidations, oldest first.
pub(super) struct Outbox {
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

fn is_purge(invalidation: &Invalidation) -> bool {
    matches!(invalidation, Invalidation::Purge(_))
}

impl Outbox {
    pub(super) fn new(metrics: RedisMetrics) -> Self {
        Self { queue: watch::Sender::default(), metrics }
    }

    pub(super) fn add(&self, invalidation: Invalidation) {
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

    /// Waits until every purge is delivered.
    pub(super) async fn purges_delivered(&self) {
        // The sender lives as long as `self`.
        let _ = self.queue.subscribe().wait_for(|queue| !queue.iter().any(is_purge)).await;
    }

    /// Waits until there is something to deliver.
    async fn filled(&self) {
        // The sender lives as long as `self`.
        let _ = self.queue.subscribe().wait_for(|queue| !queue.is_empty()).await;
    }

    /// What to deliver next. Purges come first because nothing is read from Redis before they are
    /// delivered.
    fn first(&self) -> Option<Invalidation> {
        let queue = self.queue.borrow();
        queue.iter().find(|waiting| is_purge(waiting)).or(queue.front()).cloned()
    }

    fn remove(&self, delivered: &Invalidation) {
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

impl RedisTier {
    /// Delivers what is in the outbox, for ever.
    pub(super) async fn deliver(&self) {
        let outbox = &self.0.outbox;
        loop {
            outbox.filled().await;
            self.0.connection.opened().await;
            let (Some(invalidation), Some(connection)) = (outbox.first(), self.0.connection.get())
            else {
                continue;
            };
            match self.run(self.deliver_one(connection, &invalidation)).await {
                Some(()) => outbox.remove(&invalidation),
                None => sleep(RETRY_AFTER).await,
            }
        }
    }

    async fn deliver_one(
        &self,
        mut connection: Connection,
        invalidation: &Invalidation,
    ) -> RedisResult<()> {
        let keys = &self.0.keys;
        let long = GENERATION_LIFE;
        // Entries from before a changed generation do not count.
        let changed = match invalidation {
            Invalidation::Purge(Purge::All) => Some((keys.generation_of_all(), long)),
            Invalidation::Purge(Purge::Project(project)) => {
                Some((keys.project_generation(project), long))
            }
            // There may be many of these. None is needed once every entry from before is gone.
            Invalidation::Purge(Purge::Record(project, id)) => {
                Some((keys.record_generation(project, id), 2 * self.longest_life()))
            }
            Invalidation::Token(caller) => Some((keys.caller_generation(caller), REFUSAL_LIFE)),
            Invalidation::Record(_) | Invalidation::Lists { .. } | Invalidation::Absence(_) => None,
        };
        if let Some((name, life)) = changed {
            connection.pset_ex::<_, _, ()>(name, purge_generation()?, millis(life)).await?;
        }
        if let Invalidation::Record(key) | Invalidation::Absence(key) = invalidation {
            connection.del::<_, ()>(keys.entry(key)).await?;
        }
        let mut purge = None;
        if is_purge(invalidation) {
            let id = random()?;
            let mut set = redis::cmd("SET");
            set.arg(keys.last_purge()).arg(id).arg("GET");
            let previous = set.query_async::<Option<u64>>(&mut connection).await?;
            purge = Some(PurgeLink { id, previous: previous.unwrap_or_default() });
        }
        let message = Message { from: self.0.replica, purge, invalidation: invalidation.clone() };
        let json = serde_json::to_vec(&message).map_err(|_| failed("the message is not JSON"))?;
        connection.publish(keys.channel(), json).await
    }
}

fn failed(why: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Client, why))
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
