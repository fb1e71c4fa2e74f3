//! The cache of links to videos. Links are secrets that expire: they are cached for seconds, in this process
//! only, and never logged.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::context::RequestContext;
use super::freshness::Lifetime;
use super::key::{CallerKey, RecordKey};
use super::metrics::RecordMetrics;
use super::single_flight::SingleFlight;
use super::ttl_cache::{CacheValue, Entry, TtlCache};
use super::weight::of_unreadable;
use crate::clock::Clock;
use crate::config::{CacheConfig, Live};
use crate::domain::{DownloadLink, Field, ProjectId, RecordId, Timestamp};

/// The longest TTL of a link. The upstream's links live longer, for a time that is not documented.
pub(crate) const LINK_TTL: Duration = Duration::from_secs(30);
/// The least time that a link from the cache is valid for: a client needs time to start the download.
const MIN_VALIDITY: Duration = Duration::from_mins(1);
/// The TTL of "no link": a recording that is being uploaded has one soon.
const ABSENCE_TTL: Duration = Duration::from_secs(2);

/// A link, or that there is none.
pub(crate) struct CachedLink {
    pub(crate) link: Field<DownloadLink>,
    ttl: Duration,
}

pub(crate) type LinkEntry = Entry<CachedLink>;

/// Finds one call for links. Compared in full.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct LinksKey {
    pub(crate) caller: CallerKey,
    pub(crate) project: ProjectId,
    /// Sorted, so that the same ids make the same call.
    pub(crate) ids: Vec<RecordId>,
}

/// What one call answered, by id.
pub(crate) type LinksById = Arc<HashMap<RecordId, Arc<LinkEntry>>>;

/// The links of the whole process.
pub(crate) struct Links {
    pub(crate) cache: TtlCache<CachedLink>,
    pub(crate) loads: SingleFlight<LinksKey, LinksById>,
    clock: Clock,
}

impl Links {
    pub(crate) fn new(
        limits: Live<CacheConfig>,
        max_bytes: u64,
        metrics: RecordMetrics,
        clock: Clock,
    ) -> Self {
        let cache = TtlCache::new(limits, max_bytes, clock.clone());
        Self { cache, loads: SingleFlight::new(metrics), clock }
    }

    /// An entry for a link that was fetched just now.
    pub(crate) fn entry(&self, link: Field<DownloadLink>) -> Arc<LinkEntry> {
        let ttl = match &link {
            Some(Ok(link)) => link_ttl(link.expires_at(), self.clock.timestamp()),
            Some(Err(_)) | None => ABSENCE_TTL,
        };
        self.cache.entry(CachedLink { link, ttl })
    }

    /// The link of a recording, if it is fresh enough for a request.
    pub(crate) fn get(&self, key: &RecordKey, context: &RequestContext) -> Option<Arc<LinkEntry>> {
        let found = self.cache.fresh(key)?;
        context.accepts_age(found.age).then_some(found.entry)
    }
}

/// How long a link is cached. One that expires soon is not cached at all.
fn link_ttl(expires_at: Option<Timestamp>, now: jiff::Timestamp) -> Duration {
    let Some(expires_at) = expires_at else { return LINK_TTL };
    let validity = expires_at.as_utc().duration_since(TimeZone::UTC.to_datetime(now));
    let validity = Duration::try_from(validity).unwrap_or_default();
    validity.saturating_sub(MIN_VALIDITY).min(LINK_TTL)
}

/// The key of a link is that of its record.
impl CacheValue for CachedLink {
    type Key = RecordKey;

    fn lifetime(&self, _limits: &CacheConfig) -> Lifetime {
        Lifetime { ttl: self.ttl, ..Lifetime::default() }
    }

    fn bytes(&self) -> usize {
        match &self.link {
            Some(Ok(link)) => link.expose().len(),
            Some(Err(unreadable)) => of_unreadable(unreadable),
            None => 0,
        }
    }
}

impl LinksKey {
    pub(crate) fn record(&self, id: &RecordId) -> RecordKey {
        RecordKey { caller: self.caller, project: self.project.clone(), id: id.clone() }
    }
}
