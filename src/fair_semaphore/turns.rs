//! Decides which call gets the next permit. Pure: it neither waits nor wakes.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use foldhash::quality::RandomState;

use crate::domain::LimitKey;

/// How many permits a caller may hold for each that stays free.
///
/// One busy caller gets seven eighths of all permits, and the next one seven eighths of the rest. So a
/// burst of one caller leaves permits for others, however slow the upstream is.
const SHARE: usize = 7;

/// An operation of a caller that needs a permit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Requester {
    /// Who calls. Not whose data is read: under the gateway's own credentials all read the same.
    pub caller: LimitKey,
    /// Tells the operations of a caller apart.
    pub operation: u64,
}

/// The permits and the calls that wait for one, each with a `W` by which it is woken.
///
/// Callers take turns, and so do the operations of a caller: who has been served goes to the end. Calls of one
/// operation are served in the order they came.
pub(super) struct Turns<W> {
    pub(super) size: usize,
    pub(super) held: usize,
    held_by: HashMap<LimitKey, usize, RandomState>,
    /// Operations with calls in progress, and how many.
    active: HashMap<Requester, usize, RandomState>,
    /// The next one is served first, if its caller may have a permit.
    waiting: Vec<WaitingOperation<W>>,
    next_ticket: u64,
}

struct WaitingOperation<W> {
    requester: Requester,
    calls: VecDeque<(u64, W)>,
    /// Permits it has got since it began to wait.
    granted: u64,
}

impl<W> Turns<W> {
    pub(super) fn new(size: usize) -> Self {
        let (held_by, active) = (HashMap::default(), HashMap::default());
        Self { size, held: 0, held_by, active, waiting: Vec::new(), next_ticket: 0 }
    }

    pub(super) fn free(&self) -> usize {
        self.size.saturating_sub(self.held)
    }

    /// How many calls wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.iter().map(|operation| operation.calls.len()).sum()
    }

    /// Takes `count` permits, if the share of the caller allows.
    pub(super) fn try_take(&mut self, caller: LimitKey, count: usize) -> bool {
        let may_take = self.may_take(&caller, count);
        if may_take {
            self.held += count;
            *self.held_by.entry(caller).or_default() += count;
        }
        may_take
    }

    pub(super) fn give_back(&mut self, caller: &LimitKey, count: usize) {
        self.held = self.held.saturating_sub(count);
        subtract(&mut self.held_by, caller, count);
    }

    /// Notes that a call of an operation has begun.
    pub(super) fn begin(&mut self, requester: Requester) {
        *self.active.entry(requester).or_default() += 1;
    }

    /// Notes that a call of an operation has ended.
    pub(super) fn end(&mut self, requester: &Requester) {
        subtract(&mut self.active, requester, 1);
    }

    /// Whether calls of an operation are in progress.
    pub(super) fn is_active(&self, requester: &Requester) -> bool {
        self.active.contains_key(requester)
    }

    /// Queues a call; the ticket removes it again.
    pub(super) fn wait(&mut self, requester: Requester, waker: W) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        if let Some(operation) = self.operation(requester) {
            operation.calls.push_back((ticket, waker));
        } else {
            let calls = VecDeque::from([(ticket, waker)]);
            self.waiting.push(WaitingOperation { requester, calls, granted: 0 });
        }
        ticket
    }

    /// Removes a call that does not wait any more, if it is still queued.
    pub(super) fn leave(&mut self, requester: Requester, ticket: u64) {
        let Some(operation) = self.operation(requester) else { return };
        operation.calls.retain(|(other, _)| *other != ticket);
        self.waiting.retain(|operation| !operation.calls.is_empty());
    }

    /// How many permits a waiting operation has got since it began to wait.
    pub(super) fn granted(&mut self, requester: Requester) -> u64 {
        self.operation(requester).map_or(0, |operation| operation.granted)
    }

    /// Takes a permit for the call whose turn it is. `None` where no waiting call may have one.
    pub(super) fn next(&mut self) -> Option<(Requester, W)> {
        let may_take = |waiting: &WaitingOperation<W>| self.may_take(&waiting.requester.caller, 1);
        let at = self.waiting.iter().position(may_take)?;
        let mut served = self.waiting.remove(at);
        let (_, waker) = served.calls.pop_front()?;
        let requester = served.requester;
        served.granted += 1;
        if !served.calls.is_empty() {
            self.waiting.push(served);
        }
        // The sort is stable: the operations of this caller go to the end, in their order.
        self.waiting.sort_by_key(|waiting| waiting.requester.caller == requester.caller);
        self.begin(requester);
        self.try_take(requester.caller, 1).then_some((requester, waker))
    }

    /// Only a caller without permits may take the last free one.
    fn may_take(&self, caller: &LimitKey, count: usize) -> bool {
        let held = self.held_by.get(caller).copied().unwrap_or_default();
        self.free().checked_sub(count).is_some_and(|left| held <= left.saturating_mul(SHARE))
    }

    fn operation(&mut self, requester: Requester) -> Option<&mut WaitingOperation<W>> {
        self.waiting.iter_mut().find(|waiting| waiting.requester == requester)
    }
}

