//! The upstream's enumerations, which are open: a text no document names is kept.

use std::sync::Arc;

/// Where a recording stands. The order is `RECORDING`, `REC_COMPLETED` or `REC_FAILED`, then
/// `UPLOADING`, then `UPLOAD_COMPLETED` or `UPLOAD_FAILED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScreenRecordStatus {
    /// The screen is being recorded.
    Recording,
    /// Recorded, not yet uploaded.
    RecCompleted,
    /// Recording failed; there is no file.
    RecFailed,
    /// The file is on its way to object storage.
    Uploading,
    /// The file is in object storage.
    UploadCompleted,
    /// The upload failed.
    UploadFailed,
    /// A status this version does not know.
    Unknown,
}

/// What made the recording run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScreenRecordType {
    /// The whole session.
    Full,
    /// At intervals.
    Interval,
    /// On user operations.
    Operation,
    /// By session life cycle.
    Session,
    /// A type this version does not know.
    Unknown,
}

/// A value of an open enumeration: what it means here, and the text it came as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenEnum<T> {
    /// The value, `Unknown` where the text is not known.
    pub known: T,
    /// The upstream's own text.
    pub raw: Arc<str>,
}

impl ScreenRecordStatus {
    /// Reads the upstream's text.
    pub fn from_upstream(text: &str) -> Self {
        match text {
            "RECORDING" => Self::Recording,
            "REC_COMPLETED" => Self::RecCompleted,
            "REC_FAILED" => Self::RecFailed,
            "UPLOADING" => Self::Uploading,
            "UPLOAD_COMPLETED" => Self::UploadCompleted,
            "UPLOAD_FAILED" => Self::UploadFailed,
            _ => Self::Unknown,
        }
    }

    /// The upstream's text; none for what is not known.
    pub fn to_upstream(self) -> Option<&'static str> {
        match self {
            Self::Recording => Some("RECORDING"),
            Self::RecCompleted => Some("REC_COMPLETED"),
            Self::RecFailed => Some("REC_FAILED"),
            Self::Uploading => Some("UPLOADING"),
            Self::UploadCompleted => Some("UPLOAD_COMPLETED"),
            Self::UploadFailed => Some("UPLOAD_FAILED"),
            Self::Unknown => None,
        }
    }

    /// Whether the record will not change any more.
    pub fn is_final(self) -> bool {
        match self {
            Self::UploadCompleted | Self::RecFailed | Self::UploadFailed => true,
            Self::Recording | Self::RecCompleted | Self::Uploading | Self::Unknown => false,
        }
    }
}

impl ScreenRecordType {
    /// Reads the upstream's text; `USER_OPERATION` is what older upstreams call `OPERATION`.
    pub fn from_upstream(text: &str) -> Self {
        match text {
            "FULL" => Self::Full,
            "INTERVAL" => Self::Interval,
            "OPERATION" | "USER_OPERATION" => Self::Operation,
            "SESSION" => Self::Session,
            _ => Self::Unknown,
        }
    }

    /// The upstream's text; none for what is not known.
    pub fn to_upstream(self) -> Option<&'static str> {
        match self {
            Self::Full => Some("FULL"),
            Self::Interval => Some("INTERVAL"),
            Self::Operation => Some("OPERATION"),
            Self::Session => Some("SESSION"),
            Self::Unknown => None,
        }
    }
}
