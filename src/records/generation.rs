//! Keeps a load from bringing back what was dropped while it ran.
//!
//! A load begins in a generation. Whatever drops cached data, a purge or a refusal, ends the generation
//! first: a load that began in it no longer writes the cache, and no read joins it.
//!
//! Generations are numbers in a table of fixed size. Callers whose numbers are in the same place end each
//! other's generations: some loads are then not cached, and no data is ever wrong.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use super::invalidation::Invalidation;
use super::key::{CallerKey, RecordKey};
use super::sync::Mutex;
use crate::domain::ProjectId;

/// The size of the table. Anyone can provoke refusals, with made-up tokens, so few of them may meet the load of
/// another caller.
const PLACES: usize = 8192;

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

impl Default for Generations {
    fn default() -> Self {
        Self::new(PLACES)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::RecordId;
    use crate::records::invalidation::Purge;

    const ONE: CallerKey = CallerKey::Holder([1; 32]);
    const OTHER: CallerKey = CallerKey::Holder([2; 32]);

    fn project(name: &str) -> ProjectId {
        ProjectId::parse(name).unwrap()
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
            let all = Generations::default();
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
}
