//! How serious an operation on a desktop is.

use async_graphql::Enum;

use super::enums::same_as_in_domain;
use crate::domain;

/// How serious an operation on a desktop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(crate) enum DesktopOperationLevel {
    /// Nothing unusual.
    Info,
    /// Worth a look.
    Alarm,
    /// Something failed.
    Error,
    /// A level this gateway does not know; `rawLevel` has the upstream's text.
    Unknown,
}

same_as_in_domain!(DesktopOperationLevel: Info, Alarm, Error, Unknown);
