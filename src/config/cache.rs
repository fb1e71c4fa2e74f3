//! `cache.*`: how much is kept, and how long it may be served.

use std::path::PathBuf;
use std::time::Duration;

use super::credentials::CredentialsSettings;
use super::redis::{RedisServers, redis_url};
use super::settings::{
    SERVE_AND_DEMO, Setting, SettingsLoader, bytes, duration, is_one_line, may_hold_secret, path,
    secret, settings,
};
use crate::domain::Secret;

settings! {
    /// The record cache's limits.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct CacheConfig in "cache." for SERVE_AND_DEMO {
        /// memory for cached records, pages, links and responses; 0 turns the cache off
        pub max_bytes: u64 = bytes(0..=1 << 40).default("256MiB").needs_restart(),
        /// how long a record in another status is fresh: `RECORDING`, `REC_COMPLETED`, `UPLOADING`, unknown
        pub ttl_active: Duration = window().default("5s"),
        /// how long a record in a final status is fresh: `UPLOAD_COMPLETED`, `REC_FAILED`, `UPLOAD_FAILED`
        pub ttl_final: Duration = window().default("60s"),
        /// how long "no such record" is cached; other errors never are
        pub ttl_not_found: Duration = window().default("2s"),
        /// how long a page of a list is fresh
        pub ttl_list: Duration = window().default("5s"),
        /// for how long after its freshness a record is served while it is refreshed in the background
        pub stale_while_revalidate: Duration = window().default("30s"),
        /// for how long after its freshness a record or page is served in place of an upstream error; never
        /// on 401, 403 or 404
        pub stale_if_error: Duration = window().default("10m"),
        /// key of the hash that stands for callers in the shared cache, and of the cursors of restricted callers;
        /// the same on every replica. Needed with `cache.redis_url` under `upstream.credentials=passthrough`
        pub key_secret: Option<Secret> =
            secret("SECRET", "a text of 8 or more characters, without control characters", |text| {
                text.chars().count() >= 8 && is_one_line(text)
            })
            .optional()
            .needs_restart(),
        /// file whose first line is that key, in place of `cache.key_secret`
        pub key_secret_file: Option<PathBuf> = path().optional().needs_restart(),
    } and {
        /// The tier that replicas share; `None` without an address.
        pub shared: Option<SharedCacheConfig> = None,
    }
}

settings! {
    /// The tier of the cache that replicas share.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct SharedCacheConfig in "cache." for SERVE_AND_DEMO {
        /// address of the Redis or Valkey in which replicas share a cache
        pub servers: RedisServers = redis_url()
            .with_key("cache.redis_url")
            .when_unset(RedisServers::default)
            .secret_if(may_hold_secret)
            .needs_restart(),
        /// file whose first line is that address, in place of `cache.redis_url`
        pub servers_file: Option<PathBuf> =
            path().optional().with_key("cache.redis_url_file").needs_restart(),
        /// time that the shared cache may add to the read of a record that this replica does not hold
        pub timeout: Duration = duration(Duration::from_millis(1)..=Duration::from_secs(1))
            .with_key("cache.redis_timeout")
            .default("50ms")
            .needs_restart(),
    }
}

/// How `cache.max_bytes` is divided, so that paging through a long list evicts no record that is read
/// again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheBudget {
    pub(crate) records: u64,
    /// For pages of recordings, and as much for pages of operations.
    pub(crate) pages: u64,
    pub(crate) links: u64,
    pub(crate) responses: u64,
}

impl CacheConfig {
    pub(crate) fn budget(&self) -> CacheBudget {
        let share = self.max_bytes / 16;
        let (pages, links, responses) = (share, share, 6 * share);
        let records = self.max_bytes - 2 * pages - links - responses;
        CacheBudget { records, pages, links, responses }
    }

    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Self {
        let cache = Self::read(loader);
        let shared = SharedCacheConfig::load(loader);
        let (key, file) = (Self::key_secret(), Self::key_secret_file());
        let key_secret = loader.secret(&key, &file);
        let credentials = CredentialsSettings::credentials();
        let is_needed = shared.is_some() && !loader.read(&credentials).are_the_gateways();
        if is_needed && key_secret.is_none() {
            let problem = "it or cache.key_secret_file is needed where cache.redis_url is set and \
                           upstream.credentials is passthrough: callers are known there by a hash \
                           of their token";
            loader.refuse(&[&key, &file, &credentials], problem);
        }
        Self { key_secret, shared, ..cache }
    }
}

impl SharedCacheConfig {
    /// `None` without an address.
    fn load(loader: &mut SettingsLoader<'_>) -> Option<Self> {
        let shared = Self::read(loader);
        let (url, file) = (Self::servers(), Self::servers_file());
        let is_wanted = loader.is_set(&url) || loader.is_set(&file);
        is_wanted.then(|| Self { servers: loader.secret(&url, &file), ..shared })
    }
}

/// Zero turns a window off. A week is more than signed links and policies live.
fn window() -> Setting<Duration> {
    duration(Duration::ZERO..=Duration::from_hours(168))
}
