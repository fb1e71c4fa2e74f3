//! The sink of the audit log: standard output or a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::{AuditConfig, AuditSink as SinkSetting};
use crate::http::setting_file::FileError;

/// An open sink, ready to be used.
pub struct AuditSink {
    /// `None` if the log is off.
    file: Option<File>,
    pub(super) required: bool,
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
                let file = open_file(path).map_err(|error| failed(path, &error))?;
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
    pub(super) fn write(&self, lines: &[u8]) -> io::Result<()> {
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
    match append_to(path).and_then(|options| options.open(path)) {
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
    #[cfg(unix)]
    let stdout = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?;
    #[cfg(windows)]
    let stdout = std::os::windows::io::AsHandle::as_handle(&io::stdout()).try_clone_to_owned()?;
    Ok(stdout.into())
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
