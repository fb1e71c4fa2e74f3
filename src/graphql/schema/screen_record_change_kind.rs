//! What has changed of a row of a watched list.

use async_graphql::Enum;

use crate::records::RowChangeKind;

/// What has changed.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "RowChangeKind")]
pub(crate) enum ScreenRecordChangeKind {
    /// The recording is in the list now.
    Added,
    /// The recording has other values.
    Changed,
    /// The recording is no longer in the list.
    Removed,
}
