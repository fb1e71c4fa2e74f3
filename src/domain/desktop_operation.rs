//! What happened on a desktop while it was recorded.

use std::sync::Arc;

use super::{Field, OpenEnum, Timestamp};

/// One operation on a desktop, every field read on its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesktopOperation {
    /// The id the upstream gave, absent where it gave none.
    pub id: Option<Arc<str>>,
    /// The desktop.
    pub desktop_id: Field<Arc<str>>,
    /// Who was logged in.
    pub username: Field<Arc<str>>,
    /// What was operated on.
    pub kind: Field<OpenEnum<DesktopOperationType>>,
    /// How serious it is.
    pub level: Field<OpenEnum<DesktopOperationLevel>>,
    /// The event's name, such as `FILE_CREATE`.
    pub event: Field<Arc<str>>,
    /// What the event was about, free text.
    pub data: Field<Arc<str>>,
    /// When it happened.
    pub time: Field<Timestamp>,
    /// Seconds from the start of the video.
    pub offset: Field<i32>,
}

/// What an operation was on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DesktopOperationType {
    /// Applications.
    App,
    /// Files.
    File,
    /// The registry.
    Reg,
    /// The desktop protocol: clipboard, devices, printing.
    Hdp,
    /// A type this version does not know.
    Unknown,
}

/// How serious an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DesktopOperationLevel {
    /// Nothing unusual.
    Info,
    /// Worth a look.
    Alarm,
    /// Something failed.
    Error,
    /// A level this version does not know.
    Unknown,
}

impl DesktopOperationType {
    /// Reads the upstream's text.
    pub fn from_upstream(text: &str) -> Self {
        match text {
            "APP" => Self::App,
            "FILE" => Self::File,
            "REG" => Self::Reg,
            "HDP" => Self::Hdp,
            _ => Self::Unknown,
        }
    }

    /// The upstream's text; none for what is not known.
    pub fn to_upstream(self) -> Option<&'static str> {
        match self {
            Self::App => Some("APP"),
            Self::File => Some("FILE"),
            Self::Reg => Some("REG"),
            Self::Hdp => Some("HDP"),
            Self::Unknown => None,
        }
    }
}

impl DesktopOperationLevel {
    /// Reads the upstream's text.
    pub fn from_upstream(text: &str) -> Self {
        match text {
            "INFO" => Self::Info,
            "ALARM" => Self::Alarm,
            "ERROR" => Self::Error,
            _ => Self::Unknown,
        }
    }

    /// The upstream's text; none for what is not known.
    pub fn to_upstream(self) -> Option<&'static str> {
        match self {
            Self::Info => Some("INFO"),
            Self::Alarm => Some("ALARM"),
            Self::Error => Some("ERROR"),
            Self::Unknown => None,
        }
    }
}
