//! Who holds pages or links of which project.
//!
//! What a caller holds is dropped when the upstream refuses them, by a search through everything that is
//! kept. Refusals can be had for nothing, with tokens that somebody makes up; so who holds nothing is
//! known beforehand, and costs no search.

use std::time::{Duration, Instant};

use moka::ops::compute::Op;
use moka::sync::Cache;

use super::key::CallerKey;
use crate::clock::Clock;
use crate::domain::ProjectId;

/// The callers that something may be kept for. Only the upstream's consent gets one in here.
pub(crate) struct Holders {
    /// With the time of the last note.
    noted: Cache<(CallerKey, ProjectId), Instant>,
    clock: Clock,
}

impl Holders {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { noted: Cache::builder().build(), clock }
    }

    /// Forgets holders of whom nothing can be left, as it lives no longer. To be called after what has
    /// lived so long was dropped.
    pub(crate) fn sweep(&self, life: Duration) {
        let now = self.clock.now();
        let is_over = |noted: &Instant| now.saturating_duration_since(*noted) > life;
        for (holder, noted) in &self.noted {
            if is_over(&noted) {
                // Looked at once more under the entry's lock: it may have been noted again.
                self.noted.entry((*holder).clone()).and_compute_with(|entry| match entry {
                    Some(entry) if is_over(entry.value()) => Op::Remove,
                    Some(_) | None => Op::Nop,
                });
            }
        }
    }

    /// Notes that something is kept now. To be called after it was put there: a refusal in between
    /// then counts as one that came before.
    pub(crate) fn note(&self, caller: CallerKey, project: &ProjectId) {
        self.noted.insert((caller, project.clone()), self.clock.now());
    }

    /// Whether there may be something to drop, which the asker does now.
    pub(crate) fn take(&self, caller: CallerKey, project: &ProjectId) -> bool {
        self.noted.remove(&(caller, project.clone())).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_holds_something_costs_a_search() {
        let holders = Holders::new(Clock::default());
        let project = ProjectId::parse("p").unwrap();
        let (one, stranger) = (CallerKey::Holder([1; 32]), CallerKey::Holder([2; 32]));

        holders.note(one, &project);

        assert!(!holders.take(stranger, &project), "a stranger was searched for");
        assert!(holders.take(one, &project), "a holder was not searched for");
        assert!(!holders.take(one, &project), "a holder was searched for twice");
        holders.note(one, &project);
        assert!(holders.take(one, &project), "a holder was forgotten for good");
    }

    #[test]
    fn holders_are_forgotten_once_nothing_of_theirs_can_be_left() {
        let clock = Clock::default();
        let holders = Holders::new(clock.clone());
        let project = ProjectId::parse("p").unwrap();
        let [early, late] = [1, 2].map(|byte| CallerKey::Holder([byte; 32]));
        holders.note(early, &project);
        clock.advance(Duration::from_mins(2));
        holders.note(late, &project);

        holders.sweep(Duration::from_mins(1));

        assert!(!holders.take(early, &project), "an early holder is still known");
        assert!(holders.take(late, &project), "a late holder was forgotten");
    }
}
