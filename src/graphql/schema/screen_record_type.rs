//! What made a recording run.

use async_graphql::Enum;

use super::enums::same_as_in_domain;
use crate::domain;

/// What made a recording run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(crate) enum ScreenRecordType {
    /// The whole session is recorded.
    Full,
    /// Recording runs at intervals.
    Interval,
    /// Recording runs while the user operates the desktop. Older upstreams call it
    /// `USER_OPERATION`.
    Operation,
    /// Recording follows the session's life cycle.
    Session,
    /// A type this gateway does not know; `rawType` has the upstream's text.
    Unknown,
}

same_as_in_domain!(ScreenRecordType: Full, Interval, Operation, Session, Unknown);
