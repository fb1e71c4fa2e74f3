//! One GraphQL request: what it demands of cached data, what it read, and what its answer shows. Cache
//! headers, logs, explanations and audit events are made of that.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use smallvec::SmallVec;
use tracing::field::Empty;
use tracing::{Span, info_span};

use crate::domain::{CallerIdentity, Grant, ProjectId, RecordId, Token};
use crate::spans::TARGET;
use crate::upstream::{Call, Requester};

/// The most projects that are noted.
const MOST_PROJECTS: usize = 10;
/// The attribute of a read's span that holds its outcome.
const OUTCOME: &str = "gateway.cache.outcome";

/// The caller of a GraphQL request, and how it wants to be answered.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The caller, for limits.
    pub identity: CallerIdentity,
    /// Distinguishes the operations of a caller; set by [`Records::reader`](super::Records::reader).
    pub(crate) operation: u64,
    /// The caller's token, where one came.
    pub token: Option<Token>,
    /// What the caller may see and do.
    pub grant: Arc<Grant>,
    /// `X-Request-Id`, sent upstream with every call made for this request.
    pub request_id: Arc<str>,
    /// Read from the upstream even what is fresh: request header `Cache-Control: no-cache`.
    pub no_cache: bool,
    /// Read from the upstream what is older than this: request header `Cache-Control: max-age=…`.
    pub max_age: Option<Duration>,
}

impl RequestContext {
    /// The upstream calls of this request.
    pub(crate) fn call(&self) -> Call {
        let request_id = Arc::clone(&self.request_id);
        let token = self.token.clone();
        let requester = Requester { caller: self.identity.limit_key(), operation: self.operation };
        Call { requester, token, request_id, waited: Duration::ZERO }
    }

    /// The outcome of a load: `is_leader` where this request started it.
    pub(crate) fn outcome(&self, is_leader: bool, was_cached: bool) -> CacheOutcome {
        match (is_leader, self.no_cache, was_cached) {
            (false, ..) => CacheOutcome::Collapsed,
            (true, true, _) => CacheOutcome::Bypass,
            (true, false, true) => CacheOutcome::Expired,
            (true, false, false) => CacheOutcome::Miss,
        }
    }

    /// Whether a cached value of an age is young enough for this request.
    pub(crate) fn accepts_age(&self, age: Duration) -> bool {
        !self.no_cache && self.max_age.is_none_or(|most| age <= most)
    }
}

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

/// The first few projects that were asked for, allowed or not, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedProjects(pub SmallVec<[AskedProject; 1]>);

/// A project that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedProject {
    /// Its id.
    pub id: ProjectId,
    /// The label of its region, if the project is served.
    pub region: Option<Arc<str>>,
}

impl AskedProjects {
    /// Notes a project, and its region if it is served.
    pub(crate) fn note(&mut self, id: &ProjectId, region: Option<&Arc<str>>) {
        if self.0.len() < MOST_PROJECTS && !self.0.iter().any(|asked| asked.id == *id) {
            self.0.push(AskedProject { id: id.clone(), region: region.cloned() });
        }
    }

    /// Adds what another operation, or another answer, has asked for.
    pub(crate) fn add(&mut self, other: &Self) {
        for AskedProject { id, region } in &other.0 {
            self.note(id, region.as_ref());
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
        let name = format_args!("read {}", self.noun());
        info_span!(target: TARGET, "read", otel.name = %name, gateway.cache.outcome = Empty)
    }
}

impl CacheOutcome {
    /// Records the outcome in the span of a read.
    pub(crate) fn record(self, span: &Span) {
        span.record(OUTCOME, self.as_str());
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
        if self.reads.is_empty() && self.asked.0.is_empty() && self.events.is_empty() {
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

tokio::task_local! {
    /// The path of the field that is being read for.
    static FIELD: Vec<Value>;
}

/// One thing that was read for a field, for clients that build a page and want to know. It says neither whose
/// it is nor what is in it. Spans of time are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// As it stands in errors: names, and places in lists.
    path: Vec<Value>,
    /// `record`, `page` or `link`.
    kind: &'static str,
    /// As in [`CacheOutcome::as_str`].
    outcome: &'static str,
    /// Which tier of the cache held it; none where the upstream was asked.
    tier: Option<&'static str>,
    /// Nothing where it could not be read.
    age_ms: Option<u64>,
    fresh_for_ms: Option<u64>,
    stale_for_ms: Option<u64>,
    /// HTTP status of the upstream's answer, where it was asked and answered.
    upstream_status: Option<u16>,
}

/// Reads for a field: what `reading` reads, however deep below, is noted under `path`.
pub async fn at<T>(path: Vec<Value>, reading: impl Future<Output = T>) -> T {
    FIELD.scope(path, reading).await
}

impl Explained {
    /// A read for the field that is being read for. It may have failed.
    pub(crate) fn new(content: Content, read: &Read, is_there: bool) -> Self {
        let millis = |span: Duration| u64::try_from(span.as_millis()).ok().filter(|_| is_there);
        let tier = if read.is_shared { "shared" } else { "process" };
        let was_cached = matches!(
            read.outcome,
            CacheOutcome::Hit | CacheOutcome::Stale | CacheOutcome::StaleOnError
        );
        Self {
            path: FIELD.try_with(Clone::clone).unwrap_or_default(),
            kind: content.noun(),
            outcome: read.outcome.as_str(),
            tier: (is_there && was_cached).then_some(tier),
            age_ms: millis(read.age),
            fresh_for_ms: millis(read.remaining),
            stale_for_ms: millis(read.overdue),
            upstream_status: read.upstream_status,
        }
    }

    /// Whether both are of one kind and for one field.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (&self.path, self.kind) == (&other.path, other.kind)
    }
}

/// Something that an answer shows, or refuses to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// What it is.
    pub kind: AuditEventKind,
    /// The project.
    pub project: ProjectId,
    /// The label of its region, if the project is served.
    pub region: Option<Arc<str>>,
    /// Id of the recording; `None` for lists.
    pub record: Option<String>,
    /// The user of the recording, if the recording is known and has one.
    pub username: Option<String>,
    /// What a client has listed.
    pub listing: Option<AuditedListing>,
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditEventKind {
    /// Fields of a recording were answered.
    Read,
    /// What happened on the desktop during a recording was answered.
    Operations,
    /// A link to the video was given out.
    Download,
    /// Recordings were listed.
    Listed,
    /// Statistics of recordings were answered.
    Counted,
    /// The caller may not see what it asked for.
    Denied,
}

/// A list of recordings, as a client asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedListing {
    /// The argument `filter`.
    pub filter: Value,
    /// Rows that were answered, or counted.
    pub rows: usize,
}

impl AuditEventKind {
    /// As it stands in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "recording.read",
            Self::Operations => "recording.operations",
            Self::Download => "recording.download",
            Self::Listed => "recordings.listed",
            Self::Counted => "recordings.counted",
            Self::Denied => "access.denied",
        }
    }
}

impl AuditEvent {
    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        let texts = [&self.record, &self.username].into_iter().flatten().map(String::len);
        let filter = self.listing.as_ref().map_or(0, |listing| listing.filter.to_string().len());
        size_of::<Self>() + texts.sum::<usize>() + 4 * filter
    }

    /// The events of one answer: one of a kind for each recording, and one for each list and count.
    pub fn distinct(events: &[Self]) -> impl Iterator<Item = &Self> {
        let mut met = HashSet::new();
        events.iter().filter(move |event| {
            let id = event.record.as_deref().map(RecordId::folded);
            event.listing.is_some() || met.insert((event.kind, &event.project, id))
        })
    }
}
