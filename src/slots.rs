//! Places for things under way: as many as the settings say, which may change meanwhile.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Places, to be taken as those of the semaphore that it is. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    semaphore: Arc<Semaphore>,
    /// How many there are, or will be once those that are too many have been given back.
    size: Arc<Mutex<usize>>,
}

impl Slots {
    pub(crate) fn new(size: usize) -> Self {
        let semaphore = Arc::new(Semaphore::new(size));
        Self { semaphore, size: Arc::new(Mutex::new(size)) }
    }

    /// Makes them more or less. Nobody loses a place that is taken: those that are too many go as they
    /// are given back, before anybody gets one again.
    pub(crate) fn resize(&self, size: usize, tasks: &TaskTracker) {
        let mut current = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, size);
        if size >= before {
            self.semaphore.add_permits(size - before);
            return;
        }
        let left_over = before - size - self.semaphore.forget_permits(before - size);
        let left_over = u32::try_from(left_over).unwrap_or(u32::MAX);
        if left_over > 0 {
            let semaphore = Arc::clone(&self.semaphore);
            // Whoever waits for so many gets each that is given back, until it has them all.
            tasks.spawn(async move {
                if let Ok(places) = semaphore.acquire_many(left_over).await {
                    places.forget();
                }
            });
        }
    }
}

impl Deref for Slots {
    type Target = Arc<Semaphore>;

    fn deref(&self) -> &Arc<Semaphore> {
        &self.semaphore
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fewer_places_take_none_away_and_are_kept_to_as_they_are_left() {
        let (slots, tasks) = (Slots::new(3), TaskTracker::new());
        let taken: Vec<_> = (0..3).map(|_| slots.try_acquire().unwrap()).collect();

        slots.resize(1, &tasks);
        tokio::task::yield_now().await;
        let mut taken = taken.into_iter();
        drop(taken.next());
        drop(taken.next());
        tokio::task::yield_now().await;
        let while_one_is_taken = slots.try_acquire().is_ok();
        drop(taken.next());
        let first = slots.try_acquire();
        let second = slots.try_acquire();

        assert!(!while_one_is_taken && first.is_ok() && second.is_err());
    }

    #[tokio::test]
    async fn more_places_are_there_at_once_even_while_fewer_were_waited_for() {
        let (slots, tasks) = (Slots::new(2), TaskTracker::new());
        let _taken: Vec<_> = (0..2).map(|_| slots.try_acquire().unwrap()).collect();
        slots.resize(1, &tasks);
        tokio::task::yield_now().await;

        slots.resize(4, &tasks);
        tokio::task::yield_now().await;

        assert_eq!(slots.available_permits(), 2);
    }
}
