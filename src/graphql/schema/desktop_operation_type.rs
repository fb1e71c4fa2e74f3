//! What an operation on a desktop was on.

use async_graphql::Enum;

/// What was operated on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::domain::DesktopOperationType")]
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
