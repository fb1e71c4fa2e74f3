//! Places for sockets and event streams, which last: so many in all, and so many of one caller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::Refusal;
use crate::graphql::ErrorCode;
use crate::records::CallerKey;

/// The places of the whole process.
pub(crate) struct Places {
    all: Arc<Semaphore>,
    callers: Arc<Callers>,
}

struct Callers {
    taken: Mutex<HashMap<CallerKey, usize>>,
    most_of_one: usize,
}

/// One of a caller's places; given back when dropped.
pub(crate) struct CallersPlace {
    callers: Arc<Callers>,
    caller: CallerKey,
}

/// A caller has all the places that one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted {
    /// How many one caller may have.
    pub(crate) allowed: usize,
}

impl Places {
    pub(crate) fn new(all: usize, most_of_one: usize) -> Self {
        let callers = Callers { taken: Mutex::default(), most_of_one };
        Self { all: Arc::new(Semaphore::new(all)), callers: Arc::new(callers) }
    }

    /// A place, whoever is to have it.
    pub(crate) fn take(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.all).try_acquire_owned().map_err(|_| Refusal::overloaded())
    }

    /// A place of one caller's. Those who share the gateway's own credentials cannot be told apart
    /// and are not counted.
    pub(crate) fn take_for(
        &self,
        caller: Option<CallerKey>,
    ) -> Result<Option<CallersPlace>, Exhausted> {
        let Some(caller @ CallerKey::Holder(_)) = caller else { return Ok(None) };
        let mut taken = self.callers.lock();
        let places = taken.entry(caller).or_default();
        if *places >= self.callers.most_of_one {
            return Err(Exhausted { allowed: self.callers.most_of_one });
        }
        *places += 1;
        Ok(Some(CallersPlace { callers: Arc::clone(&self.callers), caller }))
    }
}

impl Callers {
    fn lock(&self) -> MutexGuard<'_, HashMap<CallerKey, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CallersPlace {
    fn drop(&mut self) {
        let mut taken = self.callers.lock();
        if let Some(places) = taken.get_mut(&self.caller) {
            *places -= 1;
            if *places == 0 {
                taken.remove(&self.caller);
            }
        }
    }
}

impl From<Exhausted> for Refusal {
    fn from(Exhausted { allowed }: Exhausted) -> Self {
        let message = format!(
            "this caller has {allowed} sockets and event streams open: \
             subscriptions.max_connections_per_caller allows no more"
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::RateLimited, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Option<CallerKey> = Some(CallerKey::Holder([1; 32]));
    const OTHER: Option<CallerKey> = Some(CallerKey::Holder([2; 32]));

    #[test]
    fn one_caller_has_so_many_places_and_gives_them_back() {
        let places = Places::new(10, 2);
        let taken = [places.take_for(ONE).unwrap(), places.take_for(ONE).unwrap()];

        assert_eq!(places.take_for(ONE).err(), Some(Exhausted { allowed: 2 }));
        assert!(places.take_for(OTHER).is_ok(), "one caller took another's place");

        drop(taken);
        assert!(places.take_for(ONE).unwrap().is_some());
        assert!(places.callers.lock().is_empty(), "callers who left are remembered");
    }

    #[test]
    fn who_cannot_be_told_apart_is_not_counted() {
        let places = Places::new(10, 1);

        for caller in [None, Some(CallerKey::Gateway)] {
            assert!(places.take_for(caller).unwrap().is_none());
        }
    }
}
