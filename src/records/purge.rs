//! Purging: what is kept of a record, of a project or at all is dropped, for every caller.

use std::time::Duration;

use super::loader::Records;
use super::invalidation::Removal;
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
        self.remove(&Removal::Purge(purge.clone()));
        self.metrics().count_purge(purge.scope());
        let is_everywhere = match self.shared_tier() {
            Some(tier) => tier.purge(purge, SHARED_WITHIN).await,
            None => true,
        };
        tracing::info!(scope = purge.scope(), is_everywhere, "the cache was purged");
        is_everywhere
    }
}
