//! The cache of links to videos. Links are secrets that expire: they are cached for seconds, in this process
//! only, and never logged.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::freshness::Lifetime;
use super::key::RecordKey;
use super::ttl_cache::{CacheValue, Entry};
use super::weight::of_unreadable;
use crate::config::CacheConfig;
use crate::domain::{DownloadLink, Field, Timestamp};

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

impl CachedLink {
    /// A link that was fetched just now.
    pub(crate) fn new(link: Field<DownloadLink>, now: jiff::Timestamp) -> Self {
        let ttl = match &link {
            Some(Ok(link)) => link_ttl(link.expires_at(), now),
            Some(Err(_)) | None => ABSENCE_TTL,
        };
        Self { link, ttl }
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
