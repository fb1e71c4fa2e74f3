//! What must no longer be served: because of a purge, or because the upstream refused it.
//!
//! [`Generations`] keep a load from bringing back what was dropped while it ran. A load begins in a
//! generation. Whatever drops cached data, a purge or a refusal, ends the generation first: a load that
//! began in it no longer writes the cache, and no read joins it.
//!
//! Generations are numbers in a table of fixed size. Callers whose numbers are in the same place end each
//! other's generations: some loads are then not cached, and no data is ever wrong.
//!
//! A [`CallerIndex`] knows which callers have something cached. Where the upstream refuses a caller, what is
//! cached for them is found by a search through a whole cache. Anyone can provoke refusals, with made-up
//! tokens, so callers without cached data must not cost a search.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use serde::{Deserialize, Serialize};

use super::key::{CallerKey, RecordKey};
use super::sync::Mutex;
use crate::domain::{CacheTag, Failure, ProjectId, RecordId, Revoked};

/// The size of the table of generations. Anyone can provoke refusals, with made-up tokens, so few of them
/// may meet the load of another caller.
pub(crate) const PLACES: usize = 8192;

/// What an operator purges, for every caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purge {
    /// One recording, in whichever form its id is written, and every list and link of its project.
    Record(ProjectId, RecordId),
    /// All recordings, lists and links of a project.
    Project(ProjectId),
    /// Everything.
    All,
}

/// Cached data that must no longer be served. Replicas send it to each other as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Invalidation {
    /// It was purged.
    Purge(Purge),
    /// The upstream refused a token: everything that was read with it.
    Token(CallerKey),
    /// The upstream refused a record to a caller: the record, and the lists and links of its project.
    Record(RecordKey),
    /// The upstream refused the lists of a project to a caller: these and the links.
    Lists { caller: CallerKey, project: ProjectId },
    /// The upstream has no such record. Lists and links stay.
    Absence(RecordKey),
}

impl Purge {
    /// As it stands in logs and metrics.
    pub fn scope(&self) -> &'static str {
        match self {
            Self::Record(..) => "record",
            Self::Project(_) => "project",
            Self::All => "all",
        }
    }

    /// Tags of the answers in a router's cache that show what is purged; `None` if that is everything.
    pub fn cache_tags(&self) -> Option<Vec<String>> {
        let tags = match self {
            Self::Record(project, id) => {
                let (project, id) = (project.as_str(), id.as_str());
                vec![
                    CacheTag::Recording { project, id },
                    CacheTag::Lists(project),
                    CacheTag::Projects,
                ]
            }
            Self::Project(project) => {
                vec![CacheTag::Project(project.as_str()), CacheTag::Projects]
            }
            Self::All => return None,
        };
        Some(tags.iter().map(ToString::to_string).collect())
    }

    /// The project, unless everything is purged.
    pub(crate) fn project(&self) -> Option<&ProjectId> {
        match self {
            Self::Record(project, _) | Self::Project(project) => Some(project),
            Self::All => None,
        }
    }

    fn covers_project(&self, project: &ProjectId) -> bool {
        self.project().is_none_or(|purged| purged == project)
    }
}

impl Invalidation {
    /// What a failure to read something invalidates: `refused`, or all that the caller's token could read. A
    /// refusal of the gateway's own credentials invalidates only what was requested. Otherwise one caller
    /// could empty the cache of all.
    pub(crate) fn by(
        failure: &Failure,
        caller: CallerKey,
        refused: impl FnOnce() -> Self,
    ) -> Option<Self> {
        let is_token = failure.revokes()? == Revoked::Credentials && caller != CallerKey::Gateway;
        Some(if is_token { Self::Token(caller) } else { refused() })
    }

    /// Whether it covers a cached record.
    pub(crate) fn covers_record(&self, key: &RecordKey) -> bool {
        match self {
            Self::Purge(Purge::Record(project, id)) => {
                *project == key.project
                    && RecordId::folded(id.as_str()) == RecordId::folded(key.id.as_str())
            }
            Self::Purge(purge) => purge.covers_project(&key.project),
            Self::Token(caller) => *caller == key.caller,
            Self::Record(refused) | Self::Absence(refused) => refused == key,
            Self::Lists { .. } => false,
        }
    }

