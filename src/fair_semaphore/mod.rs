//! A semaphore that shares its permits fairly among callers.

mod turns;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;

pub use self::turns::Requester;

use self::turns::Turns;
use crate::domain::LimitKey;

/// The permits. Clones share them.
#[derive(Clone)]
pub(crate) struct FairSemaphore(Arc<Mutex<Turns<oneshot::Sender<Permit>>>>);

/// A permit, or several, given back when dropped.
pub(crate) struct Permit {
    semaphore: FairSemaphore,
    caller: LimitKey,
    count: usize,
    /// The operation whose call it is for.
    call: Option<Requester>,
}

/// A queued call. Leaves the queue when dropped.
struct Waiting<'s> {
    semaphore: &'s FairSemaphore,
    requester: Requester,
    ticket: u64,
    permit: oneshot::Receiver<Permit>,
}

impl FairSemaphore {
    pub(crate) fn new(size: usize) -> Self {
        Self(Arc::new(Mutex::new(Turns::new(size))))
    }

    /// Changes the number of permits. Those that are held stay held, even where they are too many.
    pub(crate) fn resize(&self, size: usize) {
        self.0.lock().size = size;
        self.hand_out();
    }

    /// How many permits there are.
    pub(crate) fn size(&self) -> usize {
        self.0.lock().size
    }

    /// How many permits are in use.
    pub(crate) fn held(&self) -> usize {
        self.0.lock().held
    }

    /// How many calls wait for a permit.
    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().waiting()
    }

    /// Takes `count` permits, if the caller may have them now.
    pub(crate) fn try_acquire(&self, caller: LimitKey, count: usize) -> Option<Permit> {
        let is_taken = self.0.lock().try_take(caller, count);
        is_taken.then(|| Permit { semaphore: self.clone(), caller, count, call: None })
    }

    /// Waits for a permit. `None` once the operation has got none for a whole `patience` and has no call
    /// in progress: whatever waits for others gives up, and whatever waits for its own calls goes on.
    pub(crate) async fn acquire(&self, requester: Requester, patience: Duration) -> Option<Permit> {
        let mut waiting = match self.enter(requester) {
            Ok(permit) => return Some(permit),
            Err(waiting) => waiting,
        };
        loop {
            let granted = self.0.lock().granted(requester);
            if let Ok(permit) = timeout(patience, &mut waiting.permit).await {
                return permit.ok();
            }
            let mut turns = self.0.lock();
            if turns.granted(requester) == granted && !turns.is_active(&requester) {
                return None;
            }
        }
    }

    /// Takes a permit, or queues.
    fn enter(&self, requester: Requester) -> Result<Permit, Waiting<'_>> {
        let mut turns = self.0.lock();
        if turns.try_take(requester.caller, 1) {
            turns.begin(requester);
            drop(turns);
            return Ok(self.permit(requester));
        }
        let (waker, permit) = oneshot::channel();
        let ticket = turns.wait(requester, waker);
        Err(Waiting { semaphore: self, requester, ticket, permit })
    }

    /// Wakes the calls that may have a permit now.
    fn hand_out(&self) {
        loop {
            // The lock is released before a permit is sent: a call that has just left drops it.
            let next = self.0.lock().next();
            let Some((requester, waker)) = next else { return };
            let _ = waker.send(self.permit(requester));
        }
    }

    fn permit(&self, requester: Requester) -> Permit {
        let caller = requester.caller;
        Permit { semaphore: self.clone(), caller, count: 1, call: Some(requester) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.semaphore.0.lock().leave(self.requester, self.ticket);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut turns = self.semaphore.0.lock();
        turns.give_back(&self.caller, self.count);
        if let Some(requester) = &self.call {
            turns.end(requester);
        }
        drop(turns);
        self.semaphore.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::join_all;
    use tokio::time::sleep;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(500);

    fn of(caller: u8, operation: u64) -> Requester {
        Requester { caller: LimitKey::Name([caller; 32]), operation }
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_operation_is_served_to_its_end_however_slow_its_calls_are() {
        let semaphore = FairSemaphore::new(2);
        let calls = (0..20).map(|_| async {
            let permit = semaphore.acquire(of(1, 1), PATIENCE).await;
            sleep(3 * PATIENCE).await;
            permit.is_some()
        });

        let served = join_all(calls).await;

        assert!(served.iter().all(|served| *served), "{served:?}");
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_while_it_waits_or_is_served_costs_no_permit() {
        let semaphore = FairSemaphore::new(1);
        let held = semaphore.acquire(of(1, 1), PATIENCE).await;
        let mut gone = Box::pin(semaphore.acquire(of(2, 1), PATIENCE));
        let mut served = Box::pin(semaphore.acquire(of(3, 1), PATIENCE));
        assert!(gone.as_mut().now_or_never().is_none());
        assert!(served.as_mut().now_or_never().is_none());

        drop(gone);
        drop(held);
        drop(served);

        assert_eq!((semaphore.held(), semaphore.waiting()), (0, 0));
    }
}
