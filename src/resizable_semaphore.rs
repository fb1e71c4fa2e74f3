//! A semaphore whose number of permits can change.

use std::ops::Deref;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// A resizable semaphore. Clones share the permits.
#[derive(Clone, Debug)]
pub(crate) struct ResizableSemaphore {
    semaphore: Arc<Semaphore>,
    /// The number of permits, once surplus ones have been returned.
    size: Arc<Mutex<usize>>,
}

impl ResizableSemaphore {
    pub(crate) fn new(size: usize) -> Self {
        let semaphore = Arc::new(Semaphore::new(size));
        Self { semaphore, size: Arc::new(Mutex::new(size)) }
    }

    /// Changes the number of permits. Shrinking revokes no permit in use: surplus permits disappear as they
    /// are returned, before anybody else can acquire one.
    pub(crate) fn resize(&self, size: usize, tasks: &TaskTracker) {
        let mut current = self.size.lock();
        let before = std::mem::replace(&mut *current, size);
        if size >= before {
            self.semaphore.add_permits(size - before);
            return;
        }
        let surplus = before - size - self.semaphore.forget_permits(before - size);
        let surplus = u32::try_from(surplus).unwrap_or(u32::MAX);
        if surplus > 0 {
            let semaphore = Arc::clone(&self.semaphore);
            // The semaphore is fair: this waiter gets every returned permit until it has them all.
            tasks.spawn(async move {
                if let Ok(permits) = semaphore.acquire_many(surplus).await {
                    permits.forget();
                }
            });
        }
    }
}

impl Deref for ResizableSemaphore {
    type Target = Arc<Semaphore>;

    fn deref(&self) -> &Arc<Semaphore> {
        &self.semaphore
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shrinking_revokes_no_permit_and_holds_as_permits_are_returned() {
        let (semaphore, tasks) = (ResizableSemaphore::new(3), TaskTracker::new());
        let taken: Vec<_> = (0..3).map(|_| semaphore.try_acquire().unwrap()).collect();

        semaphore.resize(1, &tasks);
        tokio::task::yield_now().await;
        let mut taken = taken.into_iter();
        drop(taken.next());
        drop(taken.next());
        tokio::task::yield_now().await;
        let while_one_is_taken = semaphore.try_acquire().is_ok();
        drop(taken.next());
        let first = semaphore.try_acquire();
        let second = semaphore.try_acquire();

        assert!(!while_one_is_taken && first.is_ok() && second.is_err());
    }

    #[tokio::test]
    async fn growing_takes_effect_at_once_even_while_shrinking_waits_for_permits() {
        let (semaphore, tasks) = (ResizableSemaphore::new(2), TaskTracker::new());
        let _taken: Vec<_> = (0..2).map(|_| semaphore.try_acquire().unwrap()).collect();
        semaphore.resize(1, &tasks);
        tokio::task::yield_now().await;

        semaphore.resize(4, &tasks);
        tokio::task::yield_now().await;

        assert_eq!(semaphore.available_permits(), 2);
    }
}
