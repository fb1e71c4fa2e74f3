//! How many rows the lists of one operation may still scan.

use std::sync::atomic::{AtomicU32, Ordering};

use prometheus_client::metrics::counter::Counter;

/// The rows that are left of `limits.max_scanned_rows`. All lists of an operation share it.
pub(crate) struct ScanBudget {
    left: AtomicU32,
    /// Counts rows that were looked at.
    scanned: Counter,
}

impl ScanBudget {
    pub(crate) fn new(rows: u32, scanned: Counter) -> Self {
        Self { left: AtomicU32::new(rows), scanned }
    }

    /// Reserves up to `rows` rows: fewer, or none, at the end of the budget.
    pub(crate) fn reserve(&self, rows: u32) -> u32 {
        let rest = |left: u32| Some(left.saturating_sub(rows));
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
        left.unwrap_or_default().min(rows)
    }

    /// Notes how many of the reserved rows there were.
    pub(crate) fn spend(&self, reserved: u32, rows: usize) {
        let spent = u32::try_from(rows).unwrap_or(u32::MAX);
        self.left.fetch_add(reserved.saturating_sub(spent), Ordering::Relaxed);
        self.scanned.inc_by(rows as u64);
    }

    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed) as usize
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
