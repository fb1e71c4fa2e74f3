//! The state of the files that settings are read from, to see when one changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

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
    inode: u64,
}

impl FileStates {
    /// Notes the state of a file that is about to be read. The first state is kept: a later change may
    /// not have been read.
    pub fn note(&mut self, path: &Path) {
        if !self.0.contains_key(path) {
            self.0.insert(path.to_owned(), state(path));
        }
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
    Some(State { modified, length, inode: inode(&metadata) })
}

/// Differs when another file was moved to the same path.
#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
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
