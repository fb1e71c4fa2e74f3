//! What recordings can be sorted by.

use async_graphql::Enum;

/// What recordings can be sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
pub(crate) enum ScreenRecordOrderField {
    /// When they began.
    #[default]
    StartTime,
}
