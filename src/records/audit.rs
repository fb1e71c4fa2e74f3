//! Collects what an answer shows while its operation is executed, from the cache or not.

use serde_json::Value;

use super::audit_event::{AuditEvent, AuditEventKind, AuditedListing};
use super::reader::Reader;
use crate::domain::{ProjectId, RecordId, RecordText, ScreenRecord};

impl Reader {
    /// Whether events are collected.
    pub(crate) fn is_audited(&self) -> bool {
        self.records().is_audited()
    }

    /// Notes that the answer shows something of a recording, which was found by `id`.
    pub(crate) fn audit_recording(
        &self,
        kind: AuditEventKind,
        project: &ProjectId,
        id: &str,
        record: &ScreenRecord,
    ) {
        if !self.is_audited() {
            return;
        }
        let username = record.text(RecordText::Username).and_then(Result::ok).map(str::to_owned);
        let id = record.id().unwrap_or(id).to_owned();
        let event = self.event(kind, project);
        self.note_event(AuditEvent { record: Some(id), username, ..event });
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
        if self.is_audited() {
            let listing = Some(AuditedListing { filter: filter(), rows });
            let event = self.event(kind, project);
            self.note_event(AuditEvent { listing, ..event });
        }
    }

    /// Notes that the caller may not see a recording, or for `None` the recordings of a project.
    pub(crate) fn audit_denied(&self, project: &ProjectId, id: Option<&RecordId>) {
        if self.is_audited() {
            let record = id.map(|id| id.as_str().to_owned());
            let event = self.event(AuditEventKind::Denied, project);
            self.note_event(AuditEvent { record, ..event });
        }
    }

    /// An event without the members that some kinds lack.
    fn event(&self, kind: AuditEventKind, project: &ProjectId) -> AuditEvent {
        let region = self.records().region_of(project);
        let project = project.clone();
        AuditEvent { kind, project, region, record: None, username: None, listing: None }
    }

    fn note_event(&self, event: AuditEvent) {
        self.noted.lock().events.push(event);
    }
}
