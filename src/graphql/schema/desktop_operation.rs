//! What happened on a desktop, as clients see it.

use std::sync::Arc;

use async_graphql::{ID, Object};

use super::counted::Counted;
use super::desktop_operation_level::DesktopOperationLevel;
use super::desktop_operation_type::DesktopOperationType;
use super::field::{raw, read, text};
use super::scalars::DateTime;
use crate::domain::{self, Failure, Unreadable};

/// An operation and its id, which it has to have.
pub(crate) struct DesktopOperation {
    id: Arc<str>,
    operation: Arc<domain::DesktopOperation>,
}

impl DesktopOperation {
    /// The operation of a row.
    pub(crate) fn of(operation: Arc<domain::DesktopOperation>) -> Result<Self, Arc<Unreadable>> {
        let id = operation.id.clone().ok_or_else(|| Unreadable::new("has no id", ""))?;
        Ok(Self { id, operation })
    }
}

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
        read(&self.operation.desktop_id, |id| Counted(ID::from(&**id)))
    }

    /// Name of the user who was logged in to the desktop, in any script.
    async fn username(&self) -> Option<Result<Counted<&str>, Failure>> {
        text(&self.operation.username)
    }

    /// What was operated on. `UNKNOWN` if the gateway does not know the upstream's value, which `rawType`
    /// holds.
    async fn r#type(&self) -> Option<Result<DesktopOperationType, Failure>> {
        read(&self.operation.kind, |kind| kind.known.into())
    }

    /// The type as the upstream wrote it.
    async fn raw_type(&self) -> Option<Result<Counted<&str>, Failure>> {
        raw(&self.operation.kind)
    }

    /// Severity of the operation. `UNKNOWN` if the gateway does not know the upstream's value, which
    /// `rawLevel` holds.
    async fn level(&self) -> Option<Result<DesktopOperationLevel, Failure>> {
        read(&self.operation.level, |level| level.known.into())
    }

    /// The level as the upstream wrote it.
    async fn raw_level(&self) -> Option<Result<Counted<&str>, Failure>> {
        raw(&self.operation.level)
    }

    /// Name of the event, such as `FILE_CREATE` or `HDP_CLIPBOARD`.
    async fn event(&self) -> Option<Result<Counted<&str>, Failure>> {
        text(&self.operation.event)
    }

    /// Details of the event, as free text.
    async fn data(&self) -> Option<Result<Counted<&str>, Failure>> {
        text(&self.operation.data)
    }

    /// Time of the operation.
    async fn time(&self) -> Option<Result<DateTime, Failure>> {
        read(&self.operation.time, |time| DateTime(*time))
    }

    /// Position in the video, in seconds from its start.
    async fn offset(&self) -> Option<Result<i32, Failure>> {
        read(&self.operation.offset, |seconds| *seconds)
    }
}
