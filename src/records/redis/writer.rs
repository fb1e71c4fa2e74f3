//! Writes that no answer waits for.

use std::time::Duration;

use futures_util::future::join_all;
use redis::{AsyncCommands as _, RedisResult, SetExpiry, SetOptions};
use tokio::time::timeout;

use super::super::cached::{RecordEntry, Value};
use super::super::key::{CallerKey, RecordKey};
use super::client::RESPONSE_TIMEOUT;
use super::connection::Connection;
use super::entry::{Generation, Generations, Lifetime, encode};
use super::tier::{RedisTier, Write, WriteQueue};

/// The most writes that are sent together.
const MAX_BATCH: usize = 64;
/// How long a generation is stored, in milliseconds: longer than any entry.
pub(super) const GENERATION_LIFE_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// A generation that a write needs and that Redis does not have.
struct MissingGeneration {
    key: String,
    life_ms: u64,
}

impl RedisTier {
    /// Makes the writes that are queued, until the queue is closed and empty.
    pub(super) async fn write(&self, queue: &mut WriteQueue) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while queue.recv_many(&mut batch, MAX_BATCH).await > 0 {
            let Some(connection) = self.0.connection.get() else {
                batch.drain(..).for_each(|_| self.0.metrics.count_write("dropped"));
                continue;
            };
            let make = |write| self.make_write(connection.clone(), write);
            let is_entry = |write: &Write| matches!(write, Write::Store { .. });
            let (entries, leases): (Vec<_>, Vec<_>) = batch.drain(..).partition(is_entry);
            let writes = async {
                // A replica that gets the lease next looks for the entry that was loaded under it.
                join_all(entries.into_iter().map(make)).await;
                join_all(leases.into_iter().map(make)).await;
            };
            if timeout(RESPONSE_TIMEOUT, writes).await.is_err() {
                self.0.connection.note_timeout();
                self.0.metrics.count_write("failed");
            }
        }
    }

    async fn make_write(&self, mut connection: Connection, write: Write) {
        match write {
            Write::Store { key, entry, generations } => {
                let stored = self.make_store(&mut connection, &key, &entry, generations).await;
                self.0.metrics.count_write(match stored {
                    Ok(true) => "written",
                    Ok(false) => "dropped",
                    Err(error) => {
                        self.0.connection.note_error(&error);
                        "failed"
                    }
                });
            }
            Write::ReleaseLease(key) => {
                let deleted = connection.del::<_, ()>(self.0.keys.lease(&key)).await;
                if let Err(error) = deleted {
                    self.0.connection.note_error(&error);
                }
            }
        }
    }

    /// Stores an entry, unless it is too old, too large, or was purged since its load began.
    async fn make_store(
        &self,
        connection: &mut Connection,
        key: &RecordKey,
        entry: &RecordEntry,
        generations: Generations,
    ) -> RedisResult<bool> {
        let Value::Record(record) = &entry.value.value else { return Ok(false) };
        let completed = self.complete_generations(connection, key, generations).await?;
        let Some(generations) = completed else { return Ok(false) };
        let limits = self.0.limits.get();
        let age = self.0.clock.now().saturating_duration_since(entry.fetched);
        let stale_for = limits.stale_if_error.max(limits.stale_while_revalidate);
        let expires_in = (entry.value.ttl + stale_for).saturating_sub(age);
        let expires_in_ms = u64::try_from(expires_in.as_millis()).unwrap_or(u64::MAX);
        if expires_in_ms == 0 {
            return Ok(false);
        }
        let expires_in = Duration::from_millis(expires_in_ms);
        let lifetime = Lifetime { ttl: entry.value.ttl, age, expires_in };
        let Some(bytes) = encode(record, generations, lifetime) else { return Ok(false) };
        let options = SetOptions::default().with_expiration(SetExpiry::PX(expires_in_ms));
        connection.set_options::<_, _, ()>(self.0.keys.entry(key), bytes, options).await?;
        Ok(true)
    }

    /// Makes the generations that Redis did not have when the load began: an entry that names none could
    /// count again once Redis has forgotten a purge. `None` where a purge or refusal came in between.
    async fn complete_generations(
        &self,
        connection: &mut Connection,
        key: &RecordKey,
        found: Generations,
    ) -> RedisResult<Option<Generations>> {
        let keys = &self.0.keys;
        let all = MissingGeneration { key: keys.generation_of_all(), life_ms: GENERATION_LIFE_MS };
        let project = MissingGeneration {
            key: keys.project_generation(&key.project),
            life_ms: GENERATION_LIFE_MS,
        };
        // There may be many callers.
        let caller = MissingGeneration {
            key: keys.caller_generation(&key.caller),
            life_ms: 2 * self.longest_life_ms(),
        };
        let Some(all) = all.complete(connection, found.all).await? else { return Ok(None) };
        let Some(project) = project.complete(connection, found.project).await? else {
            return Ok(None);
        };
        let caller = match key.caller {
            CallerKey::Gateway => None,
            CallerKey::Holder(_) => match caller.complete(connection, found.caller).await? {
                None => return Ok(None),
                made => made,
            },
        };
        Ok(Some(Generations { all: Some(all), project: Some(project), caller, ..found }))
    }
}

impl MissingGeneration {
    /// The generation that was found; else a new one, or one that another load has made since. `None` where
    /// a purge has.
    async fn complete(
        self,
        connection: &mut Connection,
        found: Option<Generation>,
    ) -> RedisResult<Option<Generation>> {
        if found.is_some() {
            return Ok(found);
        }
        let Ok(new) = Generation::first() else { return Ok(None) };
        let mut set = redis::cmd("SET");
        set.arg(&self.key).arg(new.to_text()).arg("NX").arg("PX").arg(self.life_ms);
        if set.query_async::<Option<String>>(connection).await?.is_some() {
            return Ok(Some(new));
        }
        let made: Option<Vec<u8>> = connection.get(self.key).await?;
        let made = made.and_then(|bytes| Generation::read(&bytes));
        Ok(made.filter(|generation| !generation.is_of_purge()))
    }
}
