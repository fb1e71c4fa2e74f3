//! The environment of the process: its variables and its files. Nothing else reads them; all other code,
//! tests included, is handed a value.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use super::file_states::FileStates;

/// The most bytes that are read of a file.
pub(crate) const LARGEST_FILE: u64 = 1024 * 1024;

/// A way to read a file.
type ReadFile = dyn Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync;

/// Variables and files. Clones share them.
#[derive(Clone)]
pub struct Environment {
    variables: Arc<BTreeMap<String, String>>,
    read_file: Arc<ReadFile>,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        Self::new(std::env::vars_os(), read_bounded)
    }

    /// Variables, and a way to read files.
    pub fn new(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        read_file: impl Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        // An empty variable counts as not set: compose files and unit files cannot unset one.
        let variables = variables.into_iter().filter(|(_, value)| !value.is_empty());
        let text = |text: OsString| text.to_string_lossy().into_owned();
        let variables = variables.map(|(name, value)| (text(name), text(value))).collect();
        Self { variables: Arc::new(variables), read_file: Arc::new(read_file) }
    }

    /// The value of a variable that is set.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Names and values. U+FFFD stands for what is not UTF-8.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Reads a file of text, after noting its state; the error is a clause.
    pub(crate) fn read_file(&self, path: &Path, files: &mut FileStates) -> Result<String, String> {
        files.note(path);
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
