//! How many rows the lists of one operation may still scan.

use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::metrics::counter::Counter;

/// The rows that are left of `limits.max_scanned_rows`. All lists of an operation share it.
pub(crate) struct ScanBudget {
    left: AtomicUsize,
    /// Counts rows that were looked at.
    scanned: Counter,
}

impl ScanBudget {
    pub(crate) fn new(rows: usize, scanned: Counter) -> Self {
        Self { left: AtomicUsize::new(rows), scanned }
    }

    /// Reserves up to `rows` rows: fewer, or none, at the end of the budget.
    pub(crate) fn reserve(&self, rows: usize) -> usize {
        let rest = |left: usize| Some(left.saturating_sub(rows));
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
        left.unwrap_or_default().min(rows)
    }

    /// Notes how many of the reserved rows there were.
    pub(crate) fn spend(&self, reserved: usize, rows: usize) {
        self.left.fetch_add(reserved.saturating_sub(rows), Ordering::Relaxed);
        self.scanned.inc_by(rows as u64);
    }

    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_one_operation_share_the_budget() {
        let budget = ScanBudget::new(150, Counter::default());

        let reserved = [budget.reserve(100), budget.reserve(100), budget.reserve(100)];
        budget.spend(50, 20);

        assert_eq!((reserved, budget.left()), ([100, 50, 0], 30));
    }
}
