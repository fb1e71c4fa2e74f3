//! News that the tier, and through it the other replicas, have still to get.
//!
//! Kept until they have arrived, however long the tier is away: refusals up to a number, purges
//! always, where too many of them become one of all.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use redis::{AsyncCommands as _, RedisError, RedisResult};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::super::key::RecordKey;
use super::super::purge::Purge;
use super::super::invalidation::{Refused, Revocation};
use super::SharedTier;
use super::entry::Stamp;
use super::metrics::SharedMetrics;
use super::message::{Message, News, Told};
use super::connection::{ANSWER_WITHIN, Connection};
use super::writer::STAMP_LIFE_MS;

const MOST_PURGES: usize = 100;
const MOST_REFUSALS: usize = 1000;
/// News that go out together.
const MOST_AT_ONCE: usize = 64;
/// How long the refusal of a token is remembered: longer than a load takes that began before it. Short,
/// because anyone can make tokens up.
const REFUSAL_LIFE_MS: u64 = 60 * 1000;
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// What has still to be told, oldest first.
pub(super) struct Owed {
    queue: Mutex<VecDeque<News>>,
    /// How many wait, purges and all.
    waiting: watch::Sender<(usize, usize)>,
}

impl Default for Owed {
    fn default() -> Self {
        Self { queue: Mutex::default(), waiting: watch::Sender::new((0, 0)) }
    }
}

fn is_purge(news: &News) -> bool {
    matches!(news, News::Purged(_))
}

impl Owed {
    pub(super) fn add(&self, news: News, metrics: &SharedMetrics) {
        let mut queue = self.lock();
        let alike = queue.iter().filter(|other| is_purge(other) == is_purge(&news)).count();
        if is_purge(&news) && alike >= MOST_PURGES {
            queue.retain(|other| !is_purge(other));
            queue.push_back(News::Purged(Purge::All));
        } else if !is_purge(&news) && alike >= MOST_REFUSALS {
            metrics.count_write("dropped");
        } else {
            queue.push_back(news);
        }
        self.show(&queue, metrics);
    }

    pub(super) fn has_purges(&self) -> bool {
        self.waiting.borrow().0 > 0
    }

    /// Waits until every purge has arrived.
    pub(super) async fn paid(&self) {
        // The sender lives as long as this.
        let _ = self.waiting.subscribe().wait_for(|(purges, _)| *purges == 0).await;
    }

    /// What is told next, together: a purge before all else, since nothing is read until it has
    /// arrived and others must hear of it within a second.
    async fn next(&self) -> Vec<News> {
        loop {
            let next = self.first();
            if !next.is_empty() {
                return next;
            }
            // The sender lives as long as this.
            let _ = self.waiting.subscribe().wait_for(|(_, all)| *all > 0).await;
        }
    }

    fn first(&self) -> Vec<News> {
        let queue = self.lock();
        match queue.iter().find(|news| is_purge(news)) {
            Some(purge) => vec![purge.clone()],
            None => queue.iter().take(MOST_AT_ONCE).cloned().collect(),
        }
    }

    fn done(&self, news: &News, metrics: &SharedMetrics) {
        let mut queue = self.lock();
        if let Some(place) = queue.iter().position(|other| other == news) {
            queue.remove(place);
        }
        self.show(&queue, metrics);
    }