    /// Whether it covers the lists and links of a project: any of them may hold the record.
    pub(crate) fn covers_lists_of(&self, caller: CallerKey, project: &ProjectId) -> bool {
        match self {
            Self::Purge(purge) => purge.covers_project(project),
            Self::Token(refused) => *refused == caller,
            Self::Record(key) => key.caller == caller && key.project == *project,
            Self::Lists { caller: refused, project: of } => *refused == caller && of == project,
            Self::Absence(_) => false,
        }
    }
}

/// The numbers of the current generations.
pub(crate) struct Generations(Vec<Arc<Mutex<u64>>>);

/// What a load reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LoadKind {
    /// One record.
    Record,
    /// A page of a list, or links: it may hold any record of the project.
    List,
}

/// The generation that a load began in.
#[derive(Clone)]
pub(crate) struct Generation {
    current: Arc<Mutex<u64>>,
    number: u64,
}

impl Generations {
    /// A table with some places, one at least.
    pub(super) fn new(places: usize) -> Self {
        Self((0..places).map(|_| Arc::default()).collect())
    }

    /// The generation of a load that begins now.
    pub(crate) fn begin(
        &self,
        caller: CallerKey,
        project: &ProjectId,
        kind: LoadKind,
    ) -> Generation {
        let current = Arc::clone(self.current(caller, project, kind));
        let number = *current.lock();
        Generation { current, number }
    }

    /// Ends the generations of everything that is removed. The load of a record that the upstream refused
    /// has ended with the refusal.
    pub(crate) fn end(&self, invalidation: &Invalidation) {
        match invalidation {
            Invalidation::Purge(_) | Invalidation::Token(CallerKey::Gateway) => {
                self.0.iter().for_each(|current| *current.lock() += 1);
            }
            Invalidation::Token(holder) => {
                for kind in [LoadKind::Record, LoadKind::List] {
                    *self.place((holder, kind)).lock() += 1;
                }
            }
            Invalidation::Record(RecordKey { caller, project, .. })
            | Invalidation::Lists { caller, project } => {
                *self.current(*caller, project, LoadKind::List).lock() += 1;
            }
            Invalidation::Absence(_) => {}
        }
    }

