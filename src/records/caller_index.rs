//! Which callers have something cached, and in which projects.
//!
//! Where the upstream refuses a caller, what is cached for them is found by a search through a whole cache.
//! Anyone can provoke refusals, with made-up tokens, so callers without cached data must not cost a
//! search.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use parking_lot::Mutex;

use super::invalidation::Invalidation;
use super::key::CallerKey;
use crate::clock::Clock;
use crate::domain::ProjectId;

/// The callers that something may be cached for. Only data from the upstream gets one in here. Clones
/// share the index.
#[derive(Clone)]
pub(crate) struct CallerIndex {
    callers: Arc<Mutex<Callers>>,
    clock: Clock,
}

/// When something was cached last, by caller and project.
type Callers = HashMap<CallerKey, HashMap<ProjectId, Instant, RandomState>, RandomState>;

impl CallerIndex {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { callers: Arc::default(), clock }
    }

    /// Notes that something was cached just now.
    pub(crate) fn note(&self, caller: CallerKey, project: &ProjectId) {
        let now = self.clock.now();
        let mut callers = self.callers.lock();
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
            Invalidation::Token(caller) => self.callers.lock().remove(caller).is_some(),
            Invalidation::Record(key) => self.take_project(key.caller, &key.project),
            Invalidation::Lists { caller, project } => self.take_project(*caller, project),
            Invalidation::Absence(_) => false,
        }
    }

    fn take_project(&self, caller: CallerKey, project: &ProjectId) -> bool {
        let mut callers = self.callers.lock();
        let Some(projects) = callers.get_mut(&caller) else { return false };
        let is_there = projects.remove(project).is_some();
        if projects.is_empty() {
            callers.remove(&caller);
        }
        is_there
    }

    /// Forgets callers whose last data was cached longer ago than anything lives. To be called after
    /// what has lived so long was dropped.
    pub(crate) fn evict_expired(&self, life: Duration) {
        let now = self.clock.now();
        let mut callers = self.callers.lock();
        for projects in callers.values_mut() {
            projects.retain(|_, noted| now.saturating_duration_since(*noted) <= life);
        }
        callers.retain(|_, projects| !projects.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(name: &str) -> ProjectId {
        ProjectId::parse(name).unwrap()
    }

    fn holder(byte: u8) -> CallerKey {
        CallerKey::Holder([byte; 32])
    }

    fn lists_of(caller: u8, name: &str) -> Invalidation {
        Invalidation::Lists { caller: holder(caller), project: project(name) }
    }

    fn all_of(caller: u8) -> Invalidation {
        Invalidation::Token(holder(caller))
    }

    #[test]
    fn only_who_holds_something_costs_a_search() {
        let index = CallerIndex::new(Clock::default());

        index.note(holder(1), &project("p"));

        assert!(!index.take(&lists_of(2, "p")), "a stranger was searched for");
        assert!(!index.take(&all_of(2)), "a stranger was searched for");
        assert!(!index.take(&lists_of(1, "q")), "another project was searched");
        assert!(index.take(&lists_of(1, "p")), "a holder was not searched for");
        assert!(!index.take(&lists_of(1, "p")), "a holder was searched for twice");
        index.note(holder(1), &project("p"));
        assert!(index.take(&all_of(1)), "a holder was forgotten for good");
    }

    #[test]
    fn holders_are_forgotten_once_nothing_of_theirs_can_be_left() {
        let clock = Clock::default();
        let index = CallerIndex::new(clock.clone());
        index.note(holder(1), &project("p"));
        clock.advance(Duration::from_mins(2));
        index.note(holder(2), &project("p"));

        index.evict_expired(Duration::from_mins(1));

        assert!(!index.take(&all_of(1)), "an early holder is still known");
        assert!(index.take(&all_of(2)), "a late holder was forgotten");
    }
}