    fn show(&self, queue: &VecDeque<News>, metrics: &SharedMetrics) {
        let purges = queue.iter().filter(|news| is_purge(news)).count();
        metrics.owed.set(i64::try_from(queue.len()).unwrap_or(i64::MAX));
        self.waiting.send_replace((purges, queue.len()));
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<News>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedTier {
    /// Delivers what is owed, for ever.
    pub(super) async fn pay(&self, own: u64) {
        let owed = &self.0.owed;
        loop {
            let next = owed.next().await;
            let connection = self.0.server.connected().await;
            let each = next.iter().map(|news| self.pay_one(connection.clone(), own, news));
            match timeout(ANSWER_WITHIN, join_all(each)).await {
                Ok(paid) if paid.iter().all(|paid| *paid) => {}
                Ok(_) => sleep(RETRY_AFTER).await,
                Err(_elapsed) => self.0.server.is_slow(),
            }
        }
    }

    /// Delivers one piece of news; whether it has arrived.
    async fn pay_one(&self, connection: Connection, own: u64, news: &News) -> bool {
        let delivered = self.deliver(connection, own, news).await;
        match &delivered {
            Ok(()) => self.0.owed.done(news, &self.0.metrics),
            Err(error) => self.0.server.note(error),
        }
        delivered.is_ok()
    }

    async fn deliver(&self, mut connection: Connection, own: u64, news: &News) -> RedisResult<()> {
        let names = &self.0.names;
        let purges = match news {
            News::Purged(purge) => {
                self.stamp(&mut connection, purge).await?;
                Some(connection.incr::<_, _, u64>(names.purge_count(), 1).await?)
            }
            News::Absent { caller, project, id } => {
                let (project, id) = (project.clone(), id.clone());
                let key = RecordKey { caller: *caller, project, id };
                connection.del::<_, ()>(names.entry(&key)).await?;
                None
            }
            News::Revoked(revocation) => {
                self.drop_revoked(&mut connection, revocation).await?;
                None
            }
        };
        self.tell(&mut connection, &Message { from: own, purges, told: Some(Told::of(news)) }).await
    }

    /// Drops the entries that a caller may not see any more.
    async fn drop_revoked(
        &self,
        connection: &mut Connection,
        revocation: &Revocation,
    ) -> RedisResult<()> {
        let names = &self.0.names;
        if let Some(key) = revocation.record() {
            connection.del::<_, ()>(names.entry(&key)).await?;
        }
        if revocation.of == Refused::Token {
            let refusal = Stamp::of_purge().map_err(|_| failed("there is no random number"))?;
            let name = names.caller(&revocation.caller);
            connection.pset_ex::<_, _, ()>(name, refusal.to_text(), REFUSAL_LIFE_MS).await?;
        }
        Ok(())
    }

    pub(super) async fn tell(
        &self,
        connection: &mut Connection,
        message: &Message,
    ) -> RedisResult<()> {
        let json =
            serde_json::to_vec(message).map_err(|_| failed("the message cannot be written"))?;
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(self.0.names.channel()).arg(json);
        publish.query_async(connection).await
    }

    /// Sets the name of the last purge, by which all entries from before it stop counting.
    async fn stamp(&self, connection: &mut Connection, purge: &Purge) -> RedisResult<()> {
        let names = &self.0.names;
        let stamp = Stamp::of_purge().map_err(|_| failed("there is no random number"))?.to_text();
        let (name, life_ms) = match purge {
            Purge::All => (names.purge_of_all(), STAMP_LIFE_MS),
            Purge::Project(project) => (names.project_purge(project), STAMP_LIFE_MS),
            // There may be many of these. Once no entry from before can be left, none is needed.
            Purge::Record(project, id) => {
                (names.record_purge(project, id), 2 * self.longest_life_ms())
            }
        };
        connection.pset_ex(name, stamp, life_ms).await
    }

    pub(super) fn longest_life_ms(&self) -> u64 {
        let limits = self.0.limits.load();
        let fresh = limits.ttl_final.max(limits.ttl_active);
        let life = fresh + limits.stale_if_error.max(limits.stale_while_revalidate);
        u64::try_from(life.as_millis()).unwrap_or(u64::MAX / 2).max(1000)
    }
}

fn failed(why: &'static str) -> RedisError {
    RedisError::from((redis::ErrorKind::Client, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ProjectId, RecordId};
    use crate::records::key::CallerKey;

    #[test]
    fn a_purge_is_told_before_the_refusals_that_came_earlier() {
        let (owed, metrics) = (Owed::default(), SharedMetrics::default());
        let refusal = |number: usize| {
            let id = RecordId::parse(&format!("r{number}")).unwrap();
            let of = Refused::Record(ProjectId::parse("p").unwrap(), id);
            News::Revoked(Revocation { caller: CallerKey::Gateway, of })
        };
        (0..MOST_REFUSALS).for_each(|number| owed.add(refusal(number), &metrics));
        let purge = News::Purged(Purge::All);

        owed.add(purge.clone(), &metrics);

        assert_eq!(owed.first(), std::slice::from_ref(&purge));
        owed.done(&purge, &metrics);
        let next = owed.first();
        assert_eq!((next.len(), &next[0]), (MOST_AT_ONCE, &refusal(0)));
    }
}
