//! Files that settings are read from, and how each was when it was read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Files, and how each was before it was read; nothing for a file that was not there.
///
/// Links are followed, so another target is another state: this is how Kubernetes puts new content in
/// place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, Option<State>>);

/// What changes with a file, as far as can be told without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    modified: Option<SystemTime>,
    length: u64,
    number: u64,
}

impl Files {
    /// Notes a file that is about to be read. The first look counts: a change since then is one that
    /// may not have been read.
    pub fn note(&mut self, path: &Path) {
        if !self.0.contains_key(path) {
            self.0.insert(path.to_owned(), state(path));
        }
    }

    /// Notes the files of others, as they were then.
    pub fn add(&mut self, others: Self) {
        for (path, state) in others.0 {
            self.0.entry(path).or_insert(state);
        }
    }

    /// The files that are not as others say, by their paths.
    pub fn differing(&self, others: &Self) -> Vec<String> {
        let differs = |(path, state): &(&PathBuf, _)| others.0.get(*path) != Some(*state);
        self.0.iter().filter(differs).map(|(path, _)| path.display().to_string()).collect()
    }

    /// The same files as they are now.
    #[must_use]
    pub fn look(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), state(path))).collect())
    }
}

fn state(path: &Path) -> Option<State> {
    let metadata = fs::metadata(path).ok()?;
    let (modified, length) = (metadata.modified().ok(), metadata.len());
    Some(State { modified, length, number: number(&metadata) })
}

/// What tells a file from another that has been put in its place.
#[cfg(unix)]
fn number(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_: &fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_replaced_or_removed_is_seen_to_have_changed() {
        let path = std::env::temp_dir().join(format!("followed-{}", std::process::id()));
        let other = path.with_extension("other");
        let mut files = Files::default();
        fs::write(&path, "one").unwrap();
        files.note(&path);
        let same = files.look();

        fs::write(&path, "longer").unwrap();
        let written = files.look();
        fs::write(&other, "LONGER").unwrap();
        fs::rename(&other, &path).unwrap();
        let replaced = files.look();
        fs::remove_file(&path).unwrap();
        let removed = files.look();

        assert_eq!((same.differing(&files), removed.differing(&same).len()), (vec![], 1));
        assert_eq!(same, files);
        assert!(written != same && replaced != written && removed != replaced);
    }

    #[test]
    fn what_was_seen_before_the_reading_counts() {
        let path = std::env::temp_dir().join(format!("noted-{}", std::process::id()));
        let mut files = Files::default();
        files.note(&path);
        fs::write(&path, "new").unwrap();
        files.note(&path);

        let now = files.look();

        fs::remove_file(&path).unwrap();
        assert_ne!(now, files);
    }
}
