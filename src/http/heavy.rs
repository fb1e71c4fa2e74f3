//! Work whose cost grows with the bytes it is about: compressing, hashing.

use tokio::task::JoinError;
use tokio_util::task::TaskTracker;

/// Work about more bytes than this would keep a runtime thread from other requests for too long.
const MOST_INLINE_BYTES: usize = 16 * 1024;

/// Runs work on `bytes` bytes: at once if they are few, else on a thread for blocking work.
///
/// # Errors
/// When the work panics on such a thread.
pub(crate) async fn run<T: Send + 'static>(
    tasks: &TaskTracker,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if bytes > MOST_INLINE_BYTES { tasks.spawn_blocking(work).await } else { Ok(work()) }
}
