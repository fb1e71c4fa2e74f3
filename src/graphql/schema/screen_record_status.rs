//! Where a recording stands.

use async_graphql::Enum;

use super::enums::same_as_in_domain;
use crate::domain;

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

same_as_in_domain!(
    ScreenRecordStatus: Recording, RecCompleted, RecFailed, Uploading, UploadCompleted, UploadFailed,
    Unknown
);
