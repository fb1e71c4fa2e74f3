//! Stores records after they were answered.

use std::sync::Arc;
use std::time::Duration;

use redis::{AsyncCommands as _, RedisResult};

use super::super::cached::{RecordEntry, Value};
use super::super::key::{CallerKey, RecordKey};
use super::connection::Connection;
use super::entry::{Generations, Lifetime, encode, first_generation, is_of_purge};
use super::keys::SharedKey;
use super::lease::Lease;
use super::tier::{RedisTier, millis};

/// How long a generation is stored: longer than any entry.
pub(super) const GENERATION_LIFE: Duration = Duration::from_hours(30 * 24);

/// What is stored of a load.
pub(crate) struct Store {
    pub(crate) key: SharedKey,
    pub(crate) entry: Arc<RecordEntry>,
    /// As the lookup before the load returned them.
    pub(crate) generations: Generations,
}

impl RedisTier {
    /// Stores a record in the background. Absences are not stored. The lease is given back afterwards, so
    /// that the replica that gets it next finds the entry.
    pub(crate) fn store(&self, store: Store, lease: Option<Lease>) {
        if store.entry.value.is_absent() {
            return;
        }
        let permit = Arc::clone(&self.0.stores).try_acquire_owned();
        let (Ok(permit), Some(connection)) = (permit, self.0.connection.get()) else {
            self.0.metrics.writes.inc("dropped");
            return;
        };
        let tier = self.clone();
        self.0.tasks.spawn(async move {
            let written = tier.run(tier.write(connection, &store)).await;
            tier.0.metrics.writes.inc(match written {
                Some(true) => "written",
                Some(false) => "dropped",
                None => "failed",
            });
            drop((lease, permit));
        });
    }

    /// Writes an entry, unless it is too old, too large, or was purged since its load began.
    async fn write(&self, mut connection: Connection, store: &Store) -> RedisResult<bool> {
        let Store { key, entry, generations, .. } = store;
        let Value::Record(record) = &entry.value.value else { return Ok(false) };
        let completed = self.complete(&mut connection, &key.record, *generations).await?;
        let Some(generations) = completed else { return Ok(false) };
        let limits = self.0.limits.get();
        let age = self.0.clock.now().saturating_duration_since(entry.fetched);
        let stale_for = limits.stale_if_error.max(limits.stale_while_revalidate);
        let expires_in_ms = millis((entry.value.ttl + stale_for).saturating_sub(age));
        if expires_in_ms == 0 {
            return Ok(false);
        }
        let expires_in = Duration::from_millis(expires_in_ms);
        let lifetime = Lifetime { ttl: entry.value.ttl, age, expires_in };
        let Some(bytes) = encode(record, generations, lifetime) else { return Ok(false) };
        connection.pset_ex::<_, _, ()>(self.0.keys.entry(key), bytes, expires_in_ms).await?;
        Ok(true)
    }

    /// Makes the generations that Redis did not have when the load began: an entry that names none could
    /// count again once Redis has forgotten a purge. `None` where a purge or refusal came in between.
    async fn complete(
        &self,
        connection: &mut Connection,
        key: &RecordKey,
        found: Generations,
    ) -> RedisResult<Option<Generations>> {
        let keys = &self.0.keys;
        let Generations { mut all, mut project, mut caller, record } = found;
        let long = GENERATION_LIFE;
        let mut needed = vec![
            (&mut all, keys.generation_of_all(), long),
            (&mut project, keys.project_generation(&key.project), long),
        ];
        if key.caller != CallerKey::Gateway {
            // There may be many callers.
            let life = 2 * self.longest_life();
            needed.push((&mut caller, keys.caller_generation(&key.caller), life));
        }
        for (generation, name, life) in needed {
            if generation.is_some() {
                continue;
            }
            let new = first_generation()?;
            let mut set = redis::cmd("SET");
            set.arg(&name).arg(new).arg("NX").arg("PX").arg(millis(life));
            *generation = match set.query_async::<Option<String>>(connection).await? {
                Some(_) => Some(new),
                // Another load has made one since, or a purge.
                None => connection.get(name).await?,
            };
            if generation.is_none_or(is_of_purge) {
                return Ok(None);
            }
        }
        Ok(Some(Generations { all, project, record, caller }))
    }
}
