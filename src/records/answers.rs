//! Answers that were made of what was read, kept as the bytes they were written in.
//!
//! An answer counts only while every record and page it was made of is still the one that is kept, and
//! fresh. So there is nothing to know here of purges, refreshes, refusals or staleness: what is true
//! of the records and pages is true of their answers.

use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use foldhash::quality::RandomState;
use moka::sync::Cache;

use super::cache::Entry;
use super::key::{CallerKey, RecordKey};
use super::list::OperationListing;
use super::loader::Reader;
use super::pages::{KeptPage, Listing, PageKey, Pages};
use super::read::{CacheOutcome, Read};
use super::traced::Content;
use super::weight::BOOKKEEPING;
use crate::config::{CacheConfig, Live};
use crate::domain::{ProjectId, RecordQuery};

/// The longest answer that is kept.
const LONGEST: usize = 1024 * 1024;

/// The answers of the process.
pub(crate) struct KeptAnswers {
    entries: Cache<AnswerKey, Arc<KeptAnswer>, RandomState>,
    limits: Live<CacheConfig>,
}

/// Finds an answer. Compared in full: whose it is, and what was asked, as its maker writes that down.
#[derive(PartialEq, Eq, Hash)]
struct AnswerKey {
    caller: CallerKey,
    question: Box<[u8]>,
}

struct KeptAnswer {
    body: Bytes,
    sources: Vec<Source>,
    made: Instant,
}

/// Something that an answer was made of, as it was then.
pub(crate) enum Source {
    /// A record.
    Record(RecordKey, Weak<Entry>),
    /// A page of recordings.
    RecordPage(PageKey<RecordQuery>, WeakPage<RecordQuery>),
    /// A page of operations.
    OperationPage(PageKey<OperationListing>, WeakPage<OperationListing>),
}

pub(crate) type WeakPage<L> = Weak<KeptPage<<L as Listing>::Row>>;

/// What an answer is made of, while it is being made.
#[derive(Default)]
pub(crate) enum Sources {
    /// Nobody wants to know.
    #[default]
    Unwanted,
    /// All that was read.
    Known(Vec<Source>),
    /// Something was read that no answer may be kept of.
    Unfit,
}

impl Source {
    fn content(&self) -> Content {
        match self {
            Self::Record(..) => Content::Record,
            Self::RecordPage(..) | Self::OperationPage(..) => Content::Page,
        }
    }
}

impl Sources {
    pub(crate) fn add(&mut self, source: impl FnOnce() -> Source) {
        if let Self::Known(sources) = self {
            sources.push(source());
        }
    }

    pub(crate) fn spoil(&mut self) {
        if matches!(self, Self::Known(_)) {
            *self = Self::Unfit;
        }
    }
}

impl KeptAnswers {
    pub(crate) fn new(limits: Live<CacheConfig>, max_bytes: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(weight)
            .build_with_hasher(RandomState::default());
        Self { entries, limits }
    }

    /// Lets go of what nothing that is fresh can vouch for any more.
    pub(crate) fn sweep(&self, now: Instant) {
        let limits = self.limits.get();
        let longest = limits.ttl_final.max(limits.ttl_active).max(limits.ttl_list);
        for (key, kept) in &self.entries {
            if now.saturating_duration_since(kept.made) >= longest {
                self.entries.invalidate(&*key);
            }
        }
    }

    /// Number of answers and their weight in bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.entries.run_pending_tasks();
        (self.entries.entry_count(), self.entries.weighted_size())
    }
}

fn weight(key: &AnswerKey, kept: &Arc<KeptAnswer>) -> u32 {
    // What a source points to may be gone, but its place is taken until the last answer lets go.
    const SOURCE: usize = size_of::<Source>() + size_of::<Entry>() + 128;
    let bytes = BOOKKEEPING + size_of::<AnswerKey>() + size_of::<KeptAnswer>() + key.question.len();
    u32::try_from(bytes + kept.body.len() + kept.sources.len() * SOURCE).unwrap_or(u32::MAX)
}

impl Reader {
    /// The answer that was made of what is still kept and fresh, for the same question of this caller.
    pub(crate) fn kept_answer(&self, question: &[u8]) -> Option<Bytes> {
        if self.asking().no_cache {
            return None;
        }
        let key = AnswerKey { caller: self.caller()?, question: question.into() };
        let kept = self.records().answers().entries.get(&key)?;
        let reads: Option<Vec<Read>> =
            kept.sources.iter().map(|source| self.vouch_for(source)).collect();
        for (source, read) in kept.sources.iter().zip(reads?) {
            source.content().found(&self.asking().trace, read.outcome);
            self.note_read(read);
        }
        self.records().metrics().answers_reused.inc();
        Some(kept.body.clone())
    }

    /// Notes from now on what is read, so that the answer can be kept.
    pub(crate) fn note_sources(&self) {
        if !self.asking().no_cache {
            *self.sources() = Sources::Known(Vec::new());
        }
    }

    /// Whether an answer made of what was read may be kept: all of it is fresh, and no secret.
    pub(crate) fn may_keep(&self) -> bool {
        matches!(&*self.sources(), Sources::Known(sources) if !sources.is_empty())
    }

    /// Keeps an answer without errors, made of all that was read since sources are noted.
    pub(crate) fn keep_answer(&self, question: Vec<u8>, body: &Bytes) {
        let sources = std::mem::take(&mut *self.sources());
        let (Sources::Known(sources), Some(caller)) = (sources, self.caller()) else { return };
        if body.len() > LONGEST {
            return;
        }
        let key = AnswerKey { caller, question: question.into() };
        let made = self.records().now();
        let kept = Arc::new(KeptAnswer { body: body.clone(), sources, made });
        self.records().answers().entries.insert(key, kept);
    }

    pub(crate) fn sources(&self) -> std::sync::MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The read that a source stands for, if it is still kept as it was, and fresh, and this caller
    /// may see its project.
    fn vouch_for(&self, source: &Source) -> Option<Read> {
        match source {
            Source::Record(key, then) => {
                self.vouch_for_project(&key.project)?;
                let cache = self.records().cache();
                let now = cache.fresh(key)?;
                (Arc::as_ptr(&now) == then.as_ptr()).then_some(())?;
                self.as_hit(cache.age_of(&now), cache.remaining(&now))
            }
            Source::RecordPage(key, then) => {
                self.vouch_for_page(self.records().record_pages(), key, then)
            }
            Source::OperationPage(key, then) => {
                self.vouch_for_page(self.records().operation_pages(), key, then)
            }
        }
    }

    fn vouch_for_page<L: Listing>(
        &self,
        pages: &Pages<L>,
        key: &PageKey<L>,
        then: &WeakPage<L>,
    ) -> Option<Read> {
        self.vouch_for_project(&key.project)?;
        let now = pages.get(key).filter(|now| pages.is_fresh(now))?;
        (Arc::as_ptr(&now) == then.as_ptr()).then_some(())?;
        self.as_hit(pages.age_of(&now), pages.remaining(&now))
    }

    fn vouch_for_project(&self, project: &ProjectId) -> Option<()> {
        self.admit_project(project).ok().map(|_| ())
    }

    fn as_hit(&self, age: Duration, remaining: Duration) -> Option<Read> {
        let hit = Read {
            outcome: CacheOutcome::Hit,
            age,
            remaining,
            overdue: Duration::ZERO,
            upstream_status: None,
        };
        self.asking().accepts_age(age).then_some(hit)
    }
}
