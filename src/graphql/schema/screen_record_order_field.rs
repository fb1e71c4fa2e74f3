//! What recordings can be sorted by.

use async_graphql::Enum;

/// Fields that recordings can be sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
pub(crate) enum ScreenRecordOrderField {
    /// `startTime`, the time at which recording began.
    #[default]
    StartTime,
}
