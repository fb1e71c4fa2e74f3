//! What an answer shows of recordings, for the audit log.
//!
//! Knows neither who asks nor how events are written.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use crate::domain::{ProjectId, RecordId};

/// Something that an answer shows, or refuses to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// What it is.
    pub kind: AuditEventKind,
    /// The project.
    pub project: ProjectId,
    /// The label of its region, if the project is served.
    pub region: Option<Arc<str>>,
    /// Id of the recording; `None` for lists.
    pub record: Option<String>,
    /// The user of the recording, if the recording is known and has one.
    pub username: Option<String>,
    /// What a client has listed.
    pub listing: Option<AuditedListing>,
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditEventKind {
    /// Fields of a recording were answered.
    Read,
    /// What happened on the desktop during a recording was answered.
    Operations,
    /// A link to the video was given out.
    Download,
    /// Recordings were listed.
    Listed,
    /// Statistics of recordings were answered.
    Counted,
    /// The caller may not see what it asked for.
    Denied,
}

/// A list of recordings, as a client asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedListing {
    /// The argument `filter`.
    pub filter: Value,
    /// Rows that were answered, or counted.
    pub rows: usize,
}

impl AuditEventKind {
    /// As it stands in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "recording.read",
            Self::Operations => "recording.operations",
            Self::Download => "recording.download",
            Self::Listed => "recordings.listed",
            Self::Counted => "recordings.counted",
            Self::Denied => "access.denied",
        }
    }
}

impl AuditEvent {
    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        let texts = [&self.record, &self.username].into_iter().flatten().map(String::len);
        let filter = self.listing.as_ref().map_or(0, |listing| listing.filter.to_string().len());
        size_of::<Self>() + texts.sum::<usize>() + 4 * filter
    }

    /// The events of one answer: one of a kind for each recording, and one for each list and count.
    pub fn distinct(events: &[Self]) -> impl Iterator<Item = &Self> {
        let mut met = HashSet::new();
        events.iter().filter(move |event| {
            let id = event.record.as_deref().map(RecordId::folded);
            event.listing.is_some() || met.insert((event.kind, &event.project, id))
        })
    }
}
