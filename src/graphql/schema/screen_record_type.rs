//! What made a recording run.

use async_graphql::Enum;

use super::enums::same_as_in_domain;
use crate::domain;

/// When the screen is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
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

same_as_in_domain!(ScreenRecordType: Full, Interval, Operation, Session, Unknown);
