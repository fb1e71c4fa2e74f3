//! Writes lines to the sink of the audit log, and knows whether they were written.
//!
//! A thread writes the lines in the order in which answers are ready; lines that wait are written together.
//! They are handed to the operating system, not forced onto the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::clock::Clock;
use crate::config::{AuditConfig, AuditSink as SinkSetting, Live};
use crate::counters::counted;
use crate::http::refusal::Refusal;

/// Answers whose lines may wait for the thread.
const MAX_WAITING: usize = 1024;
/// Bytes from which on no more lines are added to one write.
const ENOUGH_AT_ONCE: usize = 64 * 1024;
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

/// An open sink, ready to be used.
pub struct AuditSink {
    /// `None` if the log is off.
    file: Option<File>,
    required: bool,
    /// Whether the last byte of the file ends no line.
    is_torn: AtomicBool,
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

/// The audit log cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum AuditSetupError {
    /// The sink cannot be opened.
    #[error("audit.log is {}, which cannot be opened for writing", .path.display())]
    Open {
        /// The sink.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The system gives no thread.
    #[error("the thread of the audit log cannot be started")]
    Thread(#[from] io::Error),
}

/// Counts events by whether they were written.
#[derive(Clone)]
pub struct AuditMetrics(Family<ResultLabel, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

impl ResultLabel {
    fn of(is_written: bool) -> Self {
        Self { result: if is_written { "written" } else { "failed" } }
    }
}

impl AuditSink {
    /// Opens the sink. A file is created if there is none; others than its owner and group cannot read it.
    ///
    /// # Errors
    /// [`AuditSetupError`] for a file that cannot be opened.
    pub fn open(config: &AuditConfig) -> Result<Self, AuditSetupError> {
        let (file, is_torn) = match &config.sink {
            SinkSetting::Off => (None, false),
            SinkSetting::Stdout => {
                let stdout = open_stdout().map_err(|source| failed(Path::new("stdout"), source))?;
                (Some(stdout), false)
            }
            SinkSetting::File(path) => {
                let file = open_file(path).map_err(|source| failed(path, source))?;
                (Some(file), ends_within_line(path))
            }
        };
        Ok(Self { file, required: config.required, is_torn: AtomicBool::new(is_torn) })
    }

    /// Whether events are written anywhere.
    pub fn is_on(&self) -> bool {
        self.file.is_some()
    }

    /// Writes lines. After a write that broke off within a line, begins a new one.
    fn write(&self, lines: &[u8]) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if self.is_torn.load(Ordering::Relaxed) {
            self.write_all(file, b"\n")?;
        }
        self.write_all(file, lines)
    }

    fn write_all(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let (written, left) = rest.split_at(count);
            self.is_torn.store(!written.ends_with(b"\n"), Ordering::Relaxed);
            rest = left;
        }
        Ok(())
    }
}

/// Standard output without a buffer: one would keep what cannot be written, and write it later.
#[cfg(unix)]
fn open_stdout() -> io::Result<File> {
    use std::os::fd::AsFd as _;

    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn open_stdout() -> io::Result<File> {
    use std::os::windows::io::AsHandle as _;

    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}

fn open_file(path: &Path) -> io::Result<File> {
    let mut options = append_to(path)?;
    options.create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options.open(path)
}

fn append_to(path: &Path) -> io::Result<OpenOptions> {
    // Opening a named pipe would wait for a reader.
    #[cfg(unix)]
    if std::fs::metadata(path)
        .is_ok_and(|found| std::os::unix::fs::FileTypeExt::is_fifo(&found.file_type()))
    {
        return Err(io::Error::other("it is a named pipe"));
    }
    let mut options = OpenOptions::new();
    options.append(true);
    Ok(options)
}

/// Checks that the sink can be opened, without creating a file: it might belong to another user than the
/// one whom the gateway runs as.
///
/// # Errors
/// [`AuditSetupError`] for a file that cannot be opened.
pub fn check_audit_log(config: &AuditConfig) -> Result<(), AuditSetupError> {
    let SinkSetting::File(path) = &config.sink else { return Ok(()) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match append_to(path).and_then(|options| options.open(path)) {
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && folder.is_none_or(Path::is_dir) =>
        {
            Ok(())
        }
        opened => opened.map(drop).map_err(|source| failed(path, source)),
    }
}

fn failed(path: &Path, source: io::Error) -> AuditSetupError {
    AuditSetupError::Open { path: path.to_owned(), source }
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
    /// [`AuditSetupError`] for a file that cannot be opened.
    pub fn start(
        config: &AuditConfig,
        metrics: AuditMetrics,
        clock: Clock,
    ) -> Result<Self, AuditSetupError> {
        let sink = Live::new(AuditSink::open(config)?);
        let (batches, waiting) = mpsc::channel(MAX_WAITING);
        let thread =
            Thread { sink: sink.clone(), waiting, metrics: metrics.clone(), is_failing: false };
        std::thread::Builder::new().name("audit".to_owned()).spawn(|| thread.run())?;
        Ok(Self { sink, batches, metrics, clock })
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
        let Some(is_written) = self.hand_over(lines, deadline).await else {
            self.metrics.count(count, false);
            return if required { Err(Refusal::audit_unavailable()) } else { Ok(()) };
        };
        if !required {
            return Ok(());
        }
        match timeout_at(deadline, is_written).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false) | Err(_)) | Err(_) => Err(Refusal::audit_unavailable()),
        }
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

/// What the thread owns.
struct Thread {
    sink: Live<AuditSink>,
    waiting: mpsc::Receiver<Batch>,
    metrics: AuditMetrics,
    /// Whether the last write failed.
    is_failing: bool,
}

impl Thread {
    fn run(mut self) {
        while let Some(Batch { lines, is_written }) = self.waiting.blocking_recv() {
            let Lines { mut bytes, mut count } = lines;
            let mut answers = vec![is_written];
            while bytes.len() < ENOUGH_AT_ONCE
                && let Ok(Batch { lines, is_written }) = self.waiting.try_recv()
            {
                bytes.extend(lines.bytes);
                count += lines.count;
                answers.push(is_written);
            }
            let result = self.sink.get().write(&bytes);
            self.metrics.count(count, result.is_ok());
            for answer in answers {
                // An answer that does not wait has dropped its end.
                let _ = answer.send(result.is_ok());
            }
            self.log(result);
        }
    }

    /// Logs when writing begins to fail, and when it works again.
    fn log(&mut self, result: io::Result<()>) {
        match result {
            Err(error) if !self.is_failing => {
                self.is_failing = true;
                tracing::error!(%error, "audit events cannot be written to audit.log");
            }
            Ok(()) if self.is_failing => {
                self.is_failing = false;
                tracing::info!("audit events can be written again");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

impl Default for AuditMetrics {
    fn default() -> Self {
        Self(counted([true, false].map(ResultLabel::of)))
    }
}

impl AuditMetrics {
    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "gateway_audit_events",
            "Events of the audit log, by whether they were written",
            self.0.clone(),
        );
    }

    fn count(&self, events: u64, is_written: bool) {
        self.0.get_or_create(&ResultLabel::of(is_written)).inc_by(events);
    }
}
