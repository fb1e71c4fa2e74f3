//! Whether Redis lets the gateway in: for the command `check`.

use redis::{ErrorKind, RedisError};

use super::connection::RedisConnection;
use super::metrics::RedisMetrics;
use crate::config::{RedisKind, SharedCacheConfig};
use crate::domain::Diagnostic;

/// A channel without messages.
const CHANNEL: &str = "check";
const SETTING: &str = "cache.redis_url or cache.redis_url_file";

/// Connects as a replica does, and pings once.
///
/// # Errors
/// What is wrong, and how to mend it.
pub async fn check_shared(config: &SharedCacheConfig) -> Result<(), Diagnostic> {
    let connection = RedisConnection::new(config, RedisMetrics::default());
    connection.connect(CHANNEL).await.map(drop).map_err(|error| explain(&error, config))
}

fn explain(error: &RedisError, config: &SharedCacheConfig) -> Diagnostic {
    let nodes = config.servers.nodes.iter().map(|node| format!("{}:{}", node.host, node.port));
    let nodes = nodes.collect::<Vec<_>>().join(", ");
    let code = error.code().unwrap_or_default();
    if error.kind() == ErrorKind::AuthenticationFailed || ["NOAUTH", "WRONGPASS"].contains(&code) {
        return Diagnostic::new(
            format!("the shared cache at {nodes} does not accept the user or the password"),
            format!("check user and password in {SETTING}"),
        );
    }
    if code == "NOPERM" {
        return Diagnostic::new(
            format!("the user may not do with the shared cache at {nodes} what the gateway does"),
            "grant the user the keys, channels and commands that docs/DEPLOYMENT.md lists",
        );
    }
    if error.is_connection_refusal() {
        return Diagnostic::new(
            format!("the shared cache at {nodes} refuses connections"),
            format!("check host and port in {SETTING}, and that Redis runs"),
        );
    }
    let kind = match config.servers.kind {
        RedisKind::Single => "one server",
        RedisKind::Cluster => "a cluster",
        RedisKind::Sentinel { .. } => "sentinels",
    };
    Diagnostic::new(
        format!("the shared cache at {nodes}, {kind}, cannot be used: {error}"),
        format!(
            "check {SETTING}: host, port, TLS (rediss) and the kind of servers, and the network"
        ),
    )
}
