//! Reads and writes the entries of records, and leases their loads.
//!
//! Replicas that miss the same record at once make one call: the one that has the lease. A lease is a hint,
//! not a lock. It expires by itself, so a replica that dies delays others by [`LEASE`] at most. A replica
//! that cannot tell whether there is a lease loads.

use std::sync::Arc;
use std::time::Duration;

use redis::{AsyncCommands as _, RedisResult};
use tokio::time::{Instant, sleep, timeout};

use super::super::cached::{CachedRecord, RecordEntry};
use super::super::freshness::ttl_of;
use super::super::key::{CallerKey, RecordKey};
use super::connection::RedisConnection;
use super::entry::{
    EntryGenerations, EntryTimes, SharedKey, decode, encode, first_generation, is_of_purge,
};
use super::tier::{RedisTier, millis};

/// How long a generation is stored: longer than any entry.
pub(super) const GENERATION_LIFE: Duration = Duration::from_hours(30 * 24);
/// How long a lease lasts, and the longest wait for one.
const LEASE: Duration = Duration::from_secs(2);
const POLL_EVERY: Duration = Duration::from_millis(20);

/// What Redis has of a record.
pub(crate) struct Lookup {
    /// The record and when it was read, however old; else the outcome of the read.
    pub(crate) entry: Result<Arc<RecordEntry>, &'static str>,
    /// What an entry has to name that is stored by a load that begins now. `None` where Redis did not say.
    pub(crate) generations: Option<EntryGenerations>,
}

/// Held while this replica loads a record.
pub(crate) struct RedisLease {
    tier: Arc<RedisTier>,
    key: SharedKey,
}

/// Which replica loads a record.
pub(crate) enum LeaseOutcome {
    /// This one. Without a lease if Redis did not answer or the wait was too long; else the others wait.
    Load(Option<RedisLease>),
    /// Another one has loaded it.
    LoadedElsewhere(Arc<RecordEntry>),
}

/// Gives the lease back.
impl Drop for RedisLease {
    fn drop(&mut self) {
        let (tier, lease) = (Arc::clone(&self.tier), self.tier.keys.lease(&self.key));
        if let Some(mut connection) = tier.client.get() {
            self.tier.tasks.spawn(async move { tier.run(connection.del::<_, ()>(lease)).await });
        }
    }
}

impl RedisTier {
    /// Looks a record up. Finds nothing when the time is over.
    pub(crate) async fn look_up(&self, key: &SharedKey, until: Instant) -> Lookup {
        let nothing = |outcome| Lookup { entry: Err(outcome), generations: None };
        // Redis may still have what a purge that was not delivered yet covers.
        let found = match self.client.get().filter(|_| !self.outbox.has_purges()) {
            Some(connection) => {
                let found = self.client.run(until, self.read(connection, key)).await;
                found.unwrap_or_else(|| nothing("failed"))
            }
            None => nothing("skipped"),
        };
        self.metrics.shared_reads.inc(found.entry.as_ref().err().unwrap_or(&"hit"));
        found
    }

    async fn read(&self, mut connection: RedisConnection, key: &SharedKey) -> RedisResult<Lookup> {
        let keys = &self.keys;
        let entry = keys.entry(key);
        let RecordKey { caller, project, id } = &key.record;
        let (mut second, mut third) = (connection.clone(), connection.clone());
        let of_caller = async {
            match caller {
                CallerKey::Gateway => Ok(None),
                CallerKey::Holder(_) => third.get(keys.caller_generation(caller)).await,
            }
        };
        // The expiry comes first: an entry that is replaced in between looks older than it is, never
        // younger. The keys of one project are in one slot of a cluster.
        let mut in_project = redis::pipe();
        in_project
            .pttl(&entry)
            .get(&entry)
            .get(keys.project_generation(project))
            .get(keys.record_generation(project, id));
        let (all, of_caller, (expires_in_ms, bytes, project, record)) = tokio::try_join!(
            second.get(keys.generation_of_all()),
            of_caller,
            in_project.query_async::<(i64, Option<Vec<u8>>, _, _)>(&mut connection),
        )?;
        let generations = EntryGenerations { all, project, record, caller: of_caller };
        // Without its caller's generation an entry could be of a token that was refused.
        let counts = *caller == CallerKey::Gateway || of_caller.is_some();
        let bytes = bytes.filter(|_| counts).ok_or("miss");
        let entry = bytes.and_then(|bytes| self.entry(&bytes, expires_in_ms, generations));
        Ok(Lookup { entry, generations: Some(generations) })
    }

