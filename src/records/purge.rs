//! Purging: what is kept of a record, of a project or at all is dropped, for every caller.
//!
//! A load that was under way then must not bring back what was purged, and nobody may join it any more.
//! So every purge begins a new era, loads remember the era they began in, and keep nothing in another.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::cache::RecordCache;
use super::flight::Flights;
use super::key::RecordKey;
use super::load::Landing;
use super::loader::Records;
use super::sync::RwLock;
use crate::domain::{ProjectId, RecordId};

/// How long a purge waits for the shared tier.
const SHARED_WITHIN: Duration = Duration::from_secs(1);

/// What is purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// One recording, in whichever form its id is written, and every list of its project.
    Record(ProjectId, RecordId),
    /// All recordings and lists of a project.
    Project(ProjectId),
    /// Everything.
    All,
}

/// The time between two purges. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Eras(Arc<RwLock<u64>>);

/// The era that a load began in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Era(u64);

impl Eras {
    pub(crate) fn now(&self) -> Era {
        Era(*self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps what a load of some era has read, unless that era is over. It does not end meanwhile: what
    /// was kept for a moment only, somebody could have found after the purge.
    pub(crate) fn keep_in(&self, era: Era, keep: impl FnOnce()) {
        let now = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if *now == era.0 {
            keep();
        }
    }

    /// Ends the era, and drops what a purge takes: in this order, so that a load which ends during the
    /// purge keeps nothing.
    pub(super) fn end(&self, dropping: impl FnOnce()) {
        let mut now = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *now = now.wrapping_add(1);
        drop(now);
        dropping();
    }
}

impl Purge {
    /// As it stands in logs and metrics.
    pub fn scope(&self) -> &'static str {
        match self {
            Self::Record(..) => "record",
            Self::Project(_) => "project",
            Self::All => "all",
        }
    }

    /// Whether what is kept of a recording goes.
    pub(crate) fn takes(&self, project: &ProjectId, id: &RecordId) -> bool {
        match self {
            Self::Record(purged, record) => {
                purged == project
                    && RecordId::folded(record.as_str()) == RecordId::folded(id.as_str())
            }
            Self::Project(purged) => purged == project,
            Self::All => true,
        }
    }

    /// Lets nobody join a load of a recording that goes, and drops what is kept: in this order, so that
    /// nobody finds the one or the other afterwards.
    pub(super) fn drop_records(&self, flights: &Flights<RecordKey, Landing>, cache: &RecordCache) {
        flights.part(|key| self.takes(&key.project, &key.id));
        cache.purge(self);
    }

    /// Whether what is kept of a project's lists goes: any of them may hold the recording.
    pub(crate) fn takes_lists_of(&self, project: &ProjectId) -> bool {
        match self {
            Self::Record(purged, _) | Self::Project(purged) => purged == project,
            Self::All => true,
        }
    }
}

impl Records {
    /// Drops what is kept, for every caller and on every replica, and keeps loads under way from
    /// bringing it back. Whether all of that is done: where the shared tier is away, it is told as
    /// soon as it is back, and nothing is read from it before.
    pub async fn purge(&self, purge: &Purge) -> bool {
        self.forget(purge);
        self.metrics().count_purge(purge.scope());
        let is_everywhere = match self.shared_tier() {
            Some(tier) => tier.purge(purge, SHARED_WITHIN).await,
            None => true,
        };
        tracing::info!(scope = purge.scope(), is_everywhere, "the cache was purged");
        is_everywhere
    }

    /// Drops what a purge takes from the memory of this process.
    pub(crate) fn forget(&self, purge: &Purge) {
        self.eras().end(|| self.drop_purged(purge));
    }
}
