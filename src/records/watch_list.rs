//! The list of watched records, and its limits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

use super::key::RecordKey;
use crate::domain::{Failure, LimitKey, ScreenRecord};

/// Records that may be watched at a time, by all callers and by one caller.
const MAX_POLLERS: usize = 10_000;
const MAX_RECORDS_PER_CALLER: usize = 1000;

/// The latest state of a record, or why there is none; `None` before the first read.
pub(crate) type RecordUpdate = Option<Result<Arc<ScreenRecord>, Failure>>;

/// The running pollers, and the records that each caller watches.
#[derive(Default)]
pub(crate) struct WatchList(Mutex<Watches>);

#[derive(Default)]
pub(crate) struct Watches {
    /// Callers who read the same data share a poller.
    pub(crate) pollers: HashMap<RecordKey, Weak<watch::Sender<RecordUpdate>>>,
    /// The records that each caller watches, and how often each of them.
    watched: HashMap<LimitKey, HashMap<RecordKey, usize>>,
}

impl WatchList {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Watches> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watches {
    pub(crate) fn check_limits(
        &self,
        caller: &LimitKey,
        key: &RecordKey,
        is_polled: bool,
    ) -> Result<(), Failure> {
        let records = self.watched.get(caller);
        let is_watched = records.is_some_and(|records| records.contains_key(key));
        let count = records.map_or(0, HashMap::len);
        if !is_watched && count >= MAX_RECORDS_PER_CALLER {
            return Err(Failure::TooManyWatched { limit: MAX_RECORDS_PER_CALLER });
        }
        if !is_polled && self.pollers.len() >= MAX_POLLERS {
            return Err(Failure::Overloaded);
        }
        Ok(())
    }

    pub(crate) fn remember(&mut self, caller: &LimitKey, key: &RecordKey) {
        let records = self.watched.entry(*caller).or_default();
        *records.entry(key.clone()).or_default() += 1;
    }

    pub(crate) fn forget(&mut self, caller: &LimitKey, key: &RecordKey) {
        let Some(records) = self.watched.get_mut(caller) else { return };
        match records.get_mut(key) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                records.remove(key);
            }
        }
        if records.is_empty() {
            self.watched.remove(caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ProjectId, RecordId};
    use crate::records::key::CallerKey;

    fn record(id: &str) -> RecordKey {
        let project = ProjectId::parse("p").unwrap();
        RecordKey { caller: CallerKey::Gateway, project, id: RecordId::parse(id).unwrap() }
    }

    #[test]
    fn a_caller_at_the_limit_may_watch_the_same_records_again_but_no_other() {
        let (one, another) = (LimitKey::Name([1; 32]), LimitKey::Name([2; 32]));
        let mut list = Watches::default();
        for number in 0..MAX_RECORDS_PER_CALLER {
            list.remember(&one, &record(&number.to_string()));
        }
        let too_many = Err(Failure::TooManyWatched { limit: MAX_RECORDS_PER_CALLER });

        assert_eq!(list.check_limits(&one, &record("0"), true), Ok(()));
        assert_eq!(list.check_limits(&one, &record("new"), false), too_many);
        assert_eq!(list.check_limits(&one, &record("polled-for-another"), true), too_many);
        assert_eq!(list.check_limits(&another, &record("new"), false), Ok(()));
    }

    #[test]
    fn a_record_counts_until_its_last_watcher_leaves_and_no_caller_is_remembered() {
        let one = LimitKey::Name([1; 32]);
        let mut list = Watches::default();
        list.remember(&one, &record("a"));
        list.remember(&one, &record("a"));

        list.forget(&one, &record("a"));
        let after_the_first = list.watched.get(&one).map(HashMap::len);
        list.forget(&one, &record("a"));

        assert_eq!(after_the_first, Some(1));
        assert!(list.watched.is_empty());
    }
}
