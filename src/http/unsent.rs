//! Bounds the bytes of answers that clients have not read.
//!
//! An answer stays in memory until its client has taken it. Clients that read slowly, or not at all, would
//! fill the memory one answer after the other.

use axum::body::Bytes;

use super::refusal::Refusal;
use crate::domain::LimitKey;
use crate::fair_semaphore::{FairSemaphore, Permit};

/// Smaller answers are not counted: a connection takes more than that itself.
const LEAST_COUNTED_BYTES: usize = 4 * 1024;

/// Bytes that give their room back when they are dropped.
struct RoomyBytes {
    bytes: Bytes,
    _room: Permit,
}

/// Reserves room for an answer, until its client has taken it; `None` for one that is too small to count.
///
/// # Errors
/// When answers that clients have not read fill `limits.max_unsent_bytes`, or the caller's share of it.
pub(crate) fn reserve(
    unsent: &FairSemaphore,
    caller: impl FnOnce() -> LimitKey,
    bytes: usize,
) -> Result<Option<Permit>, Refusal> {
    if bytes < LEAST_COUNTED_BYTES {
        return Ok(None);
    }
    let refuse = || {
        Refusal::unavailable("too many large answers are waiting for their clients to read them")
    };
    unsent.try_acquire(caller(), bytes).map(Some).ok_or_else(refuse)
}

/// The same bytes, which keep the room until they are dropped: hyper drops them once they are written.
pub(crate) fn keep_room(bytes: Bytes, room: Option<Permit>) -> Bytes {
    match room {
        Some(room) => Bytes::from_owner(RoomyBytes { bytes, _room: room }),
        None => bytes,
    }
}

impl AsRef<[u8]> for RoomyBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
