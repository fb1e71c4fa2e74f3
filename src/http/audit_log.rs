//! The audit log: who saw which recording, one JSON line for each event of an answer.
//!
//! A thread writes the lines in the order in which answers are ready; lines that wait are written together.
//! They are handed to the operating system, not forced onto the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::tz::Offset;
use prometheus_client::registry::Registry;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::caller_request::RequestOrigin;
use super::refusal::Refusal;
use super::setting_file::FileError;
use crate::clock::Clock;
use crate::config::{AuditConfig, AuditSink as SinkSetting, Live};
use crate::counters::LabelledCounter;
use crate::domain::Timestamp;
use crate::records::{AuditEvent, AuditEventKind, ReadSummary};

/// Answers whose lines may wait for the thread.
const MAX_WAITING: usize = 1024;
/// How long the thread rests after it has written, unless answers wait for it: waking it for each line would take
/// longer than writing.
const REST: Duration = Duration::from_millis(2);
/// How long an answer waits for its lines to be written: a pipe that is not read holds up the thread.
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);
/// The metric's values for events that were written, and for those that could not be.
const WRITTEN: &str = "written";
const FAILED: &str = "failed";

/// What the answer of one operation shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct AnswerEvents {
    pub(crate) operation_name: Option<Arc<str>>,
    pub(crate) events: Vec<AuditEvent>,
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
    client: IpAddr,
    /// Only lists have this and the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<&'e Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
}

/// The lines for the answers to one request, each with its line feed.
#[derive(Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    count: u64,
}

impl Lines {
    fn push(&mut self, line: &Line<'_>) {
        // Infallible: all members can be written as JSON, and a vector takes every byte.
        let _ = serde_json::to_writer(&mut self.bytes, line);
        self.bytes.push(b'\n');
        self.count += 1;
    }
}

/// Lines for the thread, and where it says whether they were written.
struct Batch {
    lines: Lines,
    is_written: oneshot::Sender<bool>,
}

/// The audit log of the process. Clones hand their lines to the same thread.
#[derive(Clone)]
pub struct AuditLog {
    sink: Live<AuditSink>,
    batches: mpsc::Sender<Batch>,
    /// Counts events by whether they were written.
    events: LabelledCounter,
    clock: Clock,
}

impl AuditLog {
    /// Opens the sink, and starts the thread that writes. It ends, with all lines written, once the last clone
    /// is dropped.
    ///
    /// # Errors
    /// [`FileError`] for a file that cannot be opened.
    pub fn start(config: &AuditConfig, clock: Clock) -> Result<Self, FileError> {
        let sink = Live::new(AuditSink::open(config)?);
        let (batches, mut waiting) = mpsc::channel(MAX_WAITING);
        let events = LabelledCounter::new("result", &[WRITTEN, FAILED]);
        let log = Self { sink: sink.clone(), batches, events: events.clone(), clock };
        let thread = std::thread::Builder::new().name("audit".to_owned());
        let started = thread.spawn(move || write_all(&mut waiting, &sink, &events));
        started.map_err(|error| {
            FileError::new("audit.log", "", format!("its thread cannot be started: {error}"))
        })?;
        Ok(log)
    }

