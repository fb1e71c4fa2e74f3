//! One recording, every field read on its own.

use std::sync::Arc;

use super::{OpenEnum, ScreenRecordStatus, ScreenRecordType, Timestamp};

/// A field of an upstream object: absent, read, or there but not readable.
pub type Field<T> = Option<Result<T, Arc<Unreadable>>>;

/// Why a field could not be read. Its record stands all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// What is wrong, as a clause: "is not a number".
    pub problem: String,
    /// What the upstream wrote, as JSON text, cut at [`Unreadable::LONGEST_VALUE`] characters.
    pub value: String,
}

/// A recording of a cloud desktop's screen, normalised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScreenRecord {
    /// The id the upstream gave, absent where it gave none.
    pub id: Option<Arc<str>>,
    /// The desktop.
    pub desktop_id: Field<Arc<str>>,
    /// The desktop's name.
    pub desktop_name: Field<Arc<str>>,
    /// The pool the desktop belongs to.
    pub desktop_pool_id: Field<Arc<str>>,
    /// Who was logged in, in any script.
    pub username: Field<Arc<str>>,
    /// Size of the video in bytes.
    pub size: Field<i64>,
    /// Length of the video in seconds.
    pub duration: Field<i32>,
    /// What made the recording run.
    pub kind: Field<OpenEnum<ScreenRecordType>>,
    /// Where the recording stands.
    pub status: Field<OpenEnum<ScreenRecordStatus>>,
    /// The recording policy.
    pub policy_id: Field<Arc<str>>,
    /// Bucket in object storage.
    pub obs_bucket: Field<Arc<str>>,
    /// Directory in the bucket.
    pub file_directory: Field<Arc<str>>,
    /// Name of the video file.
    pub video_filename: Field<Arc<str>>,
    /// SHA-256 of the video file, hexadecimal.
    pub video_file_sha256: Field<Arc<str>>,
    /// Name of the file of events.
    pub event_filename: Field<Arc<str>>,
    /// SHA-256 of the file of events, hexadecimal.
    pub event_file_sha256: Field<Arc<str>>,
    /// When recording began.
    pub start_time: Field<Timestamp>,
    /// When recording ended.
    pub end_time: Field<Timestamp>,
    /// When the record last changed.
    pub update_time: Field<Timestamp>,
    /// How the file was uploaded; values are not documented.
    pub upload_type: Field<Arc<str>>,
    /// The kind of site; values are not documented.
    pub site_type: Field<Arc<str>>,
}

impl Unreadable {
    /// How much of the upstream's value is kept, in characters.
    pub const LONGEST_VALUE: usize = 64;

    /// Notes a problem with a value.
    pub fn new(problem: impl Into<String>, value: &str) -> Arc<Self> {
        let value = value.chars().take(Self::LONGEST_VALUE).collect();
        Arc::new(Self { problem: problem.into(), value })
    }
}

impl ScreenRecord {
    /// Whether the record will not change any more.
    pub fn is_final(&self) -> bool {
        matches!(&self.status, Some(Ok(status)) if status.known.is_final())
    }
}
