//! Keeps a load from bringing back what was dropped while it ran.
//!
//! All loads of one caller and project that run at the same time share a generation. Whatever drops cached
//! data, a purge or a refusal, ends the generation first: a load that began in it no longer writes the
//! cache, and no read joins it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::invalidation::Invalidation;
use super::key::CallerKey;
use super::sync::{Mutex, MutexGuard, lock};
use crate::domain::ProjectId;

/// The generations of all loads that run. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Generations(Arc<Mutex<Running>>);

type Running = HashMap<CallerKey, HashMap<ProjectId, Weak<Numbers>>>;

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

/// The numbers of the current generations of one caller and project. Kept while a load runs.
struct Numbers {
    all: Generations,
    caller: CallerKey,
    project: ProjectId,
    records: Mutex<u64>,
    lists: Mutex<u64>,
}

impl Generations {
    /// The generation of a load that begins now.
    pub(crate) fn begin(
        &self,
        caller: CallerKey,
        project: &ProjectId,
        kind: LoadKind,
    ) -> Generation {
        let mut running = self.lock();
        let of_caller = running.entry(caller).or_default();
        let known = of_caller.get(project).and_then(Weak::upgrade);
        let numbers = known.unwrap_or_else(|| {
            let numbers = Arc::new(Numbers::new(self.clone(), caller, project.clone()));
            of_caller.insert(project.clone(), Arc::downgrade(&numbers));
            numbers
        });
        drop(running);
        let number = *lock(numbers.of(kind));
        Generation { numbers, kind, number }
    }

    /// Ends the generations of everything that is removed.
    pub(crate) fn end(&self, invalidation: &Invalidation) {
        for numbers in self.running(invalidation) {
            if invalidation.covers_loads_of(numbers.caller, &numbers.project) {
                Numbers::end(&numbers.records);
            }
            Numbers::end(&numbers.lists);
        }
    }

    /// The running generations that an invalidation ends. They are dropped outside the lock, because dropping
    /// them takes it.
    fn running(&self, invalidation: &Invalidation) -> Vec<Arc<Numbers>> {
        let running = self.lock();
        let of_callers: Vec<_> = match invalidation.caller() {
            Some(caller) => running.get(&caller).into_iter().collect(),
            None => running.values().collect(),
        };
        let numbers = of_callers.into_iter().flat_map(HashMap::values).filter_map(Weak::upgrade);
        // Whatever is not removed is dropped after the lock, too.
        let numbers: Vec<_> = numbers.collect();
        drop(running);
        let is_covered =
            |numbers: &Arc<Numbers>| invalidation.covers_lists_of(numbers.caller, &numbers.project);
        numbers.into_iter().filter(is_covered).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        lock(&self.0)
    }
}

impl Generation {
    /// Keeps what a load of this generation has read, unless the generation has ended. It does not end
    /// meanwhile: a reader must not find after a removal what was kept for a moment only.
    pub(crate) fn keep(&self, keep: impl FnOnce()) {
        let number = lock(self.numbers.of(self.kind));
        if *number == self.number {
            keep();
        }
    }

    /// Whether the generation has not ended.
    pub(crate) fn is_current(&self) -> bool {
        let number = lock(self.numbers.of(self.kind));
        *number == self.number
    }
}

impl Numbers {
    fn new(all: Generations, caller: CallerKey, project: ProjectId) -> Self {
        Self { all, caller, project, records: Mutex::new(0), lists: Mutex::new(0) }
    }

    fn of(&self, kind: LoadKind) -> &Mutex<u64> {
        match kind {
            LoadKind::Record => &self.records,
            LoadKind::List => &self.lists,
        }
    }

    fn end(number: &Mutex<u64>) {
        let mut number = lock(number);
        *number = number.wrapping_add(1);
    }
}

/// Forgets the caller and project once no load of theirs runs.
impl Drop for Numbers {
    fn drop(&mut self) {
        let mut running = self.all.lock();
        let Some(of_caller) = running.get_mut(&self.caller) else { return };
        // Another load may have begun since.
        if of_caller.get(&self.project).is_some_and(|numbers| numbers.strong_count() == 0) {
            of_caller.remove(&self.project);
        }
        if of_caller.is_empty() {
            running.remove(&self.caller);
        }
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
    fn an_invalidation_ends_the_loads_it_covers_and_no_others() {
        let id = RecordId::parse("r").unwrap();
        let key = RecordKey { caller: ONE, project: project("p"), id: id.clone() };
        let lists = Invalidation::Lists { caller: ONE, project: project("p") };
        let loads = [
            (ONE, "p", LoadKind::Record),
            (ONE, "p", LoadKind::List),
            (ONE, "q", LoadKind::Record),
            (OTHER, "p", LoadKind::Record),
            (OTHER, "q", LoadKind::List),
        ];
        for (invalidation, ended) in [
            (Invalidation::Purge(Purge::All), [true, true, true, true, true]),
            (Invalidation::Purge(Purge::Project(project("p"))), [true, true, false, true, false]),
            (
                Invalidation::Purge(Purge::Record(project("p"), id)),
                [true, true, false, true, false],
            ),
            (Invalidation::Token(ONE), [true, true, true, false, false]),
            (Invalidation::Record(key.clone()), [false, true, false, false, false]),
            (lists, [false, true, false, false, false]),
            (Invalidation::Absence(key), [false; 5]),
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

    #[test]
    fn callers_without_a_load_are_forgotten() {
        let all = Generations::default();
        let first = all.begin(ONE, &project("p"), LoadKind::Record);
        let second = all.begin(ONE, &project("p"), LoadKind::List);
        let other = all.begin(ONE, &project("q"), LoadKind::List);

        drop(first);
        all.end(&Invalidation::Token(ONE));
        let is_ended = !second.is_current();
        drop((second, other));

        assert!(is_ended && all.lock().is_empty());
    }
}
