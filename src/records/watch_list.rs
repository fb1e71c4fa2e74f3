//! What is watched, and the limits of that.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use tokio::sync::watch;

use super::key::{CallerKey, RecordKey};
use super::row_changes::Rows;
use crate::domain::{Failure, GrantKey, LimitKey, ProjectId, RecordQuery, ScreenRecord};

/// Recordings that may be watched at a time, by all callers and by one caller.
const MAX_WATCHED: usize = 10_000;
const MAX_WATCHED_PER_CALLER: usize = 1000;
/// A list counts as this many recordings, because its poller holds all its rows.
const LIST_WEIGHT: usize = 50;
/// Rows of a list that are read in one poll interval; a longer list is read less often.
const ROWS_PER_INTERVAL: usize = 500;

/// What one poller reads.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum WatchKey {
    /// A record, as callers with a grant see it; `None` for all callers who may see every record.
    Record {
        key: RecordKey,
        grant: Option<GrantKey>,
    },
    List(ListKey),
}

/// Finds a list of the upstream for one caller. Compared in full.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct ListKey {
    pub(crate) caller: CallerKey,
    pub(crate) project: ProjectId,
    pub(crate) listing: RecordQuery,
}

/// What a poller has read.
#[derive(Clone, PartialEq)]
pub(crate) enum WatchState {
    Record(Arc<ScreenRecord>),
    List(Arc<Rows>),
}

/// The latest state, or why there is none; `None` before the first read.
pub(crate) type Update = Option<Result<WatchState, Failure>>;

/// The running pollers, and what each caller watches.
#[derive(Default)]
pub(crate) struct Watches {
    /// Callers who read the same data share a poller.
    pub(crate) pollers: HashMap<WatchKey, Weak<watch::Sender<Update>>>,
    /// What each caller watches, and how often.
    watched: HashMap<LimitKey, HashMap<WatchKey, usize>>,
}

impl WatchKey {
    fn weight(&self) -> usize {
        match self {
            Self::Record { .. } => 1,
            Self::List(_) => LIST_WEIGHT,
        }
    }
}

impl WatchState {
    /// Whether it does not change any more.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Record(record) => record.is_final(),
            Self::List(_) => false,
        }
    }

    /// Poll intervals between two reads.
    pub(crate) fn intervals(&self) -> u32 {
        match self {
            Self::Record(_) => 1,
            Self::List(rows) => {
                u32::try_from(rows.len() / ROWS_PER_INTERVAL).map_or(u32::MAX, |more| more + 1)
            }
        }
    }
}

impl Watches {
    pub(crate) fn check_limits(
        &self,
        caller: &LimitKey,
        key: &WatchKey,
        is_polled: bool,
    ) -> Result<(), Failure> {
        let watched = self.watched.get(caller);
        let is_watched = watched.is_some_and(|watched| watched.contains_key(key));
        let weight = watched.map_or(0, |watched| watched.keys().map(WatchKey::weight).sum());
        if !is_watched && weight + key.weight() > MAX_WATCHED_PER_CALLER {
            return Err(Failure::TooManyWatched { limit: MAX_WATCHED_PER_CALLER });
        }
        let polled = || self.pollers.keys().map(WatchKey::weight).sum::<usize>();
        if !is_polled && polled() + key.weight() > MAX_WATCHED {
            return Err(Failure::Overloaded);
        }
        Ok(())
    }

    pub(crate) fn remember(&mut self, caller: &LimitKey, key: &WatchKey) {
        let watched = self.watched.entry(*caller).or_default();
        *watched.entry(key.clone()).or_default() += 1;
    }

    pub(crate) fn forget(&mut self, caller: &LimitKey, key: &WatchKey) {
        let Some(watched) = self.watched.get_mut(caller) else { return };
        match watched.get_mut(key) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                watched.remove(key);
            }
        }
        if watched.is_empty() {
            self.watched.remove(caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::RecordId;

    fn record(id: &str) -> WatchKey {
        let project = ProjectId::parse("p").unwrap();
        let (caller, id) = (CallerKey::Gateway, RecordId::parse(id).unwrap());
        WatchKey::Record { key: RecordKey { caller, project, id }, grant: None }
    }

    fn list(username: &str) -> WatchKey {
        let project = ProjectId::parse("p").unwrap();
        let listing = RecordQuery { username: Some(username.to_owned()), ..RecordQuery::default() };
        WatchKey::List(ListKey { caller: CallerKey::Gateway, project, listing })
    }

    #[test]
    fn a_caller_at_the_limit_may_watch_the_same_again_but_nothing_else() {
        let (one, another) = (LimitKey::Name([1; 32]), LimitKey::Name([2; 32]));
        let mut watches = Watches::default();
        for number in 0..(MAX_WATCHED_PER_CALLER - LIST_WEIGHT) {
            watches.remember(&one, &record(&number.to_string()));
        }
        assert_eq!(watches.check_limits(&one, &list("alice"), false), Ok(()));
        watches.remember(&one, &list("alice"));
        let too_many = Err(Failure::TooManyWatched { limit: MAX_WATCHED_PER_CALLER });

        assert_eq!(watches.check_limits(&one, &record("0"), true), Ok(()));
        assert_eq!(watches.check_limits(&one, &list("alice"), true), Ok(()));
        assert_eq!(watches.check_limits(&one, &record("new"), false), too_many);
        assert_eq!(watches.check_limits(&one, &list("bob"), true), too_many);
        assert_eq!(watches.check_limits(&another, &list("bob"), false), Ok(()));
    }

    #[test]
    fn a_record_counts_until_its_last_watcher_leaves_and_no_caller_is_remembered() {
        let one = LimitKey::Name([1; 32]);
        let mut watches = Watches::default();
        watches.remember(&one, &record("a"));
        watches.remember(&one, &record("a"));

        watches.forget(&one, &record("a"));
        let after_the_first = watches.watched.get(&one).map(HashMap::len);
        watches.forget(&one, &record("a"));

        assert_eq!(after_the_first, Some(1));
        assert!(watches.watched.is_empty());
    }
}
