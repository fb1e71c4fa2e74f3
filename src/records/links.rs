//! Links to videos: the one call of the upstream that takes many ids.
//!
//! All links that one GraphQL operation asks for go out in one call (per project, and per hundred
//! ids), which therefore waits until the operation has read its recordings. Links are secrets that
//! end after a while: they are kept for seconds, in this process only, and never logged.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataloader::BatchFn;
use dataloader::cached::Loader;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use moka::sync::Cache;

use super::caller_index::CallerIndex;
use super::flight::{Flights, JoinRequest};
use super::generation::{Generation, LoadKind};
use super::invalidation::Invalidation;
use super::key::{CallerKey, RecordKey};
use super::loader::{Asking, Reader, Records};
use super::metrics::RecordMetrics;
use super::read::{Content, Read};
use super::weight;
use crate::clock::Clock;
use crate::domain::{DownloadLink, Failure, Field, ProjectId, RecordId};
use crate::spans;
use crate::upstream::{Call, MOST_LINKS};

/// How long a link is kept. The upstream's links live longer, for a time that is not documented.
const LINK_LIFE: Duration = Duration::from_secs(30);
/// How long "no link" is believed: a recording that is being uploaded has one soon.
const ABSENCE_LIFE: Duration = Duration::from_secs(2);

/// A link, or that there is none, and when that was read.
pub(crate) struct KeptLink {
    pub(crate) link: Field<DownloadLink>,
    fetched: Instant,
}

/// Finds one call for links. Compared in full.
#[derive(Clone, PartialEq, Eq, Hash)]
struct LinksKey {
    caller: CallerKey,
    project: ProjectId,
    /// Sorted, so that the same ids make the same call.
    ids: Vec<RecordId>,
}

/// What one call answered, by id.
type Answered = Arc<HashMap<RecordId, Arc<KeptLink>>>;

/// The links of the whole process.
pub(crate) struct Links {
    entries: Cache<RecordKey, Arc<KeptLink>>,
    flights: Flights<LinksKey, Answered>,
    callers: CallerIndex,
    max_bytes: u64,
    clock: Clock,
}

/// Collects the ids of one GraphQL operation and asks for their links together.
pub(crate) struct LinkBatch {
    records: Records,
    asking: Asking,
}

/// Loads links for one GraphQL request.
pub(crate) type LinkLoader = Loader<RecordKey, Result<Arc<KeptLink>, Failure>, LinkBatch>;

impl Links {
    pub(crate) fn new(max_bytes: u64, metrics: RecordMetrics, clock: Clock) -> Self {
        let entries = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(weight::of_link)
            .time_to_live(LINK_LIFE)
            .support_invalidation_closures()
            .build();
        let (flights, callers) = (Flights::new(metrics), CallerIndex::new(clock.clone()));
        Self { entries, flights, callers, max_bytes, clock }
    }

    /// Forgets who can have no links any more.
    pub(crate) fn sweep(&self) {
        self.callers.evict_expired(LINK_LIFE);
    }

    /// The link that is kept for a recording, if it may be used.
    fn get(&self, key: &RecordKey, asking: &Asking) -> Option<Arc<KeptLink>> {
        let kept = self.entries.get(key)?;
        let good = !self.remaining(&kept).is_zero() && asking.accepts_age(self.age_of(&kept));
        good.then_some(kept)
    }

    fn keep(
        &self,
        key: &RecordKey,
        link: Field<DownloadLink>,
        generation: &Generation,
    ) -> Arc<KeptLink> {
        let kept = Arc::new(KeptLink { link, fetched: self.clock.now() });
        if self.max_bytes > 0 {
            generation.keep(|| {
                self.entries.insert(key.clone(), Arc::clone(&kept));
                self.callers.note(key.caller, &key.project);
            });
        }
        kept
    }

    /// Drops what an invalidation covers.
    pub(crate) fn invalidate(&self, invalidation: &Invalidation) {
        if !self.callers.take(invalidation) {
            return;
        }
        let invalidation = invalidation.clone();
        // Infallible: invalidation closures are enabled above.
        let _ = self.entries.invalidate_entries_if(move |key, _| {
            invalidation.covers_lists_of(key.caller, &key.project)
        });
    }

    fn age_of(&self, kept: &KeptLink) -> Duration {
        self.clock.now().saturating_duration_since(kept.fetched)
    }

    fn remaining(&self, kept: &KeptLink) -> Duration {
        let life = if matches!(kept.link, Some(Ok(_))) { LINK_LIFE } else { ABSENCE_LIFE };
        life.saturating_sub(self.age_of(kept))
    }

    /// Number of links and their weight in bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.entries.run_pending_tasks();
        (self.entries.entry_count(), self.entries.weighted_size())
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
            let read = Read::of(outcome, Duration::ZERO, Duration::ZERO, status);
            self.note_for_field(Content::Link, &read, false);
        })?;
        let read = Read {
            outcome,
            age: links.age_of(&kept),
            remaining: links.remaining(&kept),
            overdue: Duration::ZERO,
            upstream_status: None,
        };
        self.note_for_field(Content::Link, &read, true);
        self.note_read(read);
        self.note_secret();
        Ok(kept.link.clone())
    }

    /// Joins the batch of this request, once nothing is being read that could ask for more links.
    async fn load_link(&self, key: &RecordKey) -> Result<Arc<KeptLink>, Failure> {
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

impl BatchFn<RecordKey, Result<Arc<KeptLink>, Failure>> for LinkBatch {
    async fn load(
        &mut self,
        keys: &[RecordKey],
    ) -> HashMap<RecordKey, Result<Arc<KeptLink>, Failure>> {
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
    async fn board(&self, key: &LinksKey) -> Result<Answered, Failure> {
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
    ) -> Result<Answered, Failure> {
        let read = self.upstream().list_download_links(&call, &key.project, &key.ids).await;
        let mut answered = read.inspect_err(|failure| {
            if let Some(refused) = Invalidation::by_list(failure, key.caller, &key.project) {
                self.revoke(refused);
            }
        })?;
        let mut keep = |id: &RecordId| {
            let link = answered.remove(&RecordId::folded(id.as_str())).flatten();
            (id.clone(), self.links().keep(&key.record(id), link, &generation))
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
