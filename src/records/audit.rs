//! Collects what an answer shows while its operation is executed, from the cache or not.

use serde_json::Value;

use super::audit_event::{AuditEvent, AuditEventKind, AuditedListing};
use super::reader::Reader;
use crate::domain::{ProjectId, RecordId, RecordText, ScreenRecord};

impl Reader {
    /// Notes that the answer shows something of a recording, which was found by `id`.
    pub(crate) fn audit_recording(
        &self,
        kind: AuditEventKind,
        project: &ProjectId,
        id: &str,
        record: &ScreenRecord,
    ) {
        self.audit(kind, project, |event| {
            event.record = Some(record.id().unwrap_or(id).to_owned());
            let username = record.text(RecordText::Username).and_then(Result::ok);
            event.username = username.map(str::to_owned);
        });
    }

    /// Notes that the answer shows or counts rows of a list. `filter` is evaluated only if events are
    /// collected.
    pub(crate) fn audit_list(
        &self,
        kind: AuditEventKind,
        project: &ProjectId,
        rows: usize,
        filter: impl FnOnce() -> Value,
    ) {
        self.audit(kind, project, |event| {
            event.listing = Some(AuditedListing { filter: filter(), rows });
        });
    }

    /// Notes that the caller may not see a recording, or for `None` the recordings of a project.
    pub(crate) fn audit_denied(&self, project: &ProjectId, id: Option<&RecordId>) {
        self.audit(AuditEventKind::Denied, project, |event| {
            event.record = id.map(|id| id.as_str().to_owned());
        });
    }

    /// Notes an event, completed by `complete`, if events are collected.
    fn audit(
        &self,
        kind: AuditEventKind,
        project: &ProjectId,
        complete: impl FnOnce(&mut AuditEvent),
    ) {
        if self.records.is_audited() {
            let (region, project) = (self.records.region_of(project), project.clone());
            let mut event =
                AuditEvent { kind, project, region, record: None, username: None, listing: None };
            complete(&mut event);
            self.noted.lock().events.push(event);
        }
    }
}