/// Subtracts from the count of a key, and removes one that has none left.
fn subtract<K: Eq + Hash>(counts: &mut HashMap<K, usize, RandomState>, key: &K, count: usize) {
    match counts.get_mut(key) {
        Some(number) if *number > count => *number -= count,
        Some(_) | None => {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: LimitKey = LimitKey::Name([1; 32]);
    const B: LimitKey = LimitKey::Name([2; 32]);
    const C: LimitKey = LimitKey::Name([3; 32]);

    fn of(caller: LimitKey, operation: u64) -> Requester {
        Requester { caller, operation }
    }

    /// Takes as many permits as a caller may have.
    fn take_all<W>(turns: &mut Turns<W>, caller: LimitKey) -> usize {
        std::iter::from_fn(|| turns.try_take(caller, 1).then_some(())).count()
    }

    #[test]
    fn a_busy_caller_leaves_an_eighth_free_and_later_ones_leave_some_too() {
        let mut turns = Turns::<()>::new(256);

        let held = [A, B, C].map(|caller| take_all(&mut turns, caller));

        assert_eq!((held, turns.free()), ([224, 28, 3], 1));
    }

    #[test]
    fn several_permits_are_had_together_or_not_at_all() {
        let mut turns = Turns::<()>::new(100);

        let taken = [(A, 80), (A, 20), (B, 21), (B, 20), (C, 1)]
            .map(|(caller, count)| turns.try_take(caller, count));
        turns.give_back(&A, 80);

        assert_eq!((taken, turns.free()), ([true, false, false, true, false], 80));
    }

    #[test]
    fn callers_take_turns_and_so_do_the_operations_of_a_caller() {
        let mut turns = Turns::new(1);
        assert!(turns.try_take(C, 1));
        for (requester, name) in [
            (of(A, 1), "a1 first"),
            (of(A, 1), "a1 second"),
            (of(A, 1), "a1 third"),
            (of(A, 2), "a2"),
            (of(B, 1), "b first"),
            (of(B, 1), "b second"),
        ] {
            turns.wait(requester, name);
        }

        let mut served = Vec::new();
        let mut holder = C;
        for _ in 0..6 {
            turns.give_back(&holder, 1);
            let (requester, name) = turns.next().unwrap();
            served.push(name);
            holder = requester.caller;
        }

        assert_eq!(served, ["a1 first", "b first", "a2", "b second", "a1 second", "a1 third"]);
        assert_eq!(turns.waiting(), 0);
    }

    #[test]
    fn a_caller_over_its_share_is_passed_over_until_it_gives_some_back() {
        let mut turns = Turns::new(8);
        assert_eq!(take_all(&mut turns, A), 7);
        turns.wait(of(A, 1), "a");

        let while_over = turns.next();
        turns.give_back(&A, 1);
        let after = turns.next();

        assert_eq!((while_over, after), (None, Some((of(A, 1), "a"))));
    }

    #[test]
    fn a_call_that_left_is_not_served() {
        let mut turns = Turns::new(1);
        assert!(turns.try_take(A, 1));
        let ticket = turns.wait(of(A, 1), "left");
        turns.wait(of(A, 1), "stayed");

        turns.leave(of(A, 1), ticket);
        turns.give_back(&A, 1);

        assert_eq!(turns.next(), Some((of(A, 1), "stayed")));
        turns.leave(of(A, 1), ticket);
        assert_eq!(turns.waiting(), 0);
    }

    #[test]
    fn fewer_permits_take_none_away_and_hold_as_they_are_given_back() {
        let mut turns = Turns::<()>::new(8);
        take_all(&mut turns, A);

        turns.size = 2;
        let while_too_many = turns.try_take(B, 1);
        (0..6).for_each(|_| turns.give_back(&A, 1));
        let after = turns.try_take(B, 1);

        assert_eq!((while_too_many, after, turns.free()), (false, true, 0));
    }
}
