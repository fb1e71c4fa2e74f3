//! What lies around the process: its environment and its files. The only place that reads them;
//! everything else, tests included, is handed a value.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::files::Files;

/// The most that is read of a file, in bytes.
pub(crate) const LARGEST_FILE: u64 = 1024 * 1024;

/// A way to read a file.
type ReadFile = dyn Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync;

/// Environment and files, handed in.
pub struct Surroundings {
    environment: Arc<BTreeMap<OsString, OsString>>,
    read_file: Arc<ReadFile>,
    /// The files that were asked for.
    asked: Mutex<Files>,
}

/// A value of the environment that is not Unicode.
pub(super) struct NotUnicode;

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self::new(std::env::vars_os(), read_bounded)
    }

    /// An environment and a way to read files.
    pub fn new(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        read_file: impl Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        // What is set to nothing counts as not set: compose files and unit files cannot unset.
        let environment: BTreeMap<_, _> =
            environment.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let (environment, read_file) = (Arc::new(environment), Arc::new(read_file));
        Self { environment, read_file, asked: Mutex::default() }
    }

    /// The same, of which no file has been asked for.
    pub(super) fn afresh(&self) -> Self {
        let (environment, read_file) = (Arc::clone(&self.environment), Arc::clone(&self.read_file));
        Self { environment, read_file, asked: Mutex::default() }
    }

    /// The files that were asked for, each as it was before that.
    pub(super) fn files(self) -> Files {
        self.asked.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    pub(super) fn text(&self, name: &str) -> Option<Result<&str, NotUnicode>> {
        self.variable(name).map(|value| value.to_str().ok_or(NotUnicode))
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.environment.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// Reads a file of text; the error is a clause.
    pub(super) fn file(&self, path: &Path) -> Result<String, String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).note(path);
        let bytes = (self.read_file)(path).map_err(|error| format!("cannot be read: {error}"))?;
        let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
        Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
    }
}

/// Reads a file of up to 1 MiB.
pub(crate) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST_FILE) {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(bytes)
}
