//! Operations on a desktop during a recording.

use std::sync::Arc;

use super::{DesktopOperationLevel, DesktopOperationType, Field, OpenEnum, Timestamp};

/// One operation on a desktop, every field read on its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesktopOperation {
    /// The id. A row without one cannot be read.
    pub id: Arc<str>,
    /// The desktop.
    pub desktop_id: Field<Arc<str>>,
    /// Who was logged in.
    pub username: Field<Arc<str>>,
    /// What was operated on.
    pub kind: Field<OpenEnum<DesktopOperationType>>,
    /// How serious it is.
    pub level: Field<OpenEnum<DesktopOperationLevel>>,
    /// The event's name, such as `FILE_CREATE`.
    pub event: Field<Arc<str>>,
    /// What the event was about, free text.
    pub data: Field<Arc<str>>,
    /// When it happened.
    pub time: Field<Timestamp>,
    /// Seconds from the start of the video.
    pub offset: Field<i32>,
}
