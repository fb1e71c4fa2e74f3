//! Files that callers' keys are read from, and how often what may change is looked at.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

/// How often it is looked whether callers may stay, and whether keys are old.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The most that is read of a file.
pub(crate) const LARGEST_FILE: u64 = 1024 * 1024;

/// Reads a file of up to 1 MiB.
pub(crate) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST_FILE) {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(bytes)
}
