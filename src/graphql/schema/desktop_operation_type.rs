//! What an operation on a desktop was on.

use async_graphql::Enum;

use super::enums::same_as_in_domain;
use crate::domain;

/// What an operation on a desktop was on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(crate) enum DesktopOperationType {
    /// An application.
    App,
    /// A file.
    File,
    /// The registry.
    Reg,
    /// The desktop protocol: clipboard, devices, printing.
    Hdp,
    /// A type this gateway does not know; `rawType` has the upstream's text.
    Unknown,
}

same_as_in_domain!(DesktopOperationType: App, File, Reg, Hdp, Unknown);
