//! Writes lines to the sink of the audit log, and knows whether they were written.
//!
//! A thread writes the lines in the order in which answers are ready; lines that wait are written together.
//! They are handed to the operating system, not forced onto the disk.

use std::io;
use std::time::Duration;

use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::sink::AuditSink;
use crate::clock::Clock;
use crate::config::{AuditConfig, Live};
use crate::counters::LabelledCounter;
use crate::http::refusal::Refusal;
use crate::http::setting_file::FileError;

/// Answers whose lines may wait for the thread.
const MAX_WAITING: usize = 1024;
/// Answers whose lines are written together.
const MOST_AT_ONCE: usize = 64;
/// How long an answer waits for its lines to be written: a pipe that is not read holds up the thread.
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);

/// The audit log of the process. Clones hand their lines to the same thread.
#[derive(Clone)]
pub struct AuditLog {
    sink: Live<AuditSink>,
    batches: mpsc::Sender<Batch>,
    metrics: AuditMetrics,
    pub(super) clock: Clock,
}

/// Lines, each with its line feed.
#[derive(Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    count: u64,
}

/// The lines of one answer.
struct Batch {
    lines: Lines,
    is_written: oneshot::Sender<bool>,
}

/// Counts events by whether they were written.
#[derive(Clone)]
pub struct AuditMetrics(LabelledCounter);

impl Default for AuditMetrics {
    fn default() -> Self {
        Self(LabelledCounter::new("result", &["written", "failed"]))
    }
}

impl AuditMetrics {
    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "gateway_audit_events",
            "Events of the audit log, by whether they were written",
            self.0.family(),
        );
    }

    fn count(&self, events: u64, is_written: bool) {
        self.0.counter(if is_written { "written" } else { "failed" }).inc_by(events);
    }
}

impl Lines {
    /// Adds a line.
    pub(super) fn push(&mut self, line: &impl Serialize) {
        // Infallible: all members can be written as JSON, and a vector takes every byte.
        let _ = serde_json::to_writer(&mut self.bytes, line);
        self.bytes.push(b'\n');
        self.count += 1;
    }
}

impl AuditLog {
    /// Opens the sink, and starts the thread that writes. It ends, with all lines written, once the last clone
    /// is dropped.
    ///
    /// # Errors
    /// [`FileError`] for a file that cannot be opened.
    pub fn start(
        config: &AuditConfig,
        metrics: AuditMetrics,
        clock: Clock,
    ) -> Result<Self, FileError> {
        let sink = Live::new(AuditSink::open(config)?);
        let (batches, mut waiting) = mpsc::channel(MAX_WAITING);
        let log = Self { sink: sink.clone(), batches, metrics: metrics.clone(), clock };
        let thread = std::thread::Builder::new().name("audit".to_owned());
        let started = thread.spawn(move || write_all(&mut waiting, &sink, &metrics));
        started.map_err(|error| {
            FileError::new("audit.log", "", format!("its thread cannot be started: {error}"))
        })?;
        Ok(log)
    }

    /// Whether events are written anywhere.
    pub fn is_on(&self) -> bool {
        self.sink.load().is_on()
    }

    /// Writes to another sink from now on.
    pub fn change(&self, sink: AuditSink) {
        self.sink.set(sink);
    }

    /// Writes the lines of an answer. Waits for room among the lines that are not written yet, and under
    /// `audit.required` until these are.
    ///
    /// # Errors
    /// If `audit.required` is set and they are not written within five seconds: the answer must not be given.
    pub(crate) async fn write(&self, lines: Lines) -> Result<(), Refusal> {
        if lines.count == 0 {
            return Ok(());
        }
        let required = self.sink.load().required;
        let deadline = Instant::now() + WRITTEN_WITHIN;
        let count = lines.count;
        let is_written = match self.hand_over(lines, deadline).await {
            Some(_) if !required => return Ok(()),
            Some(outcome) => matches!(timeout_at(deadline, outcome).await, Ok(Ok(true))),
            None => {
                self.metrics.count(count, false);
                false
            }
        };
        if is_written || !required { Ok(()) } else { Err(Refusal::audit_unavailable()) }
    }

    /// Waits until every line is written, for five seconds at most.
    pub async fn end(&self) {
        let deadline = Instant::now() + WRITTEN_WITHIN;
        if let Some(is_written) = self.hand_over(Lines::default(), deadline).await {
            // The process ends, whether the lines were written or not.
            let _ = timeout_at(deadline, is_written).await;
        }
    }

    /// Hands lines to the thread; `None` if there is no room for them until the deadline.
    async fn hand_over(&self, lines: Lines, deadline: Instant) -> Option<oneshot::Receiver<bool>> {
        let (is_written, outcome) = oneshot::channel();
        let sending = self.batches.send(Batch { lines, is_written });
        timeout_at(deadline, sending).await.ok()?.ok()?;
        Some(outcome)
    }
}

/// Writes the lines of all answers, until no answer can come.
fn write_all(waiting: &mut mpsc::Receiver<Batch>, sink: &Live<AuditSink>, metrics: &AuditMetrics) {
    let (mut batches, mut is_failing) = (Vec::new(), false);
    while waiting.blocking_recv_many(&mut batches, MOST_AT_ONCE) > 0 {
        let lines: Vec<&[u8]> = batches.iter().map(|batch| &*batch.lines.bytes).collect();
        let result = sink.get().write(&lines.concat());
        metrics.count(batches.iter().map(|batch| batch.lines.count).sum(), result.is_ok());
        for batch in batches.drain(..) {
            // An answer that does not wait has dropped its end.
            let _ = batch.is_written.send(result.is_ok());
        }
        log_change(&result, is_failing);
        is_failing = result.is_err();
    }
}

/// Logs when writing begins to fail, and when it works again.
fn log_change(result: &io::Result<()>, was_failing: bool) {
    match result {
        Err(error) if !was_failing => {
            tracing::error!(%error, "audit events cannot be written to audit.log");
        }
        Ok(()) if was_failing => tracing::info!("audit events can be written again"),
        Ok(()) | Err(_) => {}
    }
}
