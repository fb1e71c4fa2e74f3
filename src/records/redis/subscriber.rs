//! Hearing what other replicas tell, and noticing what was missed.

use redis::{AsyncCommands as _, RedisResult};

use super::SharedTier;
use super::message::{CaughtUp, Count, Heard, Message};
use super::connection::{Connection, Event, Listener};

/// Hears news for one replica.
pub(super) struct Ear<H> {
    tier: SharedTier,
    /// Which replica this is, in its messages.
    own: u64,
    count: Count,
    hear: H,
}

impl<H: FnMut(Heard) + Send> Ear<H> {
    pub(super) fn new(tier: SharedTier, own: u64, hear: H) -> Self {
        Self { tier, own, count: Count::default(), hear }
    }

    async fn catch_up(&mut self, mut connection: Connection) -> RedisResult<()> {
        let name = self.tier.0.names.purge_count();
        let stands: Option<u64> = connection.get(&name).await?;
        match self.count.catch_up(stands.unwrap_or_default()) {
            CaughtUp::Even => {}
            CaughtUp::Missed => (self.hear)(Heard::Missed),
            CaughtUp::Restore(known) => {
                connection.set::<_, _, ()>(&name, known).await?;
                let message = Message { from: self.own, purges: Some(known), told: None };
                self.tier.tell(&mut connection, &message).await?;
            }
        }
        Ok(())
    }
}

impl<H: FnMut(Heard) + Send> Listener for Ear<H> {
    async fn on(&mut self, event: Event) -> RedisResult<()> {
        match event {
            Event::Connected(connection) => self.catch_up(connection).await,
            Event::Message(bytes) => {
                if let Some(heard) = self.count.hear(self.own, &bytes) {
                    (self.hear)(heard);
                }
                Ok(())
            }
        }
    }
}
