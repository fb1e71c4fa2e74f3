//! Looking a record up in Redis.

use std::sync::Arc;

use redis::{AsyncCommands as _, RedisResult};

use super::super::cached::{CachedRecord, RecordEntry, Value};
use super::super::freshness::ttl_of;
use super::super::key::{CallerKey, RecordKey};
use super::connection::Connection;
use super::entry::{Generation, Generations, decode};
use super::metrics::ReadOutcome;
use super::tier::{RedisTier, TimeBudget};

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
    /// Looks a record up within a time budget. Finds nothing when the time is over.
    pub(crate) async fn look_up(&self, key: &RecordKey, budget: &TimeBudget) -> Lookup {
        let metrics = &self.0.metrics;
        // Redis may still have what a purge that was not delivered yet covers.
        let connection = self.0.connection.get().filter(|_| !self.0.outbox.has_purges());
        let Some(connection) = connection else {
            metrics.count_read(ReadOutcome::Skipped);
            return Lookup::default();
        };
        let Some(response) = self.within(budget, self.request(connection, key)).await else {
            metrics.count_read(ReadOutcome::Failed);
            return Lookup::default();
        };
        let generations = Some(response.generations);
        let entry = self.entry(response);
        metrics.count_read(entry.as_ref().map_or_else(|outcome| *outcome, |_| ReadOutcome::Hit));
        Lookup { entry: entry.ok(), generations }
    }

    async fn request(&self, mut connection: Connection, key: &RecordKey) -> RedisResult<Response> {
        let keys = &self.0.keys;
        let entry = keys.entry(key);
        let of_project = keys.project_generation(&key.project);
        let of_record = keys.record_generation(&key.project, &key.id);
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
        in_project.pttl(&entry).mget(&[entry.as_str(), &of_project, &of_record]);
        let (all, caller, (expires_in_ms, values)) = tokio::try_join!(
            second.get::<_, Option<Vec<u8>>>(keys.generation_of_all()),
            of_caller,
            in_project.query_async::<(i64, [Option<Vec<u8>>; 3])>(&mut connection),
        )?;
        let [bytes, project, record] = values;
        let read = |value: Option<Vec<u8>>| Generation::read(&value?);
        let generations = Generations {
            all: read(all),
            project: read(project),
            record: read(record),
            caller: read(caller),
        };
        // Without its caller's generation an entry could be of a token that was refused.
        let counts = key.caller == CallerKey::Gateway || generations.caller.is_some();
        Ok(Response { bytes: bytes.filter(|_| counts), expires_in_ms, generations })
    }

    /// The entry, or why there is none.
    fn entry(&self, response: Response) -> Result<Arc<RecordEntry>, ReadOutcome> {
        let bytes = response.bytes.ok_or(ReadOutcome::Miss)?;
        let stored = decode(&bytes).ok_or(ReadOutcome::Broken)?;
        if stored.generations != response.generations {
            return Err(ReadOutcome::Purged);
        }
        let age = stored.age(response.expires_in_ms).ok_or(ReadOutcome::Miss)?;
        let fetched = self.0.clock.now().checked_sub(age).ok_or(ReadOutcome::Miss)?;
        let ttl = stored.lifetime.ttl.min(ttl_of(&stored.record, &self.0.limits.load()));
        let value = Value::Record(Arc::new(stored.record));
        Ok(Arc::new(RecordEntry { value: CachedRecord::new(value, 200, ttl), fetched }))
    }
}
