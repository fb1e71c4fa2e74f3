//! The upstream's enumerations. They are open: the text of an unknown value is kept.

use std::sync::Arc;

/// Declares an enumeration and the upstream's text of each value. A second text is an older spelling.
macro_rules! upstream_enum {
    (
        $(#[$doc:meta])* $name:ident {
            $($(#[$variant_doc:meta])* $variant:ident = $text:literal $(| $older:literal)?,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A value that this version does not know.
            Unknown,
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
    /// The status of a recording. The order is `RECORDING`, `REC_COMPLETED` or `REC_FAILED`, then
    /// `UPLOADING`, then `UPLOAD_COMPLETED` or `UPLOAD_FAILED`.
    ScreenRecordStatus {
        /// The screen is being recorded.
        Recording = "RECORDING",
        /// Recorded, not yet uploaded.
        RecCompleted = "REC_COMPLETED",
        /// Recording failed; there is no file.
        RecFailed = "REC_FAILED",
        /// The file is being uploaded to object storage.
        Uploading = "UPLOADING",
        /// The file is in object storage.
        UploadCompleted = "UPLOAD_COMPLETED",
        /// The upload failed.
        UploadFailed = "UPLOAD_FAILED",
    }
}

upstream_enum! {
    /// What made the recording run.
    ScreenRecordType {
        /// The whole session.
        Full = "FULL",
        /// At intervals.
        Interval = "INTERVAL",
        /// On user operations.
        Operation = "OPERATION" | "USER_OPERATION",
        /// By session life cycle.
        Session = "SESSION",
    }
}

upstream_enum! {
    /// What an operation was on.
    DesktopOperationType {
        /// Applications.
        App = "APP",
        /// Files.
        File = "FILE",
        /// The registry.
        Reg = "REG",
        /// The desktop protocol: clipboard, devices, printing.
        Hdp = "HDP",
    }
}

upstream_enum! {
    /// How serious an operation is.
    DesktopOperationLevel {
        /// Nothing unusual.
        Info = "INFO",
        /// Worth a look.
        Alarm = "ALARM",
        /// Something failed.
        Error = "ERROR",
    }
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
