//! What settings are read from: the command line, and the environment of the process, which is its variables and
//! files. Nothing else reads them; all other code, tests included, is handed a value.
//!
//! The state of each file that was read is noted, to see when it changes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::settings::Role;

/// The most bytes that are read of a file.
pub(crate) const LARGEST_FILE: u64 = 1024 * 1024;

/// A way to read a file.
type ReadFile = dyn Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync;

/// Variables and files. Clones share them.
#[derive(Clone)]
pub struct Environment {
    /// Those that are set. U+FFFD stands for what is not UTF-8.
    pub(crate) variables: Arc<BTreeMap<String, String>>,
    read_file: Arc<ReadFile>,
}

/// What all sources are read from. Kept, so that they can be read again.
#[derive(Clone)]
pub(crate) struct Inputs {
    pub(crate) role: Role,
    /// The settings file that the command line names.
    pub(crate) file: Option<PathBuf>,
    pub(crate) flags: Values,
    pub(crate) environment: Environment,
}

/// The value of each setting from the first source that has it, by the setting's key.
pub(crate) type Values = BTreeMap<String, SourcedValue>;

/// A value and where it came from. Has no `Debug`, because some values are secrets.
#[derive(Clone)]
pub(crate) struct SourcedValue {
    /// The key of its setting, as it is declared.
    pub(crate) setting: &'static str,
    pub(crate) text: String,
    pub(crate) origin: String,
}

/// A table of the settings file that the user names.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) origin: String,
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

/// The state of each file before it was read; `None` for a file that did not exist.
///
/// Links are followed, because Kubernetes replaces content by changing the target of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileStates(BTreeMap<PathBuf, Option<State>>);

/// What changes with a file and can be seen without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    modified: Option<SystemTime>,
    length: u64,
    /// Differs when another file was moved to the same path.
    inode: u64,
}

impl FileStates {
    /// Notes the state of a file that is about to be read. The first state is kept: a later change may
    /// not have been read.
    pub fn note(&mut self, path: &Path) {
        self.0.entry(path.to_owned()).or_insert_with(|| state(path));
    }

    /// The paths of files whose state differs from the other.
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let differs = |(path, state): &(&PathBuf, _)| other.0.get(*path) != Some(*state);
        self.0.iter().filter(differs).map(|(path, _)| path.display().to_string()).collect()
    }

    /// The state of the same files now.
    #[must_use]
    pub fn now(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), state(path))).collect())
    }
}

fn state(path: &Path) -> Option<State> {
    let metadata = fs::metadata(path).ok()?;
    let (modified, length) = (metadata.modified().ok(), metadata.len());
    Some(State { modified, length, inode: metadata.ino() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_replaced_or_removed_is_seen_to_have_changed() {
        let path = std::env::temp_dir().join(format!("followed-{}", std::process::id()));
        let mut files = FileStates::default();
        files.note(&path);
        fs::write(&path, "one").unwrap();
        // The state before the first read counts.
        files.note(&path);
        let created = files.now();
        fs::write(&path, "longer").unwrap();
        let written = files.now();
        fs::write(path.with_extension("other"), "LONGER").unwrap();
        fs::rename(path.with_extension("other"), &path).unwrap();
        let replaced = files.now();
        let same = files.now();
        fs::remove_file(&path).unwrap();
        let removed = files.now();

        assert!(created != files && written != created && replaced != written);
        assert!(same == replaced && removed != replaced);
        assert_eq!(removed.differing(&replaced), [path.display().to_string()]);
    }
}
