//! Who holds pages or links of which project.
//!
//! What a caller holds is dropped when the upstream refuses them, by a search through everything that is
//! kept. Refusals can be had for nothing, with tokens that somebody makes up; so who holds nothing is
//! known beforehand, and costs no search.

use std::time::Duration;

use moka::sync::Cache;

use super::key::CallerKey;
use crate::domain::ProjectId;

/// The callers that something may be kept for. Only the upstream's consent gets one in here.
pub(crate) struct Holders(Cache<(CallerKey, ProjectId), ()>);

impl Holders {
    /// Remembers holders for as long as what they hold may live.
    pub(crate) fn new(life: Duration) -> Self {
        Self(Cache::builder().time_to_live(life).build())
    }

    /// Notes that something is kept now. To be called after it was put there: a refusal in between
    /// then counts as one that came before.
    pub(crate) fn note(&self, caller: CallerKey, project: &ProjectId) {
        self.0.insert((caller, project.clone()), ());
    }

    /// Whether there may be something to drop, which the asker does now.
    pub(crate) fn take(&self, caller: CallerKey, project: &ProjectId) -> bool {
        self.0.remove(&(caller, project.clone())).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_holds_something_costs_a_search() {
        let holders = Holders::new(Duration::from_mins(1));
        let project = ProjectId::parse("p").unwrap();
        let (one, stranger) = (CallerKey::Holder([1; 32]), CallerKey::Holder([2; 32]));

        holders.note(one, &project);

        assert!(!holders.take(stranger, &project), "a stranger was searched for");
        assert!(holders.take(one, &project), "a holder was not searched for");
        assert!(!holders.take(one, &project), "a holder was searched for twice");
        holders.note(one, &project);
        assert!(holders.take(one, &project), "a holder was forgotten for good");
    }
}
