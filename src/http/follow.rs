//! Files that are read again when they change.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::interval;

/// How often a file is looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The most that is read of a file.
pub(crate) const LARGEST_FILE: u64 = 1024 * 1024;

/// A file and when it was seen last. Made before the file is first read, so that no change between
/// reading and following is missed.
pub(crate) struct Followed {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
}

impl Followed {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: changed_at(path) }
    }

    /// Calls `read_again` whenever the file has changed.
    pub(crate) async fn follow(mut self, mut read_again: impl FnMut(&Path)) {
        let mut looks = interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            let now = changed_at(&self.path);
            if now != self.seen {
                self.seen = now;
                read_again(&self.path);
            }
        }
    }
}

/// Files that belong together, and when they were seen last.
#[derive(Clone)]
pub(crate) struct FollowedTogether {
    paths: Vec<PathBuf>,
    seen: Vec<Option<(SystemTime, u64)>>,
}

impl FollowedTogether {
    pub(crate) fn new<'p>(paths: impl Iterator<Item = &'p PathBuf>) -> Self {
        let paths: Vec<PathBuf> = paths.cloned().collect();
        let seen = paths.iter().map(|path| changed_at(path)).collect();
        Self { paths, seen }
    }

    /// Calls `read_again` whenever some of the files have changed. They are written one after the
    /// other, so that they are left to settle: two looks in a row have to see the same.
    pub(crate) async fn follow(mut self, mut read_again: impl FnMut()) {
        let mut looks = interval(LOOK_EVERY);
        let mut read = self.seen.clone();
        loop {
            looks.tick().await;
            let now: Vec<_> = self.paths.iter().map(|path| changed_at(path)).collect();
            let has_settled = now == self.seen;
            self.seen.clone_from(&now);
            if has_settled && now != read {
                read = now;
                read_again();
            }
        }
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

/// When a file last changed, and how long it is; nothing for a file that is not there.
fn changed_at(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
