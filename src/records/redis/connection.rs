//! The connection to the shared tier, and whether it is worth asking.
//!
//! One connection carries all commands, interleaved; another hears the news. The second is the
//! canary: when it breaks, or when the tier has become slow, nothing is asked any more until both
//! stand again, so that a tier that is gone costs nothing.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::cluster_async::ClusterConnection;
use redis::{
    Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value,
};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::client::{client_of, cluster_of, sentinel_of};
use super::metrics::SharedMetrics;
use crate::config::{RedisKind, RedisServers, SharedCacheConfig};

/// For connecting, one node at a time.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// For what no request waits for.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How often the tier is asked whether it still answers.
const PING_EVERY: Duration = Duration::from_secs(1);
/// Pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Looks without an answer in time, one after another, after which the tier is left alone.
const MOST_SLOW_LOOKS: u32 = 3;

/// A connection for commands. Clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    Node(ConnectionManager),
    Cluster(ClusterConnection),
}

/// The servers of the tier.
pub(super) struct Server {
    servers: RedisServers,
    timeout: Duration,
    current: watch::Sender<Option<Connection>>,
    slow_looks: AtomicU32,
    metrics: SharedMetrics,
}

/// What happens on the connection that hears the news.
pub(super) enum Event {
    /// Both connections stand.
    Connected(Connection),
    /// Somebody told something.
    Message(Vec<u8>),
}

/// Whoever hears the news.
pub(super) trait Listener: Send {
    /// Takes an event in; an error ends the connection that it came on.
    fn on(&mut self, event: Event) -> impl Future<Output = RedisResult<()>> + Send;
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Node(node) => node.req_packed_command(cmd),
            Self::Cluster(cluster) => cluster.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Node(node) => node.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Node(node) => node.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}

impl Server {
    pub(super) fn new(config: &SharedCacheConfig, metrics: SharedMetrics) -> Self {
        Self {
            servers: config.servers.clone(),
            timeout: config.timeout,
            current: watch::Sender::new(None),
            slow_looks: AtomicU32::new(0),
            metrics,
        }
    }

    /// The connection, while it is worth asking.
    pub(super) fn connection(&self) -> Option<Connection> {
        self.current.borrow().clone()
    }

    /// Waits for a connection.
    pub(super) async fn connected(&self) -> Connection {
        let mut current = self.current.subscribe();
        loop {
            let connection = current.borrow_and_update().clone();
            if let Some(connection) = connection {
                return connection;
            }
            // The sender lives as long as this.
            let _ = current.changed().await;
        }
    }

    /// Notes that an answer came in time.
    pub(super) fn is_well(&self) {
        self.slow_looks.store(0, Ordering::Relaxed);
    }

    /// Notes that no answer came in time.
    pub(super) fn is_slow(&self) {
        if self.slow_looks.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_SLOW_LOOKS {
            self.give_up();
        }
    }

    /// Notes an error. One of the connection's own is enough to leave the tier alone.
    pub(super) fn note(&self, error: &RedisError) {
        let is_demoted = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
        tracing::debug!(%error, "the shared cache answered with an error");
        if error.is_io_error() || is_demoted {
            self.give_up();
        }
    }

    /// Leaves the tier alone until it has been connected to anew.
    fn give_up(&self) {
        self.current.send_replace(None);
        self.metrics.up.set(0);
    }

