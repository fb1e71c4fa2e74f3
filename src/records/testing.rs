//! For the tests of the areas above: a reader that finds what it is given in the cache.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cached::CachedRecord;
use super::metrics::RecordMetrics;
use super::read::RequestContext;
use super::reader::Reader;
use super::store::{RecordParts, Records};
use crate::clock::Clock;
use crate::config::{
    CacheConfig, InboundConfig, LimitsConfig, SubscriptionsConfig, UpstreamConfig,
};
use crate::domain::{CallerIdentity, Grant, ProjectId, RecordId, ScreenRecord, Token};
use crate::upstream::{Upstream, UpstreamMetrics};

const DAY: Duration = Duration::from_hours(24);

/// A reader with an empty cache, without an upstream.
pub(crate) fn reader() -> Reader {
    let settings = UpstreamConfig::at("http://127.0.0.1:9".parse().expect("an address"));
    let clock = Clock::default();
    let upstream = Upstream::new(&settings, UpstreamMetrics::default(), clock.clone());
    let upstream = upstream.expect("a client that needs nothing of its machine");
    let parts = RecordParts {
        cache: &CacheConfig { ttl_final: DAY, ttl_active: DAY, ..CacheConfig::default() },
        inbound: &InboundConfig::default(),
        subscriptions: &SubscriptionsConfig::default(),
        limits: &LimitsConfig::default(),
        metrics: RecordMetrics::default(),
        clock,
        tasks: TaskTracker::new(),
        ended: CancellationToken::new(),
    };
    let records = Records::new(upstream, parts).expect("random numbers");
    records.reader(RequestContext {
        identity: CallerIdentity::default(),
        operation: 0,
        token: Some(Token::new("t")),
        grant: Grant::unrestricted(),
        request_id: "".into(),
        no_cache: false,
        max_age: None,
    })
}

/// Puts a recording into the cache of a reader, for its caller.
pub(crate) fn put(reader: &Reader, project: &str, id: &str, record: ScreenRecord) {
    let (project, id) =
        (ProjectId::parse(project).expect("a project"), RecordId::parse(id).expect("a record"));
    let key = reader.admit(project, id).expect("a key");
    let records = &reader.records;
    let cache = &records.caches.records;
    let entry = cache.entry(CachedRecord::new(Ok(Arc::new(record)), &records.limits.load()));
    cache.insert(&key, &entry, &cache.begin(&key));
}
