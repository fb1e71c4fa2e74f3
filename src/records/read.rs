//! What a request read, and where each part came from: cache headers and logs are made of it.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tracing::field::Empty;
use tracing::{Span, info_span};

use super::audit_event::AuditEvent;
use crate::domain::ProjectId;
use crate::spans::TARGET;

/// The most projects that are noted.
const MOST_PROJECTS: usize = 10;
/// The attribute of a read's span that holds its outcome.
const OUTCOME: &str = "gateway.cache.outcome";

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Record,
    Page,
    Link,
}

/// Where a record came from, from the nearest source to the furthest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CacheOutcome {
    /// Fresh in the cache.
    Hit,
    /// Past its freshness; served while a refresh runs behind it.
    Stale,
    /// Not in the cache: joined a read that another request had begun.
    Collapsed,
    /// Not in the cache: read from the upstream.
    Miss,
    /// In the cache but too old: read from the upstream.
    Expired,
    /// Read from the upstream because the request asked for it.
    Bypass,
    /// Past its freshness; served in place of an upstream failure.
    StaleOnError,
}

/// One record read for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Where it came from.
    pub outcome: CacheOutcome,
    /// How long ago it was read from the upstream.
    pub age: Duration,
    /// How long it stays fresh; zero for stale data and failures.
    pub remaining: Duration,
    /// How long it has been stale; zero for what is fresh.
    pub overdue: Duration,
    /// HTTP status of the upstream call made for it, where one was made and answered.
    pub upstream_status: Option<u16>,
    /// Whether the cache that replicas share has answered it.
    pub is_shared: bool,
}

/// Everything a request read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadSummary {
    /// In the order they were finished.
    pub reads: SmallVec<[Read; 1]>,
    /// The projects that were asked for.
    pub asked: AskedProjects,
    /// Whether signed links are among it.
    pub has_links: bool,
    /// What it shows, for the audit log.
    pub events: Vec<AuditEvent>,
    /// Whether a restricted caller was denied a recording. Whether it exists must not show.
    pub has_denials: bool,
}

/// The first few projects that were asked for, allowed or not, and their regions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedProjects {
    /// Each once.
    pub projects: SmallVec<[ProjectId; 1]>,
    /// Those of served projects, each once.
    pub regions: SmallVec<[Arc<str>; 1]>,
}

impl AskedProjects {
    /// Notes a project, and its region if it is served.
    pub(crate) fn note(&mut self, project: &ProjectId, region: Option<&Arc<str>>) {
        if self.projects.len() < MOST_PROJECTS && !self.projects.contains(project) {
            self.projects.push(project.clone());
            self.note_region(region);
        }
    }

    /// Adds what another operation, or another answer, has asked for.
    pub(crate) fn add(&mut self, other: &Self) {
        for project in &other.projects {
            self.note(project, None);
        }
        for region in &other.regions {
            self.note_region(Some(region));
        }
    }

    fn note_region(&mut self, region: Option<&Arc<str>>) {
        if let Some(region) = region
            && self.regions.len() < MOST_PROJECTS
            && !self.regions.contains(region)
        {
            self.regions.push(Arc::clone(region));
        }
    }
}

impl Content {
    /// Its name where reads are explained.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Page => "page",
            Self::Link => "link",
        }
    }

    /// The span of a read. Neither project nor record is named.
    pub(crate) fn span(self) -> Span {
        let name = match self {
            Self::Record => "read record",
            Self::Page => "read page",
            Self::Link => "read link",
        };
        info_span!(target: TARGET, "read", otel.name = name, gateway.cache.outcome = Empty)
    }
}

impl CacheOutcome {
    /// Records the outcome in the span of a read.
    pub(crate) fn record(self, span: &Span) {
        span.record(OUTCOME, self.as_str());
    }

    /// As [`Self::record`]; a hit is `negative` where the cache holds that there is no such record.
    pub(crate) fn record_with_absence(self, span: &Span, is_absence: bool) {
        match self {
            Self::Hit if is_absence => {
                span.record(OUTCOME, "negative");
            }
            outcome => outcome.record(span),
        }
    }

    /// Whether it was kept already, whatever its age.
    pub(crate) fn is_kept(self) -> bool {
        match self {
            Self::Hit | Self::Stale | Self::StaleOnError => true,
            Self::Miss | Self::Collapsed | Self::Expired | Self::Bypass => false,
        }
    }

    /// As it stands in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::StaleOnError => "stale_on_error",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Expired => "expired",
            Self::Bypass => "bypass",
        }
    }
}

impl Read {
    /// A read of something of some age that is fresh until it has the age `ttl`.
    pub(crate) fn of(
        outcome: CacheOutcome,
        age: Duration,
        ttl: Duration,
        upstream_status: Option<u16>,
    ) -> Self {
        let (remaining, overdue) = (ttl.saturating_sub(age), age.saturating_sub(ttl));
        Self { outcome, age, remaining, overdue, upstream_status, is_shared: false }
    }

    /// A read without a result.
    pub(crate) fn failed(outcome: CacheOutcome, upstream_status: Option<u16>) -> Self {
        Self::of(outcome, Duration::ZERO, Duration::ZERO, upstream_status)
    }
}

impl ReadSummary {
    /// How long an answer made of these reads may be kept: the least remaining freshness.
    pub fn remaining(&self) -> Duration {
        self.reads.iter().map(|read| read.remaining).min().unwrap_or_default()
    }

    /// The age of the oldest part.
    pub fn age(&self) -> Duration {
        self.reads.iter().map(|read| read.age).max().unwrap_or_default()
    }

    /// The HTTP status of the upstream's answers, the highest of several.
    pub fn upstream_status(&self) -> Option<u16> {
        self.reads.iter().filter_map(|read| read.upstream_status).max()
    }

    /// Puts what another operation read to this.
    pub fn add(&mut self, other: Self) {
        if self.reads.is_empty() && self.asked.projects.is_empty() && self.events.is_empty() {
            *self = other;
            return;
        }
        self.has_links |= other.has_links;
        self.events.extend(other.events);
        self.has_denials |= other.has_denials;
        self.reads.extend(other.reads);
        self.asked.add(&other.asked);
    }

    /// Whether stale data stands in an error's place.
    pub fn is_stale_on_error(&self) -> bool {
        self.reads.iter().any(|read| read.outcome == CacheOutcome::StaleOnError)
    }
}
