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
use super::key::CallerKey;
use super::sync::Mutex;
use crate::domain::ProjectId;

/// The size of the table. Anyone can provoke refusals, with made-up tokens, so few of them may meet the load of
/// another caller.
const PLACES: usize = 8192;

/// The current generations.
pub(crate) struct Generations(Vec<Arc<Numbers>>);

/// What a load reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoadKind {
    /// One record.
    Record,
    /// A page of a list, or links: it may hold any record of the project.
    List,
}

/// The generation that a load began in.
#[derive(Clone)]
pub(crate) struct Generation {
    numbers: Arc<Numbers>,
    kind: LoadKind,
    number: u64,
}

/// The numbers of the current generations of some callers.
#[derive(Default)]
struct Numbers {
    records: Mutex<u64>,
    lists: Mutex<u64>,
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
        let numbers = Arc::clone(self.numbers(caller, project));
        let number = *numbers.of(kind).lock();
        Generation { numbers, kind, number }
    }

    /// Ends the generations of everything that is removed. The load of a record that the upstream refused
    /// has ended with the refusal.
    pub(crate) fn end(&self, invalidation: &Invalidation) {
        match invalidation {
            Invalidation::Purge(_) | Invalidation::Token(CallerKey::Gateway) => {
                self.0.iter().for_each(|numbers| numbers.end_all());
            }
            Invalidation::Token(holder) => self.place(holder).end_all(),
            Invalidation::Record(key) => self.numbers(key.caller, &key.project).end_lists(),
            Invalidation::Lists { caller, project } => self.numbers(*caller, project).end_lists(),
            Invalidation::Absence(_) => {}
        }
    }

    /// The numbers for a holder of a token, or for the gateway's own reads of a project.
    fn numbers(&self, caller: CallerKey, project: &ProjectId) -> &Arc<Numbers> {
        match caller {
            CallerKey::Gateway => self.place(project),
            CallerKey::Holder(_) => self.place(caller),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    fn place(&self, of: impl Hash) -> &Arc<Numbers> {
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
        let number = self.numbers.of(self.kind).lock();
        if *number == self.number {
            keep();
        }
    }

    /// Whether the generation has not ended.
    pub(crate) fn is_current(&self) -> bool {
        *self.numbers.of(self.kind).lock() == self.number
    }
}

impl Numbers {
    fn of(&self, kind: LoadKind) -> &Mutex<u64> {
        match kind {
            LoadKind::Record => &self.records,
            LoadKind::List => &self.lists,
        }
    }

    fn end_all(&self) {
        *self.records.lock() += 1;
        self.end_lists();
    }

    fn end_lists(&self) {
        *self.lists.lock() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::RecordId;
    use crate::records::invalidation::Purge;
    use crate::records::key::RecordKey;

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
