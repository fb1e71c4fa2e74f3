//! What is watched and the limits of that, and what has changed in a list between two reads of it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use indexmap::IndexMap;
use tokio::sync::watch;

use super::key::{Key, RecordKey};
use crate::domain::{Failure, GrantKey, LimitKey, RecordQuery, ScreenRecord};

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
    List(Key<RecordQuery>),
}

/// What a poller has read: the rows of a list, in its order, by folded id; or the one record. Rows without an
/// id are left out: nothing tells whether they are the same the next time.
pub(crate) type Rows = IndexMap<String, Arc<ScreenRecord>>;

/// The latest rows, or why there are none; `None` before the first read.
pub(crate) type Update = Option<Result<Arc<Rows>, Failure>>;

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

    /// Whether what was read does not change any more.
    pub(crate) fn is_final(&self, rows: &Rows) -> bool {
        match self {
            Self::Record { .. } => rows.values().all(|record| record.is_final()),
            Self::List(_) => false,
        }
    }
}

/// Poll intervals between two reads.
pub(crate) fn intervals(rows: &Rows) -> u32 {
    u32::try_from(rows.len() / ROWS_PER_INTERVAL).map_or(u32::MAX, |more| more + 1)
}

impl Watches {
    /// Notes that a caller watches something, unless that is more than is allowed.
    pub(crate) fn admit(
        &mut self,
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
        let watched = self.watched.entry(*caller).or_default();
        *watched.entry(key.clone()).or_default() += 1;
        Ok(())
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

/// A change of a watched list.
#[derive(Clone, Debug, PartialEq)]
pub struct RowChange {
    /// What has changed.
    pub kind: RowChangeKind,
    /// The recording now; one that was removed as it was last seen.
    pub record: Arc<ScreenRecord>,
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, async_graphql::Enum)]
#[graphql(name = "ScreenRecordChangeKind")]
pub enum RowChangeKind {
    /// The recording is in the list now.
    Added,
    /// The recording has other values.
    Changed,
    /// The recording is no longer in the list.
    Removed,
}

/// What has changed for one who sees only some recordings: removed rows first, then the others in the order
/// of the list.
pub(crate) fn changes(
    before: &Rows,
    now: &Rows,
    sees: impl Fn(&ScreenRecord) -> bool,
) -> Vec<RowChange> {
    let shown = |rows: &Rows, id: &str| rows.get(id).filter(|row| sees(row)).cloned();
    let removed = before.keys().filter(|id| shown(now, id).is_none());
    let removed = removed.filter_map(|id| Some((RowChangeKind::Removed, shown(before, id)?)));
    let others = now.keys().filter_map(|id| {
        let (before, record) = (shown(before, id), shown(now, id)?);
        match before {
            None => Some((RowChangeKind::Added, record)),
            Some(before) if before != record => Some((RowChangeKind::Changed, record)),
            Some(_) => None,
        }
    });
    removed.chain(others).map(|(kind, record)| RowChange { kind, record }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::key::CallerKey;
    use super::*;
    use crate::domain::{ProjectId, RecordId};

    fn record(id: &str) -> WatchKey {
        let project = ProjectId::parse("p").unwrap();
        let (caller, id) = (CallerKey::Gateway, RecordId::parse(id).unwrap());
        WatchKey::Record { key: RecordKey { caller, project, id }, grant: None }
    }

    fn list(username: &str) -> WatchKey {
        let project = ProjectId::parse("p").unwrap();
        let listing = RecordQuery { username: Some(username.to_owned()), ..RecordQuery::default() };
        WatchKey::List(Key { caller: CallerKey::Gateway, project, id: listing })
    }

    #[test]
    fn a_caller_at_the_limit_may_watch_the_same_again_but_nothing_else() {
        let (one, another) = (LimitKey::Name([1; 32]), LimitKey::Name([2; 32]));
        let mut watches = Watches::default();
        for number in 0..(MAX_WATCHED_PER_CALLER - LIST_WEIGHT) {
            watches.admit(&one, &record(&number.to_string()), false).unwrap();
        }
        assert_eq!(watches.admit(&one, &list("alice"), false), Ok(()));
        let too_many = Err(Failure::TooManyWatched { limit: MAX_WATCHED_PER_CALLER });

        assert_eq!(watches.admit(&one, &record("0"), true), Ok(()));
        assert_eq!(watches.admit(&one, &list("alice"), true), Ok(()));
        assert_eq!(watches.admit(&one, &record("new"), false), too_many);
        assert_eq!(watches.admit(&one, &list("bob"), true), too_many);
        assert_eq!(watches.admit(&another, &list("bob"), false), Ok(()));
    }

    #[test]
    fn a_record_counts_until_its_last_watcher_leaves_and_no_caller_is_remembered() {
        let one = LimitKey::Name([1; 32]);
        let mut watches = Watches::default();
        watches.admit(&one, &record("a"), true).unwrap();
        watches.admit(&one, &record("a"), true).unwrap();

        watches.forget(&one, &record("a"));
        let after_the_first = watches.watched.get(&one).map(HashMap::len);
        watches.forget(&one, &record("a"));

        assert_eq!(after_the_first, Some(1));
        assert!(watches.watched.is_empty());
    }
}
