//! Delivers the outbox: changes generations, deletes entries and tells the other replicas.

use std::sync::Arc;
use std::time::Duration;

use redis::{AsyncCommands as _, RedisResult};
use tokio::time::sleep;

use super::super::invalidation::{Invalidation, Purge};
use super::connection::RedisConnection;
use super::entries::GENERATION_LIFE;
use super::entry::{purge_generation, random};
use super::keys::SharedKey;
use super::outbox::{Message, PurgeLink, is_purge};
use super::tier::{RedisTier, millis};

/// How long the refusal of a token is stored: longer than a load that began before it. Not longer, because
/// anyone can make up tokens.
const REFUSAL_LIFE: Duration = Duration::from_mins(1);
const RETRY_AFTER: Duration = Duration::from_millis(200);

impl RedisTier {
    /// Delivers what is in the outbox, for ever.
    pub(super) async fn deliver(&self) {
        let outbox = &self.outbox;
        loop {
            outbox.filled().await;
            self.client.opened().await;
            let (Some(invalidation), Some(connection)) = (outbox.first(), self.client.get()) else {
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
        mut connection: RedisConnection,
        invalidation: &Invalidation,
    ) -> RedisResult<()> {
        let keys = &self.keys;
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
            // A project that is nowhere now has no entry that could be read.
            if let Ok(client) = self.upstream.project(&key.project) {
                let key = SharedKey { record: key.clone(), tag: Arc::clone(client.tag()) };
                connection.del::<_, ()>(keys.entry(&key)).await?;
            }
        }
        let mut purge = None;
        if is_purge(invalidation) {
            let id = random()?;
            let mut set = redis::cmd("SET");
            set.arg(keys.last_purge()).arg(id).arg("GET");
            let previous = set.query_async::<Option<u64>>(&mut connection).await?;
            purge = Some(PurgeLink { id, previous: previous.unwrap_or_default() });
        }
        let message = Message { from: self.replica, purge, invalidation: invalidation.clone() };
        // A message is always JSON.
        let json = serde_json::to_vec(&message).unwrap_or_default();
        connection.publish(keys.channel(), json).await
    }
}
