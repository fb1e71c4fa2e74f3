//! What happened on a desktop, as clients see it.

use async_graphql::{ID, Object};

use super::field::{Counted, raw, read, text};
use crate::domain::{
    DesktopOperation, DesktopOperationLevel, DesktopOperationType, Failure, Timestamp,
};

/// An operation on a desktop during a recording, such as the creation of a file.
///
/// A field that the upstream does not send is `null` without an error; `id` never is. A value that
/// cannot be read is `null` with an error `UPSTREAM_INVALID_RESPONSE` at its path. The other fields
/// are answered.
#[Object]
impl DesktopOperation {
    /// Id of the operation.
    async fn id(&self) -> Counted<ID> {
        Counted(ID::from(&*self.id))
    }

    /// Id of the desktop.
    async fn desktop_id(&self) -> Option<Result<Counted<ID>, Failure>> {
        read(&self.desktop_id, |id| Counted(ID::from(&**id)))
    }

    /// Name of the user who was logged in to the desktop, in any script.
    async fn username(&self) -> Option<Result<Counted<&str>, Failure>> {
        text(&self.username)
    }

    /// What was operated on. `UNKNOWN` if the gateway does not know the upstream's value, which `rawType`
    /// holds.
    async fn r#type(&self) -> Option<Result<DesktopOperationType, Failure>> {
        read(&self.kind, |kind| kind.known)
    }

    /// The type as the upstream wrote it.
    async fn raw_type(&self) -> Option<Result<Counted<&str>, Failure>> {
        raw(&self.kind)
    }

    /// Severity of the operation. `UNKNOWN` if the gateway does not know the upstream's value, which
    /// `rawLevel` holds.
    async fn level(&self) -> Option<Result<DesktopOperationLevel, Failure>> {
        read(&self.level, |level| level.known)
    }

    /// The level as the upstream wrote it.
    async fn raw_level(&self) -> Option<Result<Counted<&str>, Failure>> {
        raw(&self.level)
    }

    /// Name of the event, such as `FILE_CREATE` or `HDP_CLIPBOARD`.
    async fn event(&self) -> Option<Result<Counted<&str>, Failure>> {
        text(&self.event)
    }

    /// Details of the event, as free text.
    async fn data(&self) -> Option<Result<Counted<&str>, Failure>> {
        text(&self.data)
    }

    /// Time of the operation.
    async fn time(&self) -> Option<Result<Timestamp, Failure>> {
        read(&self.time, |time| *time)
    }

    /// Position in the video, in seconds from its start.
    async fn offset(&self) -> Option<Result<i32, Failure>> {
        read(&self.offset, |seconds| *seconds)
    }
}
