//! The audit log: who saw which recording, one JSON line for each event of an answer.

mod sink;
mod writer;

use std::net::IpAddr;
use std::sync::Arc;

use jiff::tz::Offset;
use serde::Serialize;
use serde_json::Value;

use super::request_origin::RequestOrigin;
use crate::domain::Timestamp;
use crate::records::{AuditEvent, AuditEventKind, ReadSummary};

pub use sink::{AuditSink, check_audit_log};
pub(crate) use writer::Lines;
pub use writer::{AuditLog, AuditMetrics};

/// What the answer of one operation shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct AnswerEvents {
    pub(crate) operation_name: Option<Arc<str>>,
    pub(crate) events: Vec<AuditEvent>,
}

/// One line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'e> {
    time: &'e str,
    event: &'static str,
    caller: Option<&'e str>,
    subject: Option<&'e str>,
    project: &'e str,
    region: Option<&'e str>,
    record: Option<&'e str>,
    username: Option<&'e str>,
    request_id: &'e str,
    operation_name: Option<&'e str>,
    client: Option<IpAddr>,
    /// Only lists have this and the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<&'e Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
}

impl AuditLog {
    /// The lines for the answers to one request; none while the log is off.
    pub(crate) fn lines<'e>(
        &self,
        origin: &RequestOrigin,
        answers: impl IntoIterator<Item = &'e AnswerEvents>,
    ) -> Lines {
        let mut lines = Lines::default();
        if !self.is_on() {
            return lines;
        }
        let mut time = None;
        for AnswerEvents { operation_name, events } in answers {
            for event in AuditEvent::distinct(events) {
                let time = time.get_or_insert_with(|| self.time());
                lines.push(&Line::of(event, origin, operation_name.as_deref(), time));
            }
        }
        lines
    }

    fn time(&self) -> String {
        let now = Timestamp::from_utc(Offset::UTC.to_datetime(self.clock.timestamp()));
        now.unwrap_or_default().to_string()
    }
}

impl AnswerEvents {
    /// Takes the events out of what an operation has read.
    pub(crate) fn take(operation_name: Option<&Arc<str>>, read: &mut ReadSummary) -> Self {
        let events = std::mem::take(&mut read.events);
        Self { operation_name: operation_name.cloned(), events }
    }

    /// What remains if an error replaces the answer: nothing was shown.
    pub(crate) fn of_replaced_answer(mut self) -> Self {
        self.events.retain(|event| event.kind == AuditEventKind::Denied);
        self
    }

    /// About how many bytes the events take.
    pub(crate) fn bytes(&self) -> usize {
        self.events.iter().map(AuditEvent::bytes).sum()
    }
}

impl<'e> Line<'e> {
    fn of(
        event: &'e AuditEvent,
        origin: &'e RequestOrigin,
        operation_name: Option<&'e str>,
        time: &'e str,
    ) -> Self {
        let AuditEvent { kind, project, region, record, username, listing } = event;
        let RequestOrigin { caller, id, peer, .. } = origin;
        Self {
            time,
            event: kind.as_str(),
            caller: caller.name.as_deref(),
            subject: caller.subject(),
            project: project.as_str(),
            region: region.as_deref(),
            record: record.as_deref(),
            username: username.as_deref(),
            request_id: id,
            operation_name,
            client: peer.map(|address| address.to_canonical()),
            filter: listing.as_ref().map(|listing| &listing.filter),
            rows: listing.as_ref().map(|listing| listing.rows),
        }
    }
}
