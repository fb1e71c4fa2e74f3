//! `cache.*`: how much is kept, and how long it may be served.

use std::path::PathBuf;
use std::time::Duration;

use super::form::{Bytes, Parsed, Span};
use super::redis::{self, RedisServers};
use super::secret_file::{self, OrFile};
use super::setting::{Row, Setting};
use super::upstream::CredentialsKind;
use super::values::Values;
use crate::domain::Secret;

/// Zero turns a window off. A week is more than signed links and policies live.
const KEPT: Span = Span { least: Duration::ZERO, most: Duration::from_hours(168) };

const SECRET_ALLOWED: &str = "a text of 8 or more characters, without control characters";

static MAX_BYTES: Setting<Bytes> = Setting::new(
    "cache.max_bytes",
    Bytes { least: 0, most: 1 << 40 },
    "memory for cached records, weighed and not counted; 0 turns the cache off",
)
.or("256MiB");
static TTL_ACTIVE: Setting<Span> = Setting::new(
    "cache.ttl_active",
    KEPT,
    "how long a record that still changes is fresh: RECORDING, REC_COMPLETED, UPLOADING, unknown",
)
.or("5s")
.changeable();
static TTL_FINAL: Setting<Span> = Setting::new(
    "cache.ttl_final",
    KEPT,
    "how long a record in a final status is fresh: UPLOAD_COMPLETED, REC_FAILED, UPLOAD_FAILED",
)
.or("60s")
.changeable();
static TTL_NOT_FOUND: Setting<Span> = Setting::new(
    "cache.ttl_not_found",
    KEPT,
    "how long \"no such record\" is believed; other errors are never cached",
)
.or("2s")
.changeable();
static TTL_LIST: Setting<Span> =
    Setting::new("cache.ttl_list", KEPT, "how long a page of a list is fresh")
        .or("5s")
        .changeable();
static STALE_WHILE_REVALIDATE: Setting<Span> = Setting::new(
    "cache.stale_while_revalidate",
    KEPT,
    "how long after its freshness a record is served while a refresh runs behind it",
)
.or("30s")
.changeable();
static STALE_IF_ERROR: Setting<Span> = Setting::new(
    "cache.stale_if_error",
    KEPT,
    "how long after its freshness a record is served in place of an upstream failure; never on \
     401, 403 or 404",
)
.or("10m")
.changeable();

static REDIS_URL: Setting<Parsed<RedisServers>> = Setting::new(
    "cache.redis_url",
    Parsed { allowed: redis::ALLOWED, placeholder: "URL", parse: redis::servers },
    "a second tier of the cache that the replicas of one deployment share, in Redis or Valkey",
)
.hiding(|text| text.contains(['@', '?', '#']));
static REDIS_URL_FILE: Setting<Parsed<PathBuf>> = Setting::new(
    "cache.redis_url_file",
    secret_file::PATH,
    "file with that address on its first line, in place of `cache.redis_url`",
);
static ONE_REDIS_URL: OrFile<RedisServers> = OrFile {
    setting: &REDIS_URL,
    file: &REDIS_URL_FILE,
    parse: redis::servers,
    holds: redis::ALLOWED,
};
static REDIS_TIMEOUT: Setting<Span> = Setting::new(
    "cache.redis_timeout",
    Span { least: Duration::from_millis(1), most: Duration::from_secs(1) },
    "the most that the shared tier may cost one read of a record that this replica does not hold",
)
.or("50ms");
static KEY_SECRET: Setting<Parsed<Secret>> = Setting::new(
    "cache.key_secret",
    Parsed { allowed: SECRET_ALLOWED, placeholder: "SECRET", parse: key_secret },
    "keys the hash of callers in the shared tier, the same on every replica; needed with \
     `cache.redis_url` under `upstream.credentials=passthrough`",
)
.secret();
static KEY_SECRET_FILE: Setting<Parsed<PathBuf>> = Setting::new(
    "cache.key_secret_file",
    secret_file::PATH,
    "file with that secret on its first line, in place of `cache.key_secret`",
);
static ONE_KEY_SECRET: OrFile<Secret> = OrFile {
    setting: &KEY_SECRET,
    file: &KEY_SECRET_FILE,
    parse: key_secret,
    holds: SECRET_ALLOWED,
};

