//! The upstream's enumerations. They are open: the text of an unknown value is kept.

use std::sync::Arc;

/// Declares an enumeration and the upstream's text of each value. A second text is an older spelling. The
/// comments are the descriptions in the schema.
macro_rules! upstream_enum {
    (
        $(#[$doc:meta])* $name:ident {
            $($(#[$variant_doc:meta])* $variant:ident = $text:literal $(| $older:literal)?,)*
        }
        $(#[$unknown_doc:meta])* Unknown
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, async_graphql::Enum)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            $(#[$unknown_doc])* Unknown,
        }

        impl $name {
            /// Reads the upstream's text.
            pub fn from_upstream(text: &str) -> Self {
                match text {
                    $($text $(| $older)? => Self::$variant,)*
                    _ => Self::Unknown,
                }
            }

            /// The upstream's text; `None` for an unknown value.
            pub fn to_upstream(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => Some($text),)*
                    Self::Unknown => None,
                }
            }
        }
    };
}

upstream_enum! {
    /// Status of a recording. `RECORDING` is followed by `REC_COMPLETED` or `REC_FAILED`, `REC_COMPLETED` by
    /// `UPLOADING`, and `UPLOADING` by `UPLOAD_COMPLETED` or `UPLOAD_FAILED`.
    ScreenRecordStatus {
        /// The screen is being recorded.
        Recording = "RECORDING",
        /// Recording has ended; the upload has not begun.
        RecCompleted = "REC_COMPLETED",
        /// Recording failed, and there is no file. A final status.
        RecFailed = "REC_FAILED",
        /// The file is being uploaded to object storage.
        Uploading = "UPLOADING",
        /// The file is in object storage. A final status.
        UploadCompleted = "UPLOAD_COMPLETED",
        /// The upload failed. A final status.
        UploadFailed = "UPLOAD_FAILED",
    }
    /// A status that this gateway does not know. `rawStatus` holds the upstream's text.
    Unknown
}

upstream_enum! {
    /// When the screen is recorded.
    ScreenRecordType {
        /// During the whole session.
        Full = "FULL",
        /// At intervals.
        Interval = "INTERVAL",
        /// While the user operates the desktop. Older versions of the upstream call it `USER_OPERATION`.
        Operation = "OPERATION" | "USER_OPERATION",
        /// According to the session's life cycle.
        Session = "SESSION",
    }
    /// A type that this gateway does not know. `rawType` holds the upstream's text.
    Unknown
}

upstream_enum! {
    /// What was operated on.
    DesktopOperationType {
        /// An application.
        App = "APP",
        /// A file.
        File = "FILE",
        /// The registry.
        Reg = "REG",
        /// The desktop protocol: clipboard, files, USB devices, printing, idle input.
        Hdp = "HDP",
    }
    /// A type that this gateway does not know. `rawType` holds the upstream's text.
    Unknown
}

upstream_enum! {
    /// Severity of an operation on a desktop.
    DesktopOperationLevel {
        /// A normal operation.
        Info = "INFO",
        /// An operation that deserves attention.
        Alarm = "ALARM",
        /// A failure.
        Error = "ERROR",
    }
    /// A level that this gateway does not know. `rawLevel` holds the upstream's text.
    Unknown
}

/// A value of an open enumeration and the upstream's text of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenEnum<T> {
    /// The value; `Unknown` for a text that is not known.
    pub known: T,
    /// The upstream's text.
    pub raw: Arc<str>,
}

impl ScreenRecordStatus {
    /// Whether the record will not change any more.
    pub fn is_final(self) -> bool {
        match self {
            Self::UploadCompleted | Self::RecFailed | Self::UploadFailed => true,
            Self::Recording | Self::RecCompleted | Self::Uploading | Self::Unknown => false,
        }
    }
}
