//! Letting go of what nothing may serve any more, now and then.
//!
//! Lives are settings that may change while the process runs, and what is kept in place of an outage
//! may have to be kept for longer just then. So nothing has an end of its own: age is judged on reading,
//! and here, to give the memory back.

use std::time::Duration;

use tokio::time::interval;

use super::loader::Records;

/// How often everything that is kept is looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

impl Records {
    /// Lets go of what nothing may serve any more, from now on.
    pub fn tidy(&self) {
        let records = self.downgrade();
        let (tasks, ended) = (self.tasks().clone(), self.ended().clone());
        let sweeping = async move {
            let mut sweeps = interval(SWEEP_EVERY);
            loop {
                sweeps.tick().await;
                let Some(records) = records.upgrade() else { return };
                // A full cache takes a while to look through, which nobody should wait for.
                let swept = records.tasks().clone().spawn_blocking(move || records.sweep());
                let _ = swept.await;
            }
        };
        tasks.spawn(ended.run_until_cancelled_owned(sweeping));
    }

    fn sweep(&self) {
        self.cache().sweep();
        self.record_pages().sweep();
        self.operation_pages().sweep();
        self.links().sweep();
    }
}
