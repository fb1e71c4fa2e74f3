//! The address of the shared tier of the cache: one server, a cluster, or a service of sentinels.

use http::uri::Authority;
use percent_encoding::percent_decode_str;

use super::settings::Setting;
use crate::domain::Secret;

/// What an address may be, as the end of a sentence.
const ALLOWED: &str = "redis://[USER:PASSWORD@]HOST[:PORT][/DB], redis+cluster://[USER:PASSWORD@]HOST:PORT[,HOST:PORT…] \
     or redis+sentinel://[USER:PASSWORD@]HOST:PORT[,HOST:PORT…]/SERVICE[/DB]; rediss in place of \
     redis for TLS, valkey or valkeys for either";

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The servers of the shared tier: Redis or Valkey.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisServers {
    /// Single server, cluster or sentinels.
    pub kind: RedisKind,
    /// The server, some of the cluster's nodes, or the sentinels.
    pub nodes: Vec<RedisNode>,
    /// User of the servers that hold data.
    pub user: Option<String>,
    /// That user's password.
    pub password: Option<Secret>,
    /// Whether connections are encrypted and certificates checked.
    pub tls: bool,
    /// Number of the database; 0 in a cluster.
    pub database: i64,
}

/// How the shared tier is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RedisKind {
    /// One server.
    #[default]
    Single,
    /// The keys are spread over a cluster.
    Cluster,
    /// Sentinels name the primary server.
    Sentinel {
        /// The name that the sentinels know the service by.
        service: String,
    },
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisNode {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

pub(super) fn redis_url() -> Setting<RedisServers> {
    Setting::new("URL", ALLOWED, servers)
}

/// Reads an address.
fn servers(text: &str) -> Option<RedisServers> {
    let (scheme, rest) = text.trim().split_once("://")?;
    let (base, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
    let tls = match base {
        "redis" | "valkey" => false,
        "rediss" | "valkeys" => true,
        _ => return None,
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (credentials, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = user_and_password(credentials)?;
    let (kind, database, port) = place(kind, path)?;
    let nodes = hosts.split(',').map(|host| node(host, port)).collect::<Option<Vec<_>>>()?;
    if nodes.len() > 1 && kind == RedisKind::Single {
        return None;
    }
    Some(RedisServers { kind, nodes, user, password, tls, database })
}

/// Reads the part after the hosts, which differs between the kinds.
fn place(kind: &str, path: &str) -> Option<(RedisKind, i64, u16)> {
    match kind {
        "" => Some((RedisKind::Single, database(path)?, PORT)),
        "cluster" if path.is_empty() => Some((RedisKind::Cluster, 0, PORT)),
        "sentinel" => {
            let (service, db) = path.split_once('/').unwrap_or((path, ""));
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            let service = service.to_owned();
            let is_service = !service.is_empty() && service.bytes().all(is_name);
            let kind = is_service.then_some(RedisKind::Sentinel { service })?;
            Some((kind, database(db)?, SENTINEL_PORT))
        }
        _ => None,
    }
}

fn database(text: &str) -> Option<i64> {
    if text.is_empty() { Some(0) } else { text.parse::<u16>().ok().map(i64::from) }
}

fn user_and_password(text: &str) -> Option<(Option<String>, Option<Secret>)> {
    let decode = |part: &str| percent_decode_str(part).decode_utf8().ok().map(String::from);
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let present = |part: String| (!part.is_empty()).then_some(part);
    Some((present(decode(user)?), present(decode(password)?).map(Secret::new)))
}

fn node(text: &str, default_port: u16) -> Option<RedisNode> {
    // A name, an IPv4 address or an IPv6 address in brackets, and a port.
    let authority: Authority = text.parse().ok()?;
    let has_port = text.rsplit_once(']').map_or(text, |(_, rest)| rest).contains(':');
    let port = if has_port { authority.port_u16()? } else { default_port };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    (port != 0 && !host.is_empty()).then_some(RedisNode { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: &str, port: u16) -> RedisNode {
        RedisNode { host: host.to_owned(), port }
    }

    #[test]
    fn an_address_names_one_server_a_cluster_or_sentinels() {
        let single = servers("rediss://gateway:p%40ss@cache.example:6380/3").unwrap();
        let bare = servers("valkey://:secret@[::1]").unwrap();
        let cluster = servers("redis+cluster://one:7000,two:7001").unwrap();
        let sentinel = servers("redis+sentinel://one,two:26380/main/1").unwrap();

        assert_eq!(single.kind, RedisKind::Single);
        assert_eq!(single.nodes, [node("cache.example", 6380)]);
        assert_eq!(single.user.as_deref(), Some("gateway"));
        assert_eq!(single.password, Some(Secret::new("p@ss")));
        assert_eq!((single.tls, single.database), (true, 3));
        assert_eq!((bare.user, bare.password), (None, Some(Secret::new("secret"))));
        assert_eq!((bare.nodes, bare.tls), (vec![node("::1", 6379)], false));
        assert_eq!(cluster.kind, RedisKind::Cluster);
        assert_eq!(cluster.nodes, [node("one", 7000), node("two", 7001)]);
        assert_eq!(sentinel.kind, RedisKind::Sentinel { service: "main".to_owned() });
        assert_eq!(sentinel.nodes, [node("one", 26379), node("two", 26380)]);
        assert_eq!(sentinel.database, 1);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "cache.example:6379",
            "http://cache.example",
            "redis://",
            "redis://one,two",
            "redis://one:0",
            "redis://one:port",
            "redis://one/db",
            "redis://one/1/2",
            "redis://one?db=1",
            "redis+cluster://one/1",
            "redis+cluster://one,,two",
            "redis+sentinel://one",
            "redis+sentinel://one/",
            "redis+unix:///run/redis.sock",
        ] {
            assert_eq!(servers(text), None, "of {text:?}");
        }
    }
}
