//! The enumerations of the schema.

use async_graphql::Enum;

use crate::domain;

/// What made a recording run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(crate) enum ScreenRecordType {
    /// The whole session is recorded.
    Full,
    /// Recording runs at intervals.
    Interval,
    /// Recording runs while the user operates the desktop. Older upstreams call it
    /// `USER_OPERATION`.
    Operation,
    /// Recording follows the session's life cycle.
    Session,
    /// A type this gateway does not know; `rawType` has the upstream's text.
    Unknown,
}

/// Where a recording stands: `RECORDING`, then `REC_COMPLETED` or `REC_FAILED`, then `UPLOADING`,
/// then `UPLOAD_COMPLETED` or `UPLOAD_FAILED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(crate) enum ScreenRecordStatus {
    /// The screen is being recorded.
    Recording,
    /// Recorded, not yet uploaded.
    RecCompleted,
    /// Recording failed and there is no file. Final.
    RecFailed,
    /// The file is on its way to object storage.
    Uploading,
    /// The file is in object storage. Final.
    UploadCompleted,
    /// The upload failed. Final.
    UploadFailed,
    /// A status this gateway does not know; `rawStatus` has the upstream's text.
    Unknown,
}

impl From<domain::ScreenRecordType> for ScreenRecordType {
    fn from(known: domain::ScreenRecordType) -> Self {
        match known {
            domain::ScreenRecordType::Full => Self::Full,
            domain::ScreenRecordType::Interval => Self::Interval,
            domain::ScreenRecordType::Operation => Self::Operation,
            domain::ScreenRecordType::Session => Self::Session,
            domain::ScreenRecordType::Unknown => Self::Unknown,
        }
    }
}

impl From<domain::ScreenRecordStatus> for ScreenRecordStatus {
    fn from(known: domain::ScreenRecordStatus) -> Self {
        match known {
            domain::ScreenRecordStatus::Recording => Self::Recording,
            domain::ScreenRecordStatus::RecCompleted => Self::RecCompleted,
            domain::ScreenRecordStatus::RecFailed => Self::RecFailed,
            domain::ScreenRecordStatus::Uploading => Self::Uploading,
            domain::ScreenRecordStatus::UploadCompleted => Self::UploadCompleted,
            domain::ScreenRecordStatus::UploadFailed => Self::UploadFailed,
            domain::ScreenRecordStatus::Unknown => Self::Unknown,
        }
    }
}
