//! Clients of the library, made from the settings.

use std::time::Duration;

use redis::cluster::ClusterClient;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo,
    RedisResult, TlsMode,
};

use crate::config::{RedisNode, RedisServers};

/// For connecting to one node.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For responses that no request waits for.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A client for one node.
pub(super) fn client_of(servers: &RedisServers, node: &RedisNode) -> RedisResult<Client> {
    Client::open(info(servers, node)?)
}

/// A client that asks sentinels for the primary server.
pub(super) fn sentinel_of(servers: &RedisServers, service: &str) -> RedisResult<SentinelClient> {
    let addresses = servers.nodes.iter().map(|node| address(servers, node));
    let mut builder = SentinelClientBuilder::new(addresses, service, SentinelServerType::Master)?
        .set_client_to_redis_db(servers.database);
    if servers.tls {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(user) = &servers.user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = &servers.password {
        builder = builder.set_client_to_redis_password(password.expose());
    }
    builder.build()
}

/// A client for a cluster.
pub(super) fn cluster_of(servers: &RedisServers) -> RedisResult<ClusterClient> {
    let nodes: RedisResult<Vec<ConnectionInfo>> =
        servers.nodes.iter().map(|node| info(servers, node)).collect();
    ClusterClient::builder(nodes?)
        .connection_timeout(CONNECT_TIMEOUT)
        .response_timeout(RESPONSE_TIMEOUT)
        .retries(1)
        .build()
}

fn info(servers: &RedisServers, node: &RedisNode) -> RedisResult<ConnectionInfo> {
    let mut settings = RedisConnectionInfo::default().set_db(servers.database);
    if let Some(user) = &servers.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &servers.password {
        settings = settings.set_password(password.expose());
    }
    Ok(address(servers, node).into_connection_info()?.set_redis_settings(settings))
}

fn address(servers: &RedisServers, node: &RedisNode) -> ConnectionAddr {
    let RedisNode { host, port } = node.clone();
    if servers.tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    }
}
