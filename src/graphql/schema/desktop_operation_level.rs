//! How serious an operation on a desktop is.

use async_graphql::Enum;

/// Severity of an operation on a desktop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::domain::DesktopOperationLevel")]
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