    /// The entry that bytes hold, or the outcome of the read if there is none.
    fn entry(
        &self,
        bytes: &[u8],
        expires_in_ms: i64,
        generations: EntryGenerations,
    ) -> Result<Arc<RecordEntry>, &'static str> {
        let stored = decode(bytes).ok_or("broken")?;
        if stored.generations != generations {
            return Err("purged");
        }
        let age = stored.lifetime.age(expires_in_ms).ok_or("miss")?;
        let fetched = self.clock.now().checked_sub(age).ok_or("miss")?;
        let ttl = stored.lifetime.ttl.min(ttl_of(&stored.record, &self.limits.load()));
        Ok(RecordEntry::new(CachedRecord::shared(stored.record, ttl), fetched))
    }

    /// Stores a record in the background, with the generations that were found before its load. The lease is
    /// given back afterwards, so that the replica that gets it next finds the entry. Absences are not stored.
    pub(crate) fn store(
        self: &Arc<Self>,
        key: SharedKey,
        entry: Arc<RecordEntry>,
        generations: EntryGenerations,
        lease: Option<RedisLease>,
    ) {
        if entry.value.record.is_err() {
            return;
        }
        let permit = Arc::clone(&self.stores).try_acquire_owned();
        let (Ok(permit), Some(connection)) = (permit, self.client.get()) else {
            self.metrics.shared_writes.inc("dropped");
            return;
        };
        let tier = Arc::clone(self);
        self.tasks.spawn(async move {
            let written = tier.run(tier.write(connection, &key, &entry, generations)).await;
            tier.metrics.shared_writes.inc(match written {
                Some(true) => "written",
                Some(false) => "dropped",
                None => "failed",
            });
            drop((lease, permit));
        });
    }

    /// Writes an entry, unless it is too old, too large, or was purged since its load began.
    async fn write(
        &self,
        mut connection: RedisConnection,
        key: &SharedKey,
        entry: &RecordEntry,
        found: EntryGenerations,
    ) -> RedisResult<bool> {
        let Ok(record) = &entry.value.record else { return Ok(false) };
        let completed = self.complete(&mut connection, &key.record, found).await?;
        let Some(generations) = completed else { return Ok(false) };
        let (limits, ttl) = (self.limits.get(), entry.value.ttl);
        let age = self.clock.now().saturating_duration_since(entry.fetched);
        let stale_for = limits.stale_if_error.max(limits.stale_while_revalidate);
        let expires_in_ms = millis((ttl + stale_for).saturating_sub(age));
        let lifetime = EntryTimes { ttl, age, expires_in: Duration::from_millis(expires_in_ms) };
        match encode(record, generations, lifetime) {
            Some(bytes) if expires_in_ms > 0 => {
                connection.pset_ex::<_, _, ()>(self.keys.entry(key), bytes, expires_in_ms).await?;
                Ok(true)
            }
            Some(_) | None => Ok(false),
        }
    }

    /// Makes the generations that Redis did not have when the load began: an entry that names none could
    /// count again once Redis has forgotten a purge. `None` where a purge or refusal came in between.
    async fn complete(
        &self,
        connection: &mut RedisConnection,
        key: &RecordKey,
        found: EntryGenerations,
    ) -> RedisResult<Option<EntryGenerations>> {
        let keys = &self.keys;
        let EntryGenerations { mut all, mut project, mut caller, record } = found;
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
        Ok(Some(EntryGenerations { all, project, record, caller }))
    }

    /// Takes the lease of a record, or waits for the replica that has it. `is_usable` decides about what
    /// that replica has stored.
    pub(crate) async fn acquire_lease(
        self: &Arc<Self>,
        key: &SharedKey,
        until: Instant,
        is_usable: impl Fn(&Arc<RecordEntry>) -> bool,
    ) -> LeaseOutcome {
        let outcome = timeout(LEASE, self.wait_for_lease(key, until, is_usable)).await;
        match &outcome {
            Ok(LeaseOutcome::Load(Some(_))) => self.metrics.shared_leases.inc("taken"),
            Ok(LeaseOutcome::Load(None)) => {}
            Ok(LeaseOutcome::LoadedElsewhere(_)) => self.metrics.shared_leases.inc("waited"),
            Err(_elapsed) => self.metrics.shared_leases.inc("expired"),
        }
        outcome.unwrap_or(LeaseOutcome::Load(None))
    }

    async fn wait_for_lease(
        self: &Arc<Self>,
        key: &SharedKey,
        mut until: Instant,
        is_usable: impl Fn(&Arc<RecordEntry>) -> bool,
    ) -> LeaseOutcome {
        let mut has_waited = false;
        loop {
            // The lease before the entry: its holder stores the entry before it gives the lease back.
            let is_taken = self.try_lease(key, until).await;
            let lease = is_taken.filter(|is_taken| *is_taken);
            let lease = lease.map(|_| RedisLease { tier: Arc::clone(self), key: key.clone() });
            if has_waited
                && let Some(entry) = self.look_up(key, until).await.entry.ok().filter(&is_usable)
            {
                return LeaseOutcome::LoadedElsewhere(entry);
            }
            if is_taken != Some(false) {
                return LeaseOutcome::Load(lease);
            }
            sleep(POLL_EVERY).await;
            (has_waited, until) = (true, self.time_limit());
        }
    }

    /// Whether this replica has the lease now; `None` if Redis does not answer.
    async fn try_lease(&self, key: &SharedKey, until: Instant) -> Option<bool> {
        let mut connection = self.client.get()?;
        let mut set = redis::cmd("SET");
        set.arg(self.keys.lease(key)).arg("1").arg("NX").arg("PX").arg(millis(LEASE));
        let set = set.query_async::<Option<String>>(&mut connection);
        Some(self.client.run(until, set).await?.is_some())
    }
}
