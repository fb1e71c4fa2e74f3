//! Links to videos: the one call of the upstream that takes many ids.
//!
//! All links that one GraphQL operation asks for go out in one call (per project, and per hundred
//! ids), which therefore waits until the operation has read its recordings. Links are secrets that
//! end after a while: they are kept for seconds, in this process only, and never logged.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dataloader::BatchFn;
use dataloader::cached::Loader;
use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::flight::{Flights, JoinRequest};
use super::freshness::Lifetime;
use super::generation::{Generation, LoadKind};
use super::invalidation::Invalidation;
use super::key::{CallerKey, RecordKey};
use super::loader::{Asking, Reader, Records};
use super::metrics::RecordMetrics;
use super::read::{Content, Read};
use super::ttl_cache::{CacheValue, Entry, TtlCache};
use super::weight::of_unreadable;
use crate::clock::Clock;
use crate::config::{CacheConfig, Live};
use crate::domain::{DownloadLink, Failure, Field, ProjectId, RecordId};
use crate::spans;
use crate::upstream::{Call, MOST_LINKS};

/// The TTL of a link. The upstream's links live longer, for a time that is not documented.
pub(crate) const LINK_TTL: Duration = Duration::from_secs(30);
/// The TTL of "no link": a recording that is being uploaded has one soon.
const ABSENCE_TTL: Duration = Duration::from_secs(2);

/// A link, or that there is none.
#[derive(Clone)]
pub(crate) struct CachedLink(Field<DownloadLink>);

type LinkEntry = Entry<CachedLink>;

/// Finds one call for links. Compared in full.
#[derive(Clone, PartialEq, Eq, Hash)]
struct LinksKey {
    caller: CallerKey,
    project: ProjectId,
    /// Sorted, so that the same ids make the same call.
    ids: Vec<RecordId>,
}

/// What one call answered, by id.
type LinksById = Arc<HashMap<RecordId, Arc<LinkEntry>>>;

/// The links of the whole process.
pub(crate) struct Links {
    pub(crate) cache: TtlCache<CachedLink>,
    flights: Flights<LinksKey, LinksById>,
}

/// Collects the ids of one GraphQL operation and asks for their links together.
pub(crate) struct LinkBatch {
    records: Records,
    asking: Asking,
}

/// Loads links for one GraphQL request.
pub(crate) type LinkLoader = Loader<RecordKey, Result<Arc<LinkEntry>, Failure>, LinkBatch>;

impl Links {
    pub(crate) fn new(
        limits: Live<CacheConfig>,
        max_bytes: u64,
        metrics: RecordMetrics,
        clock: Clock,
    ) -> Self {
        Self { cache: TtlCache::new(limits, max_bytes, clock), flights: Flights::new(metrics) }
    }

