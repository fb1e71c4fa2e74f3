//! Writes to the shared tier behind the answers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{AsyncCommands as _, RedisResult, SetOptions};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::cache::{Entry, Value};
use super::super::key::{CallerKey, RecordKey};
use super::SharedTier;
use super::entry::{self, Stamp, Stamps};
use super::lease::{LEASE, millis};
use super::connection::{ANSWER_WITHIN, Connection};

/// Writes that go out together.
const MOST_AT_ONCE: usize = 64;
/// How long the name of a purge is remembered, in milliseconds: longer than any entry lives.
pub(super) const STAMP_LIFE_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// Something to write.
pub(super) enum Work {
    /// A record that was read from the upstream.
    Keep { key: RecordKey, entry: Arc<Entry>, stamps: Stamps },
    /// The load of a record still goes on.
    Extend(RecordKey),
    /// The lease of a record is not needed any more.
    Release(RecordKey),
}

impl SharedTier {
    /// Writes what is queued, until nothing can be queued any more.
    pub(super) async fn write(&self, queue: &mut mpsc::Receiver<Work>) {
        let mut together = Vec::with_capacity(MOST_AT_ONCE);
        while queue.recv_many(&mut together, MOST_AT_ONCE).await > 0 {
            let Some(connection) = self.0.server.connection() else {
                together.drain(..).for_each(|_| self.0.metrics.count_write("dropped"));
                continue;
            };
            let write = |work| self.write_one(connection.clone(), work);
            let is_entry = |work: &Work| matches!(work, Work::Keep { .. });
            let (entries, leases): (Vec<_>, Vec<_>) = together.drain(..).partition(is_entry);
            let writes = async {
                // The replica that gets a lease next looks for the entry that was loaded under it.
                join_all(entries.into_iter().map(write)).await;
                join_all(leases.into_iter().map(write)).await;
            };
            if timeout(ANSWER_WITHIN, writes).await.is_err() {
                self.0.server.is_slow();
                self.0.metrics.count_write("failed");
            }
        }
    }

    async fn write_one(&self, mut connection: Connection, work: Work) {
        let outcome = match work {
            Work::Keep { key, entry, stamps } => {
                self.store(&mut connection, &key, &entry, stamps).await
            }
            Work::Extend(key) => {
                let lease = self.0.names.lease(&key);
                return self.heed(connection.pexpire::<_, ()>(lease, millis(LEASE)).await);
            }
            Work::Release(key) => {
                let lease = self.0.names.lease(&key);
                return self.heed(connection.del::<_, ()>(lease).await);
            }
        };
        self.0.metrics.count_write(match outcome {
            Ok(true) => "written",
            Ok(false) => "dropped",
            Err(error) => {
                self.0.server.note(&error);
                "failed"
            }
        });
    }

    fn heed(&self, outcome: RedisResult<()>) {
        if let Err(error) = outcome {
            self.0.server.note(&error);
        }
    }

    /// Writes an entry; whether it was worth it.
    async fn store(
        &self,
        connection: &mut Connection,
        key: &RecordKey,
        entry: &Entry,
        stamps: Stamps,
    ) -> RedisResult<bool> {
        let (names, limits) = (&self.0.names, self.0.limits.get());
        let Value::Record(record) = &entry.value else { return Ok(false) };
        let Some(stamps) = self.named(connection, key, stamps).await? else { return Ok(false) };
        let age = self.0.clock.now().saturating_duration_since(entry.fetched());
        let use_after = limits.stale_if_error.max(limits.stale_while_revalidate);
        let life = (entry.ttl() + use_after).saturating_sub(age);
        let life_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
        if life_ms == 0 {
            return Ok(false);
        }
        let life = Duration::from_millis(life_ms);
        let Some(bytes) = entry::encode(record, stamps, [entry.ttl(), age, life]) else {
            return Ok(false);
        };
        let options = SetOptions::default().with_expiration(redis::SetExpiry::PX(life_ms));
        connection.set_options::<_, _, ()>(names.entry(key), bytes, options).await?;
        Ok(true)
    }

    /// Gives names to the last purges of the project and of all, and to the last refusal of the caller,
    /// where they have none: an entry must not rest on the absence of a name that may be forgotten. `None`
    /// where a purge or a refusal came in between.
    async fn named(
        &self,
        connection: &mut Connection,
        key: &RecordKey,
        mut stamps: Stamps,
    ) -> RedisResult<Option<Stamps>> {
        let names = &self.0.names;
        if stamps.all.is_none() {
            stamps.all = name(connection, names.purge_of_all(), STAMP_LIFE_MS).await?;
        }
        if stamps.project.is_none() {
            stamps.project =
                name(connection, names.project_purge(&key.project), STAMP_LIFE_MS).await?;
        }
        let has_token = key.caller != CallerKey::Gateway;
        if has_token && stamps.caller.is_none() {
            // There may be many of these.
            let life_ms = 2 * self.longest_life_ms();
            stamps.caller = name(connection, names.caller(&key.caller), life_ms).await?;
        }
        let is_named = stamps.all.is_some()
            && stamps.project.is_some()
            && (stamps.caller.is_some() || !has_token);
        Ok(is_named.then_some(stamps))
    }
}

/// The name where none was found: a new one, or what another load has set since; `None` where a purge
/// has.
async fn name(
    connection: &mut Connection,
    key: String,
    life_ms: u64,
) -> RedisResult<Option<Stamp>> {
    let Ok(stamp) = Stamp::of_none() else { return Ok(None) };
    let mut set = redis::cmd("SET");
    set.arg(&key).arg(stamp.to_text()).arg("NX").arg("PX").arg(life_ms);
    if set.query_async::<Option<String>>(connection).await?.is_some() {
        return Ok(Some(stamp));
    }
    let set_since: Option<Vec<u8>> = connection.get(key).await?;
    Ok(set_since.and_then(|bytes| Stamp::read(&bytes)).filter(|stamp| !stamp.is_of_purge()))
}
