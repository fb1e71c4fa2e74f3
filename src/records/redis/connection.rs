//! The connection to Redis, and whether it is used.
//!
//! One connection carries all commands, interleaved; another receives messages. When either breaks, or
//! commands time out repeatedly, nothing is sent until both are connected again. So a Redis that hangs
//! delays a few reads and no more.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo as _, Pipeline, RedisConnectionInfo, RedisError, RedisFuture, RedisResult,
    ServerErrorKind, TlsMode, Value,
};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::super::metrics::RecordMetrics;
use crate::config::{RedisKind, RedisNode, RedisServers, SharedCacheConfig};
use crate::domain::Diagnostic;

/// For connecting to one node.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For responses that no request waits for.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Timeouts in a row after which Redis is not used.
const MAX_TIMEOUTS: u32 = 3;

/// A connection for commands. Clones share it.
#[derive(Clone)]
pub(crate) enum RedisConnection {
    Node(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// The connection in use, if any.
pub(crate) struct RedisClient {
    pub(super) config: SharedCacheConfig,
    current: watch::Sender<Option<RedisConnection>>,
    timeouts: AtomicU32,
    metrics: RecordMetrics,
}

impl ConnectionLike for RedisConnection {
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

impl RedisConnection {
    /// In a cluster any node answers.
    pub(super) async fn answers_ping(&mut self) -> bool {
        let ping = redis::cmd("PING");
        matches!(timeout(RESPONSE_TIMEOUT, ping.query_async::<String>(self)).await, Ok(Ok(_)))
    }
}

impl RedisClient {
    pub(super) fn new(config: &SharedCacheConfig, metrics: RecordMetrics) -> Self {
        Self {
            config: config.clone(),
            current: watch::Sender::new(None),
            timeouts: AtomicU32::new(0),
            metrics,
        }
    }

    /// The connection, while it is used.
    pub(crate) fn get(&self) -> Option<RedisConnection> {
        self.current.borrow().clone()
    }

    /// Waits until a connection is used.
    pub(super) async fn opened(&self) {
        // The sender lives as long as `self`.
        let _ = self.current.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits until the connection is no longer used.
    pub(super) async fn closed(&self) {
        // The sender lives as long as `self`.
        let _ = self.current.subscribe().wait_for(Option::is_none).await;
    }

    /// Uses a connection from now on.
    pub(super) fn open(&self, connection: RedisConnection) {
        self.timeouts.store(0, Ordering::Relaxed);
        self.current.send_replace(Some(connection));
        self.metrics.shared_up.set(1);
    }

    /// Uses no connection until the next one is opened.
    pub(super) fn close(&self) {
        self.current.send_replace(None);
        self.metrics.shared_up.set(0);
    }

    /// Waits for commands until a time; `None` if they fail or take longer. Closes the connection if it is
    /// broken, if the primary was demoted, and after several timeouts.
    pub(super) async fn run<T>(
        &self,
        until: Instant,
        commands: impl Future<Output = RedisResult<T>>,
    ) -> Option<T> {
        match timeout_at(until, commands).await {
            Ok(Ok(value)) => {
                self.timeouts.store(0, Ordering::Relaxed);
                Some(value)
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "the shared cache answered with an error");
                let is_demoted = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
                if error.is_io_error() || is_demoted {
                    self.close();
                }
                None
            }
            Err(_elapsed) => {
                if self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_TIMEOUTS {
                    self.close();
                }
                None
            }
        }
    }

    /// Connects for commands and for messages, and checks that Redis answers within `cache.redis_timeout`.
    pub(super) async fn connect(&self, channel: &str) -> RedisResult<(RedisConnection, PubSub)> {
        let connecting = async {
            let servers = self.infos()?;
            let client = match &self.config.servers.kind {
                RedisKind::Single => {
                    Client::open(servers.into_iter().next().ok_or_else(no_answer)?)?
                }
                RedisKind::Sentinel { service } => {
                    self.sentinels(service)?.async_get_client().await?
                }
                RedisKind::Cluster => {
                    let cluster = ClusterClient::builder(servers.clone())
                        .connection_timeout(CONNECT_TIMEOUT)
                        .response_timeout(RESPONSE_TIMEOUT)
                        .retries(1)
                        .build()?;
                    let cluster = cluster.get_async_connection().await?;
                    let messages = subscribe_to_any_node(servers, channel).await?;
                    return Ok((RedisConnection::Cluster(cluster), messages));
                }
            };
            let messages = subscribe(&client, channel).await?;
            let settings = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT_TIMEOUT))
                .set_response_timeout(Some(RESPONSE_TIMEOUT));
            let commands = client.get_multiplexed_async_connection_with_config(&settings).await?;
            Ok::<_, RedisError>((RedisConnection::Node(commands), messages))
        };
        let connecting = timeout(2 * CONNECT_TIMEOUT, connecting);
        let (mut connection, messages) = connecting.await.map_err(|_| no_answer())??;
        match timeout(self.config.timeout, connection.answers_ping()).await {
            Ok(true) => Ok((connection, messages)),
            Ok(false) | Err(_) => Err(no_answer()),
        }
    }

    fn addresses(&self) -> impl Iterator<Item = ConnectionAddr> {
        self.config.servers.nodes.iter().cloned().map(|RedisNode { host, port }| {
            if self.config.servers.tls {
                ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
            } else {
                ConnectionAddr::Tcp(host, port)
            }
        })
    }

    /// How to log in to the servers that hold data.
    fn login(&self) -> RedisConnectionInfo {
        let RedisServers { user, password, database, .. } = &self.config.servers;
        let mut login = RedisConnectionInfo::default().set_db(*database);
        if let Some(user) = user {
            login = login.set_username(user);
        }
        if let Some(password) = password {
            login = login.set_password(password.expose());
        }
        login
    }

    /// The servers that hold data, as the settings name them.
    fn infos(&self) -> RedisResult<Vec<ConnectionInfo>> {
        let info = |address: ConnectionAddr| {
            Ok(address.into_connection_info()?.set_redis_settings(self.login()))
        };
        self.addresses().map(info).collect()
    }

    /// A client that asks sentinels for the primary server.
    fn sentinels(&self, service: &str) -> RedisResult<SentinelClient> {
        let mut primary =
            SentinelNodeConnectionInfo::default().set_redis_connection_info(self.login());
        if self.config.servers.tls {
            primary = primary.set_tls_mode(TlsMode::Secure);
        }
        let sentinels = self.addresses().collect();
        SentinelClient::build(sentinels, service, Some(primary), SentinelServerType::Master)
    }
}

/// Checks whether Redis lets the gateway in: connects as a replica does, and pings once.
///
/// # Errors
/// What is wrong, and what to check.
pub async fn check_shared(config: &SharedCacheConfig) -> Result<(), Diagnostic> {
    let client = RedisClient::new(config, RecordMetrics::default());
    let Err(error) = client.connect("check").await else { return Ok(()) };
    let nodes = config.servers.nodes.iter().map(|node| format!("{}:{}", node.host, node.port));
    let nodes = nodes.collect::<Vec<_>>().join(", ");
    let kind = match config.servers.kind {
        RedisKind::Single => "one server",
        RedisKind::Cluster => "a cluster",
        RedisKind::Sentinel { .. } => "sentinels",
    };
    Err(Diagnostic::new(
        format!("the shared cache at {nodes}, {kind}, cannot be used: {error}"),
        "check cache.redis_url or cache.redis_url_file: host, port, user, password, TLS (rediss) and the \
         kind of servers; docs/DEPLOYMENT.md lists the rights that the user needs",
    ))
}

/// In a cluster every node sends the messages of all.
async fn subscribe_to_any_node(nodes: Vec<ConnectionInfo>, channel: &str) -> RedisResult<PubSub> {
    let mut last = no_answer();
    for node in nodes {
        match timeout(CONNECT_TIMEOUT, subscribe(&Client::open(node)?, channel)).await {
            Ok(Ok(messages)) => return Ok(messages),
            Ok(Err(error)) => last = error,
            Err(_elapsed) => {}
        }
    }
    Err(last)
}

async fn subscribe(client: &Client, channel: &str) -> RedisResult<PubSub> {
    let mut messages = client.get_async_pubsub().await?;
    messages.subscribe(channel).await?;
    Ok(messages)
}

fn no_answer() -> RedisError {
    RedisError::from((ErrorKind::Io, "no answer in time"))
}