    /// The link of a recording, if it is fresh enough for a request.
    fn get(&self, key: &RecordKey, asking: &Asking) -> Option<Arc<LinkEntry>> {
        let found = self.cache.fresh(key)?;
        asking.accepts_age(found.age).then_some(found.entry)
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

impl Reader {
    /// A link to the video of a recording; `None` where there is no file.
    ///
    /// # Errors
    /// As [`Reader::screen_record`].
    pub async fn download_link(
        &self,
        project: ProjectId,
        id: RecordId,
    ) -> Result<Field<DownloadLink>, Failure> {
        let key = self.admit(project, id)?;
        // A link is a secret that lives for seconds.
        self.mark_uncacheable();
        let links = self.records().links();
        let asking = self.asking();
        let span = Content::Link.span();
        let (outcome, kept) = match links.get(&key, asking) {
            Some(kept) => (super::CacheOutcome::Hit, Ok(kept)),
            None => (asking.outcome(true, false), self.load_link(&key).await),
        };
        outcome.record(&span);
        let kept = kept.inspect_err(|failure| {
            spans::fail(&span, failure.code().as_str());
            let status = failure.upstream_status();
            let read = Read::failed(outcome, status);
            self.note_for_field(Content::Link, &read, false);
        })?;
        let found = links.cache.assess(Arc::clone(&kept));
        let read = Read::of(outcome, found.age, found.ttl, None);
        self.note_for_field(Content::Link, &read, true);
        self.note_read(read);
        self.note_secret();
        Ok(kept.value.0.clone())
    }

    /// Joins the batch of this request, once nothing is being read that could ask for more links.
    async fn load_link(&self, key: &RecordKey) -> Result<Arc<LinkEntry>, Failure> {
        self.quiet().await;
        let loader = self.link_loader(|| {
            let batch =
                LinkBatch { records: self.records().clone(), asking: self.asking().clone() };
            Loader::new(batch).with_yield_count(1).with_max_batch_size(usize::MAX)
        });
        match loader.try_load(key.clone()).await {
            Ok(kept) => kept,
            // The batch answers every key.
            Err(_) => Err(Failure::Overloaded),
        }
    }
}

impl BatchFn<RecordKey, Result<Arc<LinkEntry>, Failure>> for LinkBatch {
    async fn load(
        &mut self,
        keys: &[RecordKey],
    ) -> HashMap<RecordKey, Result<Arc<LinkEntry>, Failure>> {
        let calls = calls_for(keys);
        let answers = join_all(calls.iter().map(|call| self.board(call))).await;
        let mut loaded = HashMap::with_capacity(keys.len());
        for (LinksKey { caller, project, ids }, answer) in calls.into_iter().zip(answers) {
            for id in ids {
                let link = match &answer {
                    Ok(links) => links.get(&id).cloned().ok_or(Failure::Overloaded),
                    Err(failure) => Err(failure.clone()),
                };
                loaded.insert(RecordKey { caller, project: project.clone(), id }, link);
            }
        }
        loaded
    }
}

impl LinkBatch {
    async fn board(&self, key: &LinksKey) -> Result<LinksById, Failure> {
        let links = self.records.links();
        let landed = || {
            let kept =
                |id: &RecordId| Some((id.clone(), links.get(&key.record(id), &self.asking)?));
            key.ids.iter().map(kept).collect::<Option<HashMap<_, _>>>().map(Arc::new)
        };
        let load = |generation| {
            let (records, key, call) = (self.records.clone(), key.clone(), self.asking.call());
            async move { records.load_links(key, call, generation).await }.boxed()
        };
        let begin = || self.records.generations().begin(key.caller, &key.project, LoadKind::List);
        // The call is below the operation and not below one of the reads, whose spans are never entered.
        links.flights.board(JoinRequest { key, begin: &begin }, landed, load).flight.await
    }
}

impl LinksKey {
    fn record(&self, id: &RecordId) -> RecordKey {
        RecordKey { caller: self.caller, project: self.project.clone(), id: id.clone() }
    }
}

impl Records {
    async fn load_links(
        self,
        key: LinksKey,
        call: Call,
        generation: Generation,
    ) -> Result<LinksById, Failure> {
        let read = self.upstream().list_download_links(&call, &key.project, &key.ids).await;
        let mut answered = read.inspect_err(|failure| {
            if let Some(refused) = Invalidation::by_list(failure, key.caller, &key.project) {
                self.revoke(refused);
            }
        })?;
        let cache = &self.links().cache;
        let mut keep = |id: &RecordId| {
            let link = answered.remove(&RecordId::folded(id.as_str())).flatten();
            let entry = cache.entry(CachedLink(link));
            cache.insert(&key.record(id), &entry, &generation);
            (id.clone(), entry)
        };
        Ok(Arc::new(key.ids.iter().map(&mut keep).collect()))
    }
}

/// The calls that some recordings make: one for each project, and no more than so many ids in each.
fn calls_for(keys: &[RecordKey]) -> Vec<LinksKey> {
    let mut by_project: HashMap<(CallerKey, &ProjectId), Vec<RecordId>> = HashMap::new();
    for key in keys {
        by_project.entry((key.caller, &key.project)).or_default().push(key.id.clone());
    }
    let mut calls = Vec::new();
    for ((caller, project), mut ids) in by_project {
        ids.sort();
        let chunks = ids.chunks(MOST_LINKS).map(<[RecordId]>::to_vec);
        calls.extend(chunks.map(|ids| LinksKey { caller, project: project.clone(), ids }));
    }
    calls
}
