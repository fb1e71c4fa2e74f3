//! What replicas tell each other: delivers the outbox, receives the invalidations of other replicas, and
//! notices purges that were missed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::{AsyncCommands as _, RedisResult};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::super::invalidation::{Invalidation, Purge};
use super::connection::RedisConnection;
use super::entries::GENERATION_LIFE;
use super::entry::{SharedKey, purge_generation, random};
use super::tier::{RedisTier, is_purge, millis};
use crate::counters::LabelledCounter;

/// How long the refusal of a token is stored: longer than a load that began before it. Not longer, because
/// anyone can make up tokens.
const REFUSAL_LIFE: Duration = Duration::from_mins(1);
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// How often Redis is pinged.
const PING_EVERY: Duration = Duration::from_secs(1);
/// Pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

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

/// Reads the messages of one channel.
pub(super) struct ChannelReader {
    /// Identifies this replica in its messages.
    replica: u64,
    /// The last purge that is known, 0 if there was none; `None` before the first connection.
    last_purge: Option<u64>,
    /// Counts what is received.
    news: LabelledCounter,
}

impl ChannelReader {
    pub(super) fn new(replica: u64, news: LabelledCounter) -> Self {
        Self { replica, last_purge: None, news }
    }

    /// Takes in the last purge that Redis knows, after connecting; what to drop.
    pub(super) fn reconnect(&mut self, last: u64) -> Option<Invalidation> {
        let known = self.last_purge.replace(last);
        (known != Some(last)).then(|| self.missed())
    }

    /// Reads a message; what to drop. A message that cannot be read may be about a purge, of another version.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<Invalidation> {
        let message = serde_json::from_slice::<Message>(bytes).ok();
        let message =
            message.filter(|message| message.purge.is_none_or(|purge| self.follows(purge)));
        let Some(Message { from, invalidation, .. }) = message else { return Some(self.missed()) };
        if from == self.replica {
            return None;
        }
        self.news.inc(match &invalidation {
            Invalidation::Purge(_) => "purge",
            Invalidation::Absence(_) => "absence",
            Invalidation::Token(_) | Invalidation::Record(_) | Invalidation::Lists { .. } => {
                "refusal"
            }
        });
        Some(invalidation)
    }

    /// Whether no purge was missed before this one. It may be known from connecting already.
    fn follows(&mut self, PurgeLink { id, previous }: PurgeLink) -> bool {
        let known = self.last_purge.replace(id);
        known == Some(previous) || known == Some(id)
    }

    /// Anything in memory may have been purged.
    fn missed(&self) -> Invalidation {
        self.news.inc("missed");
        tracing::warn!("purges of other replicas were missed: the cache was emptied");
        Invalidation::Purge(Purge::All)
    }
}

impl RedisTier {
    /// Stays connected for ever, and hands on what other replicas send.
    pub(crate) async fn subscribe(&self, mut on_received: impl FnMut(Invalidation) + Send) {
        let mut subscription = ChannelReader::new(self.replica, self.metrics.shared_news.clone());
        let mut pause = FIRST_PAUSE;
        let mut is_known_unreachable = false;
        loop {
            match self.follow(&mut subscription, &mut on_received).await {
                Ok(why) => {
                    (pause, is_known_unreachable) = (FIRST_PAUSE, false);
                    tracing::warn!(why, "the shared cache is not used until it answers again");
                }
                Err(error) => {
                    if !is_known_unreachable {
                        tracing::warn!(%error, "the shared cache cannot be reached");
                    }
                    is_known_unreachable = true;
                }
            }
            self.client.close();
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Connects and hands on messages; returns why the connection is no longer used.
    async fn follow(
        &self,
        subscription: &mut ChannelReader,
        on_received: &mut impl FnMut(Invalidation),
    ) -> RedisResult<&'static str> {
        let client = &self.client;
        let (mut commands, messages) = client.connect(&self.keys.channel()).await?;
        let last_purge: Option<u64> = commands.get(self.keys.last_purge()).await?;
        // Before the connection is used, so that nothing is read that was purged meanwhile.
        let missed = subscription.reconnect(last_purge.unwrap_or_default());
        missed.into_iter().for_each(&mut *on_received);
        client.open(commands.clone());
        tracing::info!("connected to the shared cache");
        let mut messages = messages.into_on_message();
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => {
                        let received = subscription.read(message.get_payload_bytes());
                        received.into_iter().for_each(&mut *on_received);
                    }
                    None => return Ok("its connection was closed"),
                },
                () = client.closed() => return Ok("it does not answer in time"),
                () = sleep(PING_EVERY) => {
                    if !commands.answers_ping().await {
                        return Ok("it does not answer");
                    }
                }
            }
        }
    }

    /// Delivers what is in the outbox, for ever.
    pub(crate) async fn deliver(&self) {
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

#[cfg(test)]
mod tests {
    use super::super::super::metrics::RecordMetrics;
    use super::*;
    use crate::domain::ProjectId;

    const OWN: u64 = 1;
    const OTHER: u64 = 2;
    const ALL: Invalidation = Invalidation::Purge(Purge::All);

    fn purge() -> Invalidation {
        Invalidation::Purge(Purge::Project(ProjectId::parse("p").unwrap()))
    }

    fn subscription(last_purge: Option<u64>) -> ChannelReader {
        ChannelReader {
            last_purge,
            ..ChannelReader::new(OWN, RecordMetrics::default().shared_news)
        }
    }

    fn message(from: u64, purge: Option<PurgeLink>, invalidation: &Invalidation) -> Vec<u8> {
        let invalidation = invalidation.clone();
        serde_json::to_vec(&Message { from, purge, invalidation }).unwrap()
    }

    #[test]
    fn a_purge_that_was_missed_is_noticed_by_the_next_one_and_by_connecting() {
        let (received, missed) = (Some(purge()), Some(ALL));
        // What is known, the purge before and the purge itself.
        for (known, previous, id, expected) in [
            (0, 0, 4, &received),
            (3, 3, 4, &received),
            (4, 3, 4, &received),
            (2, 3, 4, &missed),
            (0, 3, 4, &missed),
        ] {
            let mut subscription = subscription(Some(known));
            let link = PurgeLink { id, previous };

            let read = subscription.read(&message(OTHER, Some(link), &purge()));

            assert_eq!(read, *expected, "{link:?} after {known}");
            assert_eq!(subscription.reconnect(4), None);
            assert_eq!(subscription.reconnect(5), missed);
            assert_eq!(subscription.reconnect(0), missed);
        }
        assert_eq!(subscription(None).reconnect(0), missed);
    }

    #[test]
    fn a_replica_ignores_its_own_message_but_remembers_the_purge() {
        let mut subscription = subscription(Some(0));
        let link = PurgeLink { id: 9, previous: 0 };

        assert_eq!(subscription.read(&message(OWN, Some(link), &purge())), None);
        assert_eq!(subscription.reconnect(9), None);
    }

    #[test]
    fn a_message_that_cannot_be_read_counts_as_a_missed_purge() {
        for bytes in [&b"{"[..], br#"{"from":2,"kind":"refused_lists"}"#] {
            let read = subscription(None).read(bytes);

            assert_eq!(read, Some(ALL));
        }
    }
}
