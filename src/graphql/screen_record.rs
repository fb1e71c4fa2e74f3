//! A recording, as clients see it.

use std::sync::Arc;

use async_graphql::{ID, Object};

use super::desktop::Desktop;
use super::enums::{ScreenRecordStatus, ScreenRecordType};
use super::scalars::{DateTime, Long};
use crate::domain::{self, Failure, Field, OpenEnum, ProjectId, RecordId};

/// A recording and what it was asked for by.
pub(crate) struct ScreenRecord {
    pub(crate) record: Arc<domain::ScreenRecord>,
    pub(crate) project: ProjectId,
    pub(crate) asked: RecordId,
}

/// A recording of a cloud desktop's screen.
///
/// Every field but `id` and `projectId` may be absent upstream and is `null` then, without an error.
/// A value that cannot be read is `null` as well, with an error `UPSTREAM_INVALID_RESPONSE` at its
/// path and the value in `extensions.upstream.value`; the other fields stand.
#[Object]
impl ScreenRecord {
    /// Id of the recording as the upstream gave it, or as it was asked for where it gave none. The
    /// upstream writes the same id with or without dashes, in either case.
    async fn id(&self) -> ID {
        ID::from(self.record.id.as_deref().unwrap_or(self.asked.as_str()))
    }

    /// Project the recording was asked for in.
    async fn project_id(&self) -> ID {
        ID::from(self.project.as_str())
    }

    /// Id of the desktop.
    async fn desktop_id(&self) -> Option<Result<ID, Failure>> {
        read(&self.record.desktop_id, |id| ID::from(&**id))
    }

    /// Name of the desktop.
    async fn desktop_name(&self) -> Option<Result<&str, Failure>> {
        text(&self.record.desktop_name)
    }

    /// Id of the pool the desktop belongs to.
    async fn desktop_pool_id(&self) -> Option<Result<ID, Failure>> {
        read(&self.record.desktop_pool_id, |id| ID::from(&**id))
    }

    /// Who was logged in to the desktop; any script.
    async fn username(&self) -> Option<Result<&str, Failure>> {
        text(&self.record.username)
    }

    /// Size of the video in bytes; 0 while it is being recorded.
    async fn size(&self) -> Option<Result<Long, Failure>> {
        read(&self.record.size, |size| Long(*size))
    }

    /// Length of the video in seconds. Not always the time from `startTime` to `endTime`.
    async fn duration(&self) -> Option<Result<i32, Failure>> {
        read(&self.record.duration, |seconds| *seconds)
    }

    /// What made the recording run. `UNKNOWN` where the upstream's text is not known here; it is in
    /// `rawType`.
    async fn r#type(&self) -> Option<Result<ScreenRecordType, Failure>> {
        read(&self.record.kind, |kind| kind.known.into())
    }

    /// The type in the upstream's own text.
    async fn raw_type(&self) -> Option<Result<&str, Failure>> {
        raw(&self.record.kind)
    }

    /// Where the recording stands. `UNKNOWN` where the upstream's text is not known here; it is in
    /// `rawStatus`.
    async fn status(&self) -> Option<Result<ScreenRecordStatus, Failure>> {
        read(&self.record.status, |status| status.known.into())
    }

    /// The status in the upstream's own text.
    async fn raw_status(&self) -> Option<Result<&str, Failure>> {
        raw(&self.record.status)
    }

    /// Id of the recording policy.
    async fn policy_id(&self) -> Option<Result<ID, Failure>> {
        read(&self.record.policy_id, |id| ID::from(&**id))
    }

    /// Bucket of the files in object storage.
    async fn obs_bucket(&self) -> Option<Result<&str, Failure>> {
        text(&self.record.obs_bucket)
    }

    /// Directory of the files in the bucket.
    async fn file_directory(&self) -> Option<Result<&str, Failure>> {
        text(&self.record.file_directory)
    }

    /// Name of the video file.
    async fn video_filename(&self) -> Option<Result<&str, Failure>> {
        text(&self.record.video_filename)
    }

    /// SHA-256 of the video file, hexadecimal.
    async fn video_file_sha256(&self) -> Option<Result<&str, Failure>> {
        text(&self.record.video_file_sha256)
    }

    /// Name of the file with the events of the recording.
    async fn event_filename(&self) -> Option<Result<&str, Failure>> {
        text(&self.record.event_filename)
    }

    /// SHA-256 of the file with the events, hexadecimal.
    async fn event_file_sha256(&self) -> Option<Result<&str, Failure>> {
        text(&self.record.event_file_sha256)
    }

    /// When recording began.
    async fn start_time(&self) -> Option<Result<DateTime, Failure>> {
        read(&self.record.start_time, |time| DateTime(*time))
    }

    /// When recording ended; `null` while it runs.
    async fn end_time(&self) -> Option<Result<DateTime, Failure>> {
        read(&self.record.end_time, |time| DateTime(*time))
    }

    /// When the record last changed.
    async fn update_time(&self) -> Option<Result<DateTime, Failure>> {
        read(&self.record.update_time, |time| DateTime(*time))
    }

    /// How the files were uploaded. The upstream does not document the values.
    async fn upload_type(&self) -> Option<Result<&str, Failure>> {
        text(&self.record.upload_type)
    }

    /// The kind of site the desktop is at. The upstream does not document the values.
    async fn site_type(&self) -> Option<Result<&str, Failure>> {
        text(&self.record.site_type)
    }

    /// The desktop as a stub that other graphs can fill; `null` where `desktopId` is.
    async fn desktop(&self) -> Option<Result<Desktop, Failure>> {
        read(&self.record.desktop_id, |id| Desktop { id: ID::from(&**id) })
    }
}

fn read<'r, T, U>(field: &'r Field<T>, show: impl Fn(&'r T) -> U) -> Option<Result<U, Failure>> {
    field.as_ref().map(|read| match read {
        Ok(value) => Ok(show(value)),
        Err(unreadable) => Err(Failure::Unreadable(Arc::clone(unreadable))),
    })
}

fn text(field: &Field<Arc<str>>) -> Option<Result<&str, Failure>> {
    read(field, |text| &**text)
}

fn raw<T>(field: &Field<OpenEnum<T>>) -> Option<Result<&str, Failure>> {
    read(field, |value| &*value.raw)
}
