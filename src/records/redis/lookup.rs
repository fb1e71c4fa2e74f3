//! Looking a record up in Redis.

use std::sync::Arc;

use redis::{AsyncCommands as _, RedisResult};
use tokio::time::Instant;

use super::super::cached::{CachedRecord, RecordEntry};
use super::super::freshness::ttl_of;
use super::super::key::CallerKey;
use super::connection::Connection;
use super::entry::{Generations, decode};
use super::keys::SharedKey;
use super::tier::RedisTier;

/// What Redis has of a record.
#[derive(Default)]
pub(crate) struct Lookup {
    /// The record and when it was read, however old.
    pub(crate) entry: Option<Arc<RecordEntry>>,
    /// What an entry has to name that is stored by a load that begins now. `None` where Redis did not say.
    pub(crate) generations: Option<Generations>,
}

/// What the commands have returned.
struct Response {
    bytes: Option<Vec<u8>>,
    /// Milliseconds until the entry expires.
    expires_in_ms: i64,
    generations: Generations,
}

impl RedisTier {
    /// Looks a record up. Finds nothing when the time is over.
    pub(crate) async fn look_up(&self, key: &SharedKey, until: Instant) -> Lookup {
        let mut lookup = Lookup::default();
        let outcome = match self.request(key, until).await {
            Ok(response) => {
                lookup.generations = Some(response.generations);
                self.entry(response).map(|entry| lookup.entry = Some(entry))
            }
            Err(outcome) => Err(outcome),
        };
        self.0.metrics.reads.inc(outcome.err().unwrap_or("hit"));
        lookup
    }

    /// What Redis returns, or the outcome if it returns nothing.
    async fn request(&self, key: &SharedKey, until: Instant) -> Result<Response, &'static str> {
        // Redis may still have what a purge that was not delivered yet covers.
        let connection = self.0.connection.get().filter(|_| !self.0.outbox.has_purges());
        let commands = self.commands(connection.ok_or("skipped")?, key);
        self.0.connection.run(until, commands).await.ok_or("failed")
    }

    async fn commands(&self, mut connection: Connection, key: &SharedKey) -> RedisResult<Response> {
        let keys = &self.0.keys;
        let entry = keys.entry(key);
        let SharedKey { record: key, .. } = key;
        let (mut second, mut third) = (connection.clone(), connection.clone());
        let of_caller = async {
            match key.caller {
                CallerKey::Gateway => Ok(None),
                CallerKey::Holder(_) => third.get(keys.caller_generation(&key.caller)).await,
            }
        };
        // The expiry comes first: an entry that is replaced in between looks older than it is, never
        // younger. The keys of one project are in one slot of a cluster.
        let mut in_project = redis::pipe();
        in_project
            .pttl(&entry)
            .get(&entry)
            .get(keys.project_generation(&key.project))
            .get(keys.record_generation(&key.project, &key.id));
        let (all, caller, (expires_in_ms, bytes, project, record)) = tokio::try_join!(
            second.get(keys.generation_of_all()),
            of_caller,
            in_project.query_async::<(i64, Option<Vec<u8>>, _, _)>(&mut connection),
        )?;
        let generations = Generations { all, project, record, caller };
        // Without its caller's generation an entry could be of a token that was refused.
        let counts = key.caller == CallerKey::Gateway || caller.is_some();
        Ok(Response { bytes: bytes.filter(|_| counts), expires_in_ms, generations })
    }

    /// The entry, or the outcome if there is none.
    fn entry(&self, response: Response) -> Result<Arc<RecordEntry>, &'static str> {
        let bytes = response.bytes.ok_or("miss")?;
        let stored = decode(&bytes).ok_or("broken")?;
        if stored.generations != response.generations {
            return Err("purged");
        }
        let age = stored.lifetime.age(response.expires_in_ms).ok_or("miss")?;
        let fetched = self.0.clock.now().checked_sub(age).ok_or("miss")?;
        let ttl = stored.lifetime.ttl.min(ttl_of(&stored.record, &self.0.limits.load()));
        Ok(Arc::new(RecordEntry { value: CachedRecord::shared(stored.record, ttl), fetched }))
    }
}