    /// Keeps connected for ever and hands on what is told on `channel`.
    pub(super) async fn run(&self, channel: &str, listener: &mut impl Listener) {
        let mut pause = FIRST_PAUSE;
        let mut is_known_away = false;
        loop {
            match self.attend(channel, listener).await {
                Ok(why) => {
                    (pause, is_known_away) = (FIRST_PAUSE, false);
                    tracing::warn!(why, "the shared cache is left alone until it answers again");
                }
                Err(error) => {
                    if !is_known_away {
                        tracing::warn!(%error, "the shared cache cannot be reached");
                    }
                    is_known_away = true;
                }
            }
            self.give_up();
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Connects, and hands on what is told until the connection breaks or is given up; why.
    async fn attend(
        &self,
        channel: &str,
        listener: &mut impl Listener,
    ) -> RedisResult<&'static str> {
        let (mut connection, news) = self.connect(channel).await?;
        // Before the connection is shown: what was missed is made good first.
        listener.on(Event::Connected(connection.clone())).await?;
        self.is_well();
        self.current.send_replace(Some(connection.clone()));
        self.metrics.up.set(1);
        tracing::info!("connected to the shared cache");
        let mut news = news.into_on_message();
        let mut shown = self.current.subscribe();
        loop {
            tokio::select! {
                message = news.next() => match message {
                    Some(message) => {
                        listener.on(Event::Message(message.get_payload_bytes().to_vec())).await?;
                    }
                    None => return Ok("its connection was closed"),
                },
                () = is_gone(&mut shown) => return Ok("it does not answer in time"),
                () = sleep(PING_EVERY) => {
                    if !self.answers(&mut connection).await {
                        return Ok("it does not answer");
                    }
                }
            }
        }
    }

    async fn answers(&self, connection: &mut Connection) -> bool {
        let ping = redis::cmd("PING");
        // In a cluster this goes to any node, which is all that it is to tell.
        let ping = ping.query_async::<String>(connection);
        matches!(timeout(ANSWER_WITHIN, ping).await, Ok(Ok(_)))
    }

    /// Connects for commands and for news, and sees that the tier is quick enough to be of use.
    pub(super) async fn connect(&self, channel: &str) -> RedisResult<(Connection, PubSub)> {
        let slow = || RedisError::from((ErrorKind::Io, "no answer in time"));
        let connecting = timeout(2 * CONNECT_WITHIN, async {
            match &self.servers.kind {
                RedisKind::Single => {
                    let [node] = self.servers.nodes.as_slice() else { return Err(slow()) };
                    to_node(client_of(&self.servers, node)?, channel).await
                }
                RedisKind::Sentinel { service } => {
                    let leader = sentinel_of(&self.servers, service)?.async_get_client().await?;
                    to_node(leader, channel).await
                }
                RedisKind::Cluster => {
                    let cluster = cluster_of(&self.servers)?.get_async_connection().await?;
                    Ok((Connection::Cluster(cluster), self.news_of_cluster(channel).await?))
                }
            }
        });
        let (mut connection, news) = connecting.await.map_err(|_| slow())??;
        let asking = async { Ok::<_, RedisError>(self.answers(&mut connection).await) };
        match timeout(self.timeout, asking).await {
            Ok(Ok(true)) => Ok((connection, news)),
            Ok(_) | Err(_) => Err(slow()),
        }
    }

    /// Whatever is told in a cluster is told by every node.
    async fn news_of_cluster(&self, channel: &str) -> RedisResult<PubSub> {
        let mut last = RedisError::from((ErrorKind::Io, "no node can be reached"));
        for node in &self.servers.nodes {
            let client = client_of(&self.servers, node)?;
            match timeout(CONNECT_WITHIN, subscribed(&client, channel)).await {
                Ok(Ok(news)) => return Ok(news),
                Ok(Err(error)) => last = error,
                Err(_elapsed) => {}
            }
        }
        Err(last)
    }
}

/// Waits until nothing is to be asked any more.
async fn is_gone(shown: &mut watch::Receiver<Option<Connection>>) {
    // The sender outlives whoever waits here.
    let _ = shown.wait_for(Option::is_none).await;
}

async fn to_node(client: Client, channel: &str) -> RedisResult<(Connection, PubSub)> {
    let news = subscribed(&client, channel).await?;
    let settings = ConnectionManagerConfig::new()
        .set_number_of_retries(1)
        .set_connection_timeout(Some(CONNECT_WITHIN))
        .set_response_timeout(Some(ANSWER_WITHIN));
    let manager = ConnectionManager::new_with_config(client, settings).await?;
    Ok((Connection::Node(manager), news))
}

async fn subscribed(client: &Client, channel: &str) -> RedisResult<PubSub> {
    let mut news = client.get_async_pubsub().await?;
    news.subscribe(channel).await?;
    Ok(news)
}