    /// The number for a holder of a token, or for the gateway's own reads of a project.
    fn current(&self, caller: CallerKey, project: &ProjectId, kind: LoadKind) -> &Arc<Mutex<u64>> {
        match caller {
            CallerKey::Gateway => self.place((project, kind)),
            CallerKey::Holder(_) => self.place((caller, kind)),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    fn place(&self, of: impl Hash) -> &Arc<Mutex<u64>> {
        let mut hasher = DefaultHasher::new();
        of.hash(&mut hasher);
        let place = hasher.finish() % self.0.len() as u64;
        &self.0[usize::try_from(place).unwrap_or_default()]
    }
}

impl Generation {
    /// Keeps what a load of this generation has read, unless the generation has ended. It does not end
    /// meanwhile: a reader must not find after a removal what was kept for a moment only.
    pub(crate) fn keep(&self, keep: impl FnOnce()) {
        let current = self.current.lock();
        if *current == self.number {
            keep();
        }
    }

    /// Whether the generation has not ended.
    pub(crate) fn is_current(&self) -> bool {
        *self.current.lock() == self.number
    }
}

/// The callers that something may be cached for, by the project it is of and when it was cached last. Only
/// data from the upstream gets one in here.
#[derive(Default)]
pub(crate) struct CallerIndex(Mutex<Callers>);

type Callers = HashMap<CallerKey, HashMap<ProjectId, Instant, RandomState>, RandomState>;

impl CallerIndex {
    /// Notes that something was cached.
    pub(crate) fn note(&self, caller: CallerKey, project: &ProjectId, now: Instant) {
        let mut callers = self.0.lock();
        let projects = callers.entry(caller).or_default();
        match projects.get_mut(project) {
            Some(noted) => *noted = now,
            None => {
                projects.insert(project.clone(), now);
            }
        }
    }

    /// Whether there may be something to drop, which the asker drops now.
    pub(crate) fn take(&self, invalidation: &Invalidation) -> bool {
        match invalidation {
            Invalidation::Purge(_) => true,
            Invalidation::Token(caller) => self.0.lock().remove(caller).is_some(),
            Invalidation::Record(key) => self.take_project(key.caller, &key.project),
            Invalidation::Lists { caller, project } => self.take_project(*caller, project),
            Invalidation::Absence(_) => false,
        }
    }

    fn take_project(&self, caller: CallerKey, project: &ProjectId) -> bool {
        let mut callers = self.0.lock();
        let Some(projects) = callers.get_mut(&caller) else { return false };
        let is_there = projects.remove(project).is_some();
        if projects.is_empty() {
            callers.remove(&caller);
        }
        is_there
    }

    /// Forgets callers whose last data was cached longer ago than anything lives. To be called after
    /// what has lived so long was dropped.
    pub(crate) fn evict_expired(&self, now: Instant, life: Duration) {
        let mut callers = self.0.lock();
        for projects in callers.values_mut() {
            projects.retain(|_, noted| now.saturating_duration_since(*noted) <= life);
        }
        callers.retain(|_, projects| !projects.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const ONE: CallerKey = CallerKey::Holder([1; 32]);
    const OTHER: CallerKey = CallerKey::Holder([2; 32]);

    fn project(name: &str) -> ProjectId {
        ProjectId::parse(name).unwrap()
    }

    fn lists_of(caller: CallerKey, name: &str) -> Invalidation {
        Invalidation::Lists { caller, project: project(name) }
    }

    #[test]
    fn an_invalidation_ends_the_loads_it_covers_and_no_refusal_those_of_another_caller() {
        let id = RecordId::parse("r").unwrap();
        let key = |caller| RecordKey { caller, project: project("p"), id: id.clone() };
        let lists = |caller| Invalidation::Lists { caller, project: project("p") };
        let loads = [
            (ONE, "p", LoadKind::Record),
            (ONE, "p", LoadKind::List),
            (OTHER, "p", LoadKind::Record),
            (OTHER, "p", LoadKind::List),
            (CallerKey::Gateway, "p", LoadKind::List),
            (CallerKey::Gateway, "q", LoadKind::List),
        ];
        for (invalidation, ended) in [
            (Invalidation::Purge(Purge::All), [true; 6]),
            (Invalidation::Purge(Purge::Project(project("p"))), [true; 6]),
            (Invalidation::Token(ONE), [true, true, false, false, false, false]),
            (Invalidation::Record(key(ONE)), [false, true, false, false, false, false]),
            (lists(OTHER), [false, false, false, true, false, false]),
            (lists(CallerKey::Gateway), [false, false, false, false, true, false]),
            (Invalidation::Absence(key(ONE)), [false; 6]),
        ] {
            let all = Generations::new(PLACES);
            let begun = loads.map(|(caller, name, kind)| all.begin(caller, &project(name), kind));

            all.end(&invalidation);

            let is_ended = |load: &Generation| {
                let mut is_kept = false;
                load.keep(|| is_kept = true);
                assert_eq!(is_kept, load.is_current());
                !is_kept
            };
            assert_eq!(begun.each_ref().map(is_ended), ended, "after {invalidation:?}");
            assert!(all.begin(ONE, &project("p"), LoadKind::List).is_current());
        }
    }

    #[test]
    fn only_who_holds_something_costs_a_search() {
        let index = CallerIndex::default();

        let now = Clock::default().now();
        index.note(ONE, &project("p"), now);

        assert!(!index.take(&lists_of(OTHER, "p")), "a stranger was searched for");
        assert!(!index.take(&Invalidation::Token(OTHER)), "a stranger was searched for");
        assert!(!index.take(&lists_of(ONE, "q")), "another project was searched");
        assert!(index.take(&lists_of(ONE, "p")), "a holder was not searched for");
        assert!(!index.take(&lists_of(ONE, "p")), "a holder was searched for twice");
        index.note(ONE, &project("p"), now);
        assert!(index.take(&Invalidation::Token(ONE)), "a holder was forgotten for good");
    }

    #[test]
    fn holders_are_forgotten_once_nothing_of_theirs_can_be_left() {
        let (index, begin, minute) =
            (CallerIndex::default(), Clock::default().now(), Duration::from_mins(1));
        index.note(ONE, &project("p"), begin);
        index.note(OTHER, &project("p"), begin + 2 * minute);

        index.evict_expired(begin + 2 * minute, minute);

        assert!(!index.take(&Invalidation::Token(ONE)), "an early holder is still known");
        assert!(index.take(&Invalidation::Token(OTHER)), "a late holder was forgotten");
    }
}
