//! A change of a watched list.

use std::sync::Arc;

use async_graphql::{ID, Object};

use super::field::Counted;
use super::screen_record::ScreenRecord;
use crate::domain::{Failure, ProjectId};
use crate::records::{RowChange, RowChangeKind};

/// A change of a watched list.
pub(crate) struct ScreenRecordChange {
    pub(crate) change: RowChange,
    pub(crate) project: ProjectId,
}

/// A change of a watched list.
#[Object]
impl ScreenRecordChange {
    /// What has changed.
    async fn kind(&self) -> RowChangeKind {
        self.change.kind
    }

    /// Id of the recording.
    async fn id(&self) -> Counted<ID> {
        // Rows without an id are not watched.
        Counted(ID::from(self.change.record.id().unwrap_or_default()))
    }

    /// The recording now. `null` if it was removed.
    async fn record(&self) -> Option<Result<ScreenRecord, Failure>> {
        if self.change.kind == RowChangeKind::Removed {
            return None;
        }
        let record = ScreenRecord::listed(Arc::clone(&self.change.record), self.project.clone());
        Some(record.map_err(Failure::Unreadable))
    }
}
