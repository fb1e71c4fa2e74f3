//! What an operation on a desktop was on.

use async_graphql::Enum;

use super::enums::same_as_in_domain;
use crate::domain;

/// What was operated on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(crate) enum DesktopOperationType {
    /// An application.
    App,
    /// A file.
    File,
    /// The registry.
    Reg,
    /// The desktop protocol: clipboard, files, USB devices, printing, idle input.
    Hdp,
    /// A type that this gateway does not know. `rawType` holds the upstream's text.
    Unknown,
}

same_as_in_domain!(DesktopOperationType: App, File, Reg, Hdp, Unknown);
