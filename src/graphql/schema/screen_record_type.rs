//! What made a recording run.

use async_graphql::Enum;

/// When the screen is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::domain::ScreenRecordType")]
pub(crate) enum ScreenRecordType {
    /// During the whole session.
    Full,
    /// At intervals.
    Interval,
    /// While the user operates the desktop. Older versions of the upstream call it `USER_OPERATION`.
    Operation,
    /// According to the session's life cycle.
    Session,
    /// A type that this gateway does not know. `rawType` holds the upstream's text.
    Unknown,
}
