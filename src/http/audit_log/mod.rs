//! The audit log: who saw which recording, one JSON line for each event of an answer.

mod writer;

use std::net::IpAddr;
use std::sync::Arc;

use jiff::tz::Offset;
use serde::Serialize;
use serde_json::Value;

use super::auth::Caller;
use crate::clock::Clock;
use crate::config::AuditConfig;
use crate::domain::Timestamp;
use crate::records::{AuditEvent, AuditEventKind, ReadSummary};

use writer::Writer;
pub use writer::{AuditMetrics, AuditSetupError, AuditSink, check_audit_log};
pub(crate) use writer::{AuditUnavailable, Lines};

/// The audit log of the process. Clones write to the same sink.
#[derive(Clone)]
pub struct AuditLog {
    writer: Writer,
    clock: Clock,
}

/// Who sent a request. The same for all its answers.
#[derive(Clone)]
pub(crate) struct AuditSource {
    caller: Option<Arc<str>>,
    subject: Option<Arc<str>>,
    request_id: Arc<str>,
    /// The address that connected, which may be a proxy's.
    client: Option<IpAddr>,
}

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
    record: Option<&'e str>,
    username: Option<&'e str>,
    request_id: &'e str,
    operation_name: Option<&'e str>,
    client: Option<IpAddr>,
    #[serde(flatten)]
    listing: Option<ListingMembers<'e>>,
}

/// The members that only lists have.
#[derive(Serialize)]
struct ListingMembers<'e> {
    filter: &'e Value,
    rows: usize,
}

impl AuditLog {
    /// Opens the sink, and starts the thread that writes.
    ///
    /// # Errors
    /// [`AuditSetupError`] for a file that cannot be opened.
    pub fn start(
        config: &AuditConfig,
        metrics: AuditMetrics,
        clock: Clock,
    ) -> Result<Self, AuditSetupError> {
        Ok(Self { writer: Writer::start(AuditSink::open(config)?, metrics)?, clock })
    }

    /// Whether events are written anywhere.
    pub fn is_on(&self) -> bool {
        self.writer.is_on()
    }

    /// Writes to another sink from now on.
    pub fn change(&self, sink: AuditSink) {
        self.writer.change(sink);
    }

    /// Waits until every line is written, for five seconds at most.
    pub async fn end(&self) {
        self.writer.flush().await;
    }

    /// The lines for the answers to one request.
    pub(crate) fn lines<'e>(
        &self,
        source: &AuditSource,
        answers: impl IntoIterator<Item = &'e AnswerEvents>,
    ) -> Lines {
        let mut lines = Lines::default();
        let mut time = None;
        for AnswerEvents { operation_name, events } in answers {
            for event in AuditEvent::distinct(events) {
                let time = time.get_or_insert_with(|| self.time());
                lines.push(&Line::of(event, source, operation_name.as_deref(), time));
            }
        }
        lines
    }

    /// Writes lines.
    ///
    /// # Errors
    /// [`AuditUnavailable`] if `audit.required` is set and a line cannot be written: the answers must not be
    /// given.
    pub(crate) async fn write(&self, lines: Lines) -> Result<(), AuditUnavailable> {
        if lines.is_empty() { Ok(()) } else { self.writer.write(lines).await }
    }

    fn time(&self) -> String {
        let now = Timestamp::from_utc(Offset::UTC.to_datetime(self.clock.timestamp()));
        now.unwrap_or_default().to_string()
    }
}

impl AuditSource {
    pub(crate) fn new(caller: &Caller, request_id: &Arc<str>, client: Option<IpAddr>) -> Self {
        Self {
            caller: caller.name.clone(),
            subject: caller.subject(),
            request_id: Arc::clone(request_id),
            client: client.map(|address| address.to_canonical()),
        }
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
        source: &'e AuditSource,
        operation_name: Option<&'e str>,
        time: &'e str,
    ) -> Self {
        let AuditEvent { kind, project, record, username, listing } = event;
        let AuditSource { caller, subject, request_id, client } = source;
        Self {
            time,
            event: kind.as_str(),
            caller: caller.as_deref(),
            subject: subject.as_deref(),
            project: project.as_str(),
            record: record.as_deref(),
            username: username.as_deref(),
            request_id,
            operation_name,
            client: *client,
            listing: listing
                .as_ref()
                .map(|listing| ListingMembers { filter: &listing.filter, rows: listing.rows }),
        }
    }
}
