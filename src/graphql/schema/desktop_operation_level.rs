//! How serious an operation on a desktop is.

use async_graphql::Enum;

use super::enums::same_as_in_domain;
use crate::domain;

/// Severity of an operation on a desktop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(crate) enum DesktopOperationLevel {
    /// A normal operation.
    Info,
    /// An operation that deserves attention.
    Alarm,
    /// A failure.
    Error,
    /// A level that this gateway does not know. `rawLevel` holds the upstream's text.
    Unknown,
}

same_as_in_domain!(DesktopOperationLevel: Info, Alarm, Error, Unknown);
