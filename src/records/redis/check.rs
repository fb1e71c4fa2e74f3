//! Whether Redis lets the gateway in: for the command `check`.

use super::connection::RedisClient;
use super::metrics::RedisMetrics;
use crate::config::{RedisKind, SharedCacheConfig};
use crate::domain::Diagnostic;

/// A channel without messages.
const CHANNEL: &str = "check";

/// Connects as a replica does, and pings once.
///
/// # Errors
/// What is wrong, and what to check.
pub async fn check_shared(config: &SharedCacheConfig) -> Result<(), Diagnostic> {
    let client = RedisClient::new(config, RedisMetrics::default());
    let Err(error) = client.connect(CHANNEL).await else { return Ok(()) };
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
