//! The cache of links to videos. Links are secrets that expire: they are cached for seconds, in this process
//! only, and never logged.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::context::RequestContext;
use super::freshness::Lifetime;
use super::key::{CallerKey, RecordKey};
use super::metrics::RecordMetrics;
use super::single_flight::SingleFlight;
use super::ttl_cache::{CacheValue, Entry, TtlCache};
use super::weight::of_unreadable;
use crate::clock::Clock;
use crate::config::{CacheConfig, Live};
use crate::domain::{DownloadLink, Field, ProjectId, RecordId};

/// The TTL of a link. The upstream's links live longer, for a time that is not documented.
pub(crate) const LINK_TTL: Duration = Duration::from_secs(30);
/// The TTL of "no link": a recording that is being uploaded has one soon.
const ABSENCE_TTL: Duration = Duration::from_secs(2);

/// A link, or that there is none.
#[derive(Clone)]
pub(crate) struct CachedLink(pub(crate) Field<DownloadLink>);

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
}

impl Links {
    pub(crate) fn new(
        limits: Live<CacheConfig>,
        max_bytes: u64,
        metrics: RecordMetrics,
        clock: Clock,
    ) -> Self {
        Self { cache: TtlCache::new(limits, max_bytes, clock), loads: SingleFlight::new(metrics) }
    }

    /// The link of a recording, if it is fresh enough for a request.
    pub(crate) fn get(&self, key: &RecordKey, context: &RequestContext) -> Option<Arc<LinkEntry>> {
        let found = self.cache.fresh(key)?;
        context.accepts_age(found.age).then_some(found.entry)
    }
}

/// The key of a link is that of its record.
impl CacheValue for CachedLink {
    type Key = RecordKey;

    fn lifetime(&self, _limits: &CacheConfig) -> Lifetime {
        let ttl = if matches!(self.0, Some(Ok(_))) { LINK_TTL } else { ABSENCE_TTL };
        Lifetime { ttl, ..Lifetime::default() }
    }

    fn bytes(&self) -> usize {
        match &self.0 {
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
