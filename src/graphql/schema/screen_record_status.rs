//! Where a recording stands.

use async_graphql::Enum;

/// Status of a recording. `RECORDING` is followed by `REC_COMPLETED` or `REC_FAILED`, `REC_COMPLETED` by
/// `UPLOADING`, and `UPLOADING` by `UPLOAD_COMPLETED` or `UPLOAD_FAILED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::domain::ScreenRecordStatus")]
pub(crate) enum ScreenRecordStatus {
    /// The screen is being recorded.
    Recording,
    /// Recording has ended; the upload has not begun.
    RecCompleted,
    /// Recording failed, and there is no file. A final status.
    RecFailed,
    /// The file is being uploaded to object storage.
    Uploading,
    /// The file is in object storage. A final status.
    UploadCompleted,
    /// The upload failed. A final status.
    UploadFailed,
    /// A status that this gateway does not know. `rawStatus` holds the upstream's text.
    Unknown,
}
