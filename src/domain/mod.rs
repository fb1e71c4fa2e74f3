//! What the gateway talks about: records, their ids, instants, callers and what can go wrong.
//!
//! Knows nothing of HTTP and JSON, and does no I/O. Types that the schema shows as they are derive what it
//! needs, and the table of a recording's fields holds the names that the other areas give them.

mod cache_tag;
mod record_id;
mod token;
mod caller;
mod timestamp;
mod status;
mod screen_record;
mod desktop_operation;
mod download_link;
mod list;
mod grant;
mod failure;
mod diagnostic;

pub use cache_tag::CacheTag;
pub use caller::{CallerIdentity, LimitKey};
pub use desktop_operation::DesktopOperation;
pub use diagnostic::Diagnostic;
pub use download_link::DownloadLink;
pub use failure::{ErrorCode, Failure, Refusal, Revoked, TimeLimit, Unreachable, UpstreamAnswer};
pub use grant::{FoldedIds, Grant, GrantKey, Permission, Rights};
pub use list::{Direction, OperationQuery, Page, RecordQuery, RecordSelection, RowFilter};
pub use record_id::{ProjectId, RecordId};
pub(crate) use screen_record::record_fields;
pub use screen_record::{Field, RecordFields, RecordText, RecordTime, ScreenRecord, Unreadable};
pub use status::{
    DesktopOperationLevel, DesktopOperationType, OpenEnum, ScreenRecordStatus, ScreenRecordType,
};
pub use timestamp::Timestamp;
pub use token::{Secret, Token};
