//! How many connections a caller may have open: sockets and event streams.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::callers::Identity;

/// The places of every caller. Clones share them.
#[derive(Clone)]
pub(crate) struct Places {
    /// Only callers who have one are in here, so there are no more than places in all.
    taken: Arc<Mutex<HashMap<Identity, usize>>>,
    most: usize,
}

/// A place, given back when dropped.
pub(crate) struct Place {
    places: Places,
    caller: Identity,
}

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// The same places, of which each caller may have another number from now on.
    pub(crate) fn with_most(&self, most: usize) -> Self {
        Self { taken: Arc::clone(&self.taken), most }
    }

    /// Takes a place, unless the caller has as many as are allowed.
    pub(crate) fn take(&self, caller: Identity) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.get(&caller).copied().unwrap_or_default();
        if count >= self.most {
            return None;
        }
        taken.insert(caller.clone(), count + 1);
        Some(Place { places: self.clone(), caller })
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.caller) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                taken.remove(&self.caller);
            }
        }
    }
}

/// What is said to a caller who has no place left.
pub(crate) fn sentence(most: usize) -> String {
    format!("Too many connections: subscriptions.max_connections_per_caller allows {most}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_once_it_is_left_and_nobody_is_remembered() {
        let places = Places::new(2);
        let [one, other] = [1, 2].map(|byte| move || Identity::Named([byte; 32]));

        let mut held = vec![places.take(one()), places.take(one())];
        let third = places.take(one()).is_some();
        let of_the_other = places.take(other()).is_some();
        held.pop();
        let again = places.take(one()).is_some();

        assert_eq!((third, of_the_other, again), (false, true, true));
        drop(held);
        assert!(places.taken.lock().unwrap().is_empty());
    }
}
