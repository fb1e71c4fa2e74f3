//! Notes what a request reads, where from, and what its answer shows: for headers and logs, for the response
//! cache, for an explanation, and for the audit log.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use serde_json::Value;
use smallvec::SmallVec;
use tracing::Span;

use super::cached::CachedRecord;
use super::fetch::{Dependency, Readable};
use super::key::{Key, RecordKey};
use super::read::{
    AuditEvent, AuditEventKind, AuditedListing, CacheOutcome, Content, Explained, Read, ReadSummary,
};
use super::reader::Reader;
use super::ttl_cache::Entry;
use crate::domain::{Failure, ProjectId, RecordId, RecordText, ScreenRecord};

impl Reader {
    /// What was read since the last call.
    pub fn take_summary(&self) -> ReadSummary {
        std::mem::take(&mut self.noted.lock())
    }

    /// Notes a read in its span and for the answer. `entry` is what was read, if it did not fail.
    pub(super) fn note<V: Readable>(
        &self,
        span: &Span,
        key: &Key<V::Id>,
        read: Read,
        entry: Option<&Arc<Entry<V>>>,
    ) {
        read.outcome.record(span);
        match (entry, &mut *self.dependencies.lock()) {
            (Some(entry), Some(dependencies)) if read.outcome == CacheOutcome::Hit => {
                dependencies.push(Dependency::new(key, entry));
            }
            (_, dependencies) => *dependencies = None,
        }
        self.note_for_field(V::CONTENT, &read, entry.is_some());
        self.note_read(read);
    }

    /// Notes that a recording is denied to the caller. The summary and the explanation are the same for a
    /// missing recording and an invisible one.
    pub(super) fn note_denial(
        &self,
        span: &Span,
        key: &RecordKey,
        outcome: CacheOutcome,
    ) -> Failure {
        self.note::<CachedRecord>(span, key, Read::failed(outcome, None), None);
        self.noted.lock().has_denials = true;
        self.audit_denied(&key.project, Some(&key.id));
        self.records.metrics.denials.inc("record");
        Failure::NotVisible
    }

    pub(crate) fn note_read(&self, read: Read) {
        self.records.metrics.count(read.outcome);
        self.noted.lock().reads.push(read);
    }

    /// Notes every read from now on, with the path of its field.
    pub fn explain(&self) {
        self.explanation.get_or_init(Mutex::default);
    }

    /// Whether reads are noted.
    pub fn is_explained(&self) -> bool {
        self.explanation.get().is_some()
    }

    /// The reads that were noted.
    pub fn explained(&self) -> Vec<Explained> {
        self.explanation.get().map(|noted| noted.lock().clone()).unwrap_or_default()
    }

    /// Notes a read, which may have failed. Of the pages of a scan only the first is noted: how many it reads
    /// says how many rows it has passed over.
    pub(crate) fn note_for_field(&self, content: Content, read: &Read, is_there: bool) {
        let Some(explanation) = self.explanation.get() else { return };
        let (new, mut noted) = (Explained::new(content, read, is_there), explanation.lock());
        let is_scan = content == Content::Page && self.context.grant.is_restricted();
        if !is_scan || !noted.iter().any(|other| other.is_like(&new)) {
            noted.push(new);
        }
    }

    /// What was read, for a response that may be cached; `None` where nothing was read, or something that
    /// was not fresh in the cache. So data that is read once leaves no response behind.
    pub(crate) fn take_dependencies(&self) -> Option<Vec<Dependency>> {
        let read = self.dependencies.lock().replace(Vec::new());
        read.filter(|dependencies| !dependencies.is_empty())
    }

    /// The reads that the dependencies stand for, as cache hits; `None` unless each is still in the cache,
    /// fresh enough for this request, and of a project that its caller may see.
    pub(crate) fn revalidate(&self, dependencies: &[Dependency]) -> Option<SmallVec<[Read; 1]>> {
        let reread = |dependency: &Dependency| {
            self.admit_project(&dependency.project).ok()?;
            (dependency.reread)(&self.records, &self.context)
        };
        dependencies.iter().map(reread).collect()
    }

    /// Counts and traces what [`Self::revalidate`] has returned as reads of this request.
    pub(crate) fn note_hits(&self, dependencies: &[Dependency], hits: SmallVec<[Read; 1]>) {
        for (dependency, hit) in dependencies.iter().zip(hits) {
            hit.outcome.record(&dependency.content.span());
            self.note_read(hit);
        }
    }

    /// Notes that the response of this request must not be reused.
    pub(crate) fn mark_uncacheable(&self) {
        *self.dependencies.lock() = None;
    }

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
        if self.records.is_audited.load(Ordering::Relaxed) {
            let (region, project) = (self.records.region_of(project), project.clone());
            let mut event =
                AuditEvent { kind, project, region, record: None, username: None, listing: None };
            complete(&mut event);
            self.noted.lock().events.push(event);
        }
    }
}