    /// Adds the metric to the metrics page.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "gateway_audit_events",
            "Events of the audit log, by whether they were written",
            self.events.family(),
        );
    }

    /// Whether events are written anywhere.
    pub fn is_on(&self) -> bool {
        self.sink.load().is_on()
    }

    /// Writes to another sink from now on.
    pub fn change(&self, sink: AuditSink) {
        self.sink.set(sink);
    }

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
        let RequestOrigin { caller, id, peer, .. } = origin;
        let mut now = None;
        for AnswerEvents { operation_name, events } in answers {
            for event in AuditEvent::distinct(events) {
                let AuditEvent { kind, project, region, record, username, listing } = event;
                lines.push(&Line {
                    time: now.get_or_insert_with(|| self.now()),
                    event: kind.as_str(),
                    caller: caller.name.as_deref(),
                    subject: caller.subject(),
                    project: project.as_str(),
                    region: region.as_deref(),
                    record: record.as_deref(),
                    username: username.as_deref(),
                    request_id: id,
                    operation_name: operation_name.as_deref(),
                    client: peer.to_canonical(),
                    filter: listing.as_ref().map(|listing| &listing.filter),
                    rows: listing.as_ref().map(|listing| listing.rows),
                });
            }
        }
        lines
    }

    fn now(&self) -> String {
        let now = Timestamp::from_utc(Offset::UTC.to_datetime(self.clock.timestamp()));
        now.unwrap_or_default().text()
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
                self.events.inc_by(FAILED, count);
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

/// Writes the lines of all answers, until no answer can come. Logs when writing begins to fail, and when it works
/// again.
#[expect(clippy::disallowed_methods, reason = "this thread has nothing else to do")]
fn write_all(
    waiting: &mut mpsc::Receiver<Batch>,
    sink: &Live<AuditSink>,
    events: &LabelledCounter,
) {
    let (mut batches, mut was_failing) = (Vec::new(), false);
    while waiting.blocking_recv_many(&mut batches, MAX_WAITING) > 0 {
        let lines: Vec<&[u8]> = batches.iter().map(|batch| &*batch.lines.bytes).collect();
        let sink = sink.get();
        let result = sink.write(&lines.concat());
        let count = batches.iter().map(|batch| batch.lines.count).sum();
        events.inc_by(if result.is_ok() { WRITTEN } else { FAILED }, count);
        for batch in batches.drain(..) {
            // An answer that does not wait has dropped its end.
            let _ = batch.is_written.send(result.is_ok());
        }
        match &result {
            Err(error) if !was_failing => {
                tracing::error!(%error, "audit events cannot be written to audit.log");
            }
            Ok(()) if was_failing => tracing::info!("audit events can be written again"),
            Ok(()) | Err(_) => {}
        }
        was_failing = result.is_err();
        if !sink.required {
            std::thread::sleep(REST);
        }
    }
}

/// Where the audit log is written: standard output or a file, which is open.
pub struct AuditSink {
    /// `None` if the log is off.
    file: Option<File>,
    required: bool,
    /// Whether the file may end within a line: after a crash, or after a write that failed.
    is_torn: AtomicBool,
}

impl AuditSink {
    /// Opens the sink. A file is created if there is none; others than its owner and group cannot read it.
    ///
    /// # Errors
    /// [`FileError`] for a file that cannot be opened.
    pub fn open(config: &AuditConfig) -> Result<Self, FileError> {
        let (file, is_torn) = match &config.sink {
            SinkSetting::Off => (None, false),
            SinkSetting::Stdout => {
                let stdout = open_stdout().map_err(|error| failed(Path::new("stdout"), &error))?;
                (Some(stdout), false)
            }
            SinkSetting::File(path) => {
                let file = open_file(path, true).map_err(|error| failed(path, &error))?;
                (Some(file), ends_within_line(path))
            }
        };
        Ok(Self { file, required: config.required, is_torn: AtomicBool::new(is_torn) })
    }

    /// Whether events are written anywhere.
    pub fn is_on(&self) -> bool {
        self.file.is_some()
    }

    /// Writes lines, at the beginning of a line.
    fn write(&self, lines: &[u8]) -> io::Result<()> {
        let Some(mut file) = self.file.as_ref() else { return Ok(()) };
        let start: &[u8] = if self.is_torn.load(Ordering::Relaxed) { b"\n" } else { b"" };
        let written = file.write_all(&[start, lines].concat());
        self.is_torn.store(written.is_err(), Ordering::Relaxed);
        written
    }
}

/// Checks that the sink can be opened, without creating a file: it might belong to another user than the
/// one whom the gateway runs as.
///
/// # Errors
/// [`FileError`] for a file that cannot be opened.
pub fn check_audit_log(config: &AuditConfig) -> Result<(), FileError> {
    let SinkSetting::File(path) = &config.sink else { return Ok(()) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match open_file(path, false) {
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && folder.is_none_or(Path::is_dir) =>
        {
            Ok(())
        }
        opened => opened.map(drop).map_err(|error| failed(path, &error)),
    }
}

fn failed(path: &Path, error: &io::Error) -> FileError {
    FileError::new("audit.log", path, format!("it cannot be opened for writing: {error}"))
}

/// Standard output without a buffer: one would keep what cannot be written, and write it later.
fn open_stdout() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

fn open_file(path: &Path, create: bool) -> io::Result<File> {
    // Opening a named pipe would wait for a reader.
    if std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
        return Err(io::Error::other("it is a named pipe"));
    }
    OpenOptions::new().append(true).create(create).mode(0o640).open(path)
}

/// Whether a file ends within a line, as after a crash.
fn ends_within_line(path: &Path) -> bool {
    let last_byte = || {
        let mut file = File::open(path).ok().filter(|_| path.is_file())?;
        file.seek(SeekFrom::End(-1)).ok()?;
        let mut last = [0];
        file.read_exact(&mut last).ok()?;
        Some(last)
    };
    last_byte().is_some_and(|last| last != *b"\n")
}
