//! Files that settings name: keys of callers, certificates, trusted documents.

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Why a file that a setting names cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{setting} {} cannot be used: {problem}", .path.display())]
pub struct FileError {
    setting: &'static str,
    path: PathBuf,
    problem: String,
}

impl FileError {
    /// The problem is a clause about the file that quotes no secret.
    pub(crate) fn new(setting: &'static str, path: impl Into<PathBuf>, problem: String) -> Self {
        Self { setting, path: path.into(), problem }
    }
}

/// Reads a file and parses it. The parser's error is a clause about the file that quotes no secret.
pub(crate) fn read_file<T>(
    setting: &'static str,
    path: &Path,
    read: impl FnOnce(&Path) -> io::Result<Vec<u8>>,
    parse: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<T, FileError> {
    let content = read(path).map(Zeroizing::new);
    let content = content.map_err(|error| format!("it cannot be read: {error}"));
    let parsed = content.and_then(|content| parse(&content));
    parsed.map_err(|problem| FileError::new(setting, path, problem))
}