pub(super) static ROWS: &[&dyn Row] = &[
    &MAX_BYTES,
    &TTL_ACTIVE,
    &TTL_FINAL,
    &TTL_NOT_FOUND,
    &TTL_LIST,
    &STALE_WHILE_REVALIDATE,
    &STALE_IF_ERROR,
    &REDIS_URL,
    &REDIS_URL_FILE,
    &REDIS_TIMEOUT,
    &KEY_SECRET,
    &KEY_SECRET_FILE,
];

/// The record cache's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// `cache.max_bytes`: weighed, not counted.
    pub max_bytes: u64,
    /// `cache.ttl_active`: freshness of records that still change.
    pub ttl_active: Duration,
    /// `cache.ttl_final`: freshness of records in a final status.
    pub ttl_final: Duration,
    /// `cache.ttl_not_found`: freshness of "no such record".
    pub ttl_not_found: Duration,
    /// `cache.ttl_list`: freshness of a page of a list.
    pub ttl_list: Duration,
    /// `cache.stale_while_revalidate`: how long after its freshness a record is served while a
    /// refresh runs behind it.
    pub stale_while_revalidate: Duration,
    /// `cache.stale_if_error`: how long after its freshness a record is served in place of an
    /// upstream failure.
    pub stale_if_error: Duration,
    /// The tier that replicas share; none where no address is set.
    pub shared: Option<SharedCacheConfig>,
}

/// The tier of the cache that replicas share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedCacheConfig {
    /// `cache.redis_url`, or what `cache.redis_url_file` holds.
    pub servers: RedisServers,
    /// `cache.redis_timeout`: the most that it may cost one read.
    pub timeout: Duration,
    /// `cache.key_secret`, or what `cache.key_secret_file` holds.
    pub key_secret: Option<Secret>,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            max_bytes: 256 * 1024 * 1024,
            ttl_active: Duration::from_secs(5),
            ttl_final: Duration::from_mins(1),
            ttl_not_found: Duration::from_secs(2),
            ttl_list: Duration::from_secs(5),
            stale_while_revalidate: Duration::from_secs(30),
            stale_if_error: Duration::from_mins(10),
            shared: None,
        }
    }
}

impl CacheConfig {
    pub(super) fn read(values: &mut Values<'_>, credentials: CredentialsKind) -> Self {
        let default = Self::default();
        Self {
            max_bytes: values.read_or(&MAX_BYTES, default.max_bytes),
            ttl_active: values.read_or(&TTL_ACTIVE, default.ttl_active),
            ttl_final: values.read_or(&TTL_FINAL, default.ttl_final),
            ttl_not_found: values.read_or(&TTL_NOT_FOUND, default.ttl_not_found),
            ttl_list: values.read_or(&TTL_LIST, default.ttl_list),
            stale_while_revalidate: values
                .read_or(&STALE_WHILE_REVALIDATE, default.stale_while_revalidate),
            stale_if_error: values.read_or(&STALE_IF_ERROR, default.stale_if_error),
            shared: SharedCacheConfig::read(values, credentials),
        }
    }
}

impl SharedCacheConfig {
    fn read(values: &mut Values<'_>, credentials: CredentialsKind) -> Option<Self> {
        let servers = ONE_REDIS_URL.given(values);
        let servers = ONE_REDIS_URL.resolve(values, servers);
        let timeout = values.read_or(&REDIS_TIMEOUT, Duration::from_millis(50));
        let key_secret = ONE_KEY_SECRET.given(values);
        let key_secret = ONE_KEY_SECRET.resolve(values, key_secret);
        let servers = servers?;
        let is_needed = !credentials.are_the_gateways();
        if is_needed && ONE_KEY_SECRET.is_absent(values, key_secret.as_ref()) {
            let problem = "it or cache.key_secret_file is needed where cache.redis_url is set and \
                           upstream.credentials is passthrough: callers are known there by a hash \
                           of their token";
            values.refuse(&KEY_SECRET, problem);
        }
        Some(Self { servers, timeout, key_secret })
    }
}

fn key_secret(text: &str) -> Option<Secret> {
    const LEAST: usize = 8;
    // Blanks at the ends count neither in a setting nor in a file.
    let text = text.trim();
    let is_secret = text.chars().count() >= LEAST && !text.chars().any(char::is_control);
    is_secret.then(|| Secret::new(text))
}
