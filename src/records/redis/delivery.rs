//! Delivers the outbox: changes generations, deletes entries and tells the other replicas.

use std::time::Duration;

use futures_util::future::join_all;
use redis::{AsyncCommands as _, ErrorKind, RedisError, RedisResult};
use tokio::time::{sleep, timeout};

use super::super::invalidation::{Invalidation, Purge};
use super::client::RESPONSE_TIMEOUT;
use super::connection::Connection;
use super::entry::Generation;
use super::message::{Message, PurgeLink};
use super::tier::RedisTier;
use super::writer::GENERATION_LIFE_MS;

/// How long the refusal of a token is stored: longer than a load that began before it. Not longer, because
/// anyone can make up tokens.
const REFUSAL_LIFE_MS: u64 = 60 * 1000;
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// A generation that ends those before it.
struct NewGeneration {
    key: String,
    life_ms: u64,
}

impl RedisTier {
    /// Delivers what is in the outbox, for ever.
    pub(super) async fn deliver(&self) {
        let outbox = &self.0.outbox;
        loop {
            let batch = outbox.next().await;
            let connection = self.0.connection.wait().await;
            let each = batch.iter().map(|invalidation| async {
                let delivered = self.deliver_one(connection.clone(), invalidation).await;
                match &delivered {
                    Ok(()) => outbox.remove(invalidation),
                    Err(error) => self.0.connection.note_error(error),
                }
                delivered.is_ok()
            });
            match timeout(RESPONSE_TIMEOUT, join_all(each)).await {
                Ok(delivered) if delivered.iter().all(|is_delivered| *is_delivered) => {}
                Ok(_) => sleep(RETRY_AFTER).await,
                Err(_elapsed) => self.0.connection.note_timeout(),
            }
        }
    }

    async fn deliver_one(
        &self,
        mut connection: Connection,
        invalidation: &Invalidation,
    ) -> RedisResult<()> {
        let keys = &self.0.keys;
        if let Some(NewGeneration { key, life_ms }) = self.new_generation(invalidation) {
            let generation = Generation::of_purge().map_err(|_| failed("no random number"))?;
            connection.pset_ex::<_, _, ()>(key, generation.to_text(), life_ms).await?;
        }
        if let Invalidation::Record(key) | Invalidation::Absence(key) = invalidation {
            connection.del::<_, ()>(keys.entry(key)).await?;
        }
        let purge = match invalidation {
            Invalidation::Purge(_) => Some(self.link_purge(&mut connection).await?),
            _ => None,
        };
        let message = Message::new(self.0.replica, purge, invalidation);
        let json = serde_json::to_vec(&message).map_err(|_| failed("the message is not JSON"))?;
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(keys.channel()).arg(json);
        publish.query_async(&mut connection).await
    }

    /// The generation that an invalidation changes, by which entries from before it stop counting.
    fn new_generation(&self, invalidation: &Invalidation) -> Option<NewGeneration> {
        let keys = &self.0.keys;
        let (key, life_ms) = match invalidation {
            Invalidation::Purge(Purge::All) => (keys.generation_of_all(), GENERATION_LIFE_MS),
            Invalidation::Purge(Purge::Project(project)) => {
                (keys.project_generation(project), GENERATION_LIFE_MS)
            }
            // There may be many of these. None is needed once every entry from before is gone.
            Invalidation::Purge(Purge::Record(project, id)) => {
                (keys.record_generation(project, id), 2 * self.longest_life_ms())
            }
            Invalidation::Token(caller) => (keys.caller_generation(caller), REFUSAL_LIFE_MS),
            Invalidation::Record(_) | Invalidation::Lists { .. } | Invalidation::Absence(_) => {
                return None;
            }
        };
        Some(NewGeneration { key, life_ms })
    }

    /// Makes a purge the last one; its id and that of the one before.
    async fn link_purge(&self, connection: &mut Connection) -> RedisResult<PurgeLink> {
        let id = getrandom::u64().map_err(|_| failed("no random number"))?;
        let mut set = redis::cmd("SET");
        set.arg(self.0.keys.last_purge()).arg(id).arg("GET");
        let previous = set.query_async::<Option<u64>>(connection).await?;
        Ok(PurgeLink { id, previous: previous.unwrap_or_default() })
    }
}

fn failed(why: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Client, why))
}
