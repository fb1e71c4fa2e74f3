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

/// What an operation on a desktop was on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(crate) enum DesktopOperationType {
    /// An application.
    App,
    /// A file.
    File,
    /// The registry.
    Reg,
    /// The desktop protocol: clipboard, devices, printing.
    Hdp,
    /// A type this gateway does not know; `rawType` has the upstream's text.
    Unknown,
}

/// How serious an operation on a desktop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(crate) enum DesktopOperationLevel {
    /// Nothing unusual.
    Info,
    /// Worth a look.
    Alarm,
    /// Something failed.
    Error,
    /// A level this gateway does not know; `rawLevel` has the upstream's text.
    Unknown,
}

/// Makes an enumeration of the schema and its counterpart of the domain out of each other.
macro_rules! same_as_in_domain {
    ($name:ident: $($variant:ident),+) => {
        impl From<domain::$name> for $name {
            fn from(known: domain::$name) -> Self {
                match known {
                    $(domain::$name::$variant => Self::$variant,)+
                }
            }
        }

        impl From<$name> for domain::$name {
            fn from(shown: $name) -> Self {
                match shown {
                    $($name::$variant => Self::$variant,)+
                }
            }
        }
    };
}

same_as_in_domain!(ScreenRecordType: Full, Interval, Operation, Session, Unknown);
same_as_in_domain!(
    ScreenRecordStatus: Recording, RecCompleted, RecFailed, Uploading, UploadCompleted, UploadFailed,
    Unknown
);
same_as_in_domain!(DesktopOperationType: App, File, Reg, Hdp, Unknown);
same_as_in_domain!(DesktopOperationLevel: Info, Alarm, Error, Unknown);
