//! Bounds the size of a response while it is made.
//!
//! A short document can ask for a large value many times under different aliases. So values are counted as
//! they are read, and JSON as it is written; both stop at the limit.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use async_graphql::ServerError;
use serde::Serialize;

use super::error::request_error;
use crate::domain::ErrorCode;

/// The bytes of one response, all operations of a batch together.
#[derive(Debug)]
pub struct ResponseSize {
    /// `limits.max_response_bytes`
    limit: usize,
    used: AtomicUsize,
}

/// The response is larger than `limits.max_response_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    limit: usize,
}

/// JSON that must not exceed a limit.
#[derive(Debug)]
pub struct LimitedJson {
    bytes: Vec<u8>,
    limit: usize,
}

/// Counts bytes and drops them.
struct Counter(usize);

impl ResponseSize {
    /// A response that may have `limit` bytes, with none so far.
    pub fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0) }
    }

    /// Counts bytes that will be in the response.
    pub(crate) fn add(&self, bytes: usize) {
        // Values are bounded by the memory they are in, so the sum cannot wrap.
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.limit.saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// Whether more bytes were counted than the response may have.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.limit
    }

    /// Begins to count anew, for the next event of a subscription.
    pub(crate) fn reset(&self) {
        self.used.store(0, Ordering::Relaxed);
    }

    /// Fails where more bytes were counted than the response may have.
    ///
    /// # Errors
    /// [`TooLarge`]
    pub fn check(&self) -> Result<(), TooLarge> {
        if self.is_exceeded() { Err(TooLarge { limit: self.limit }) } else { Ok(()) }
    }

    /// Notes that the response turned out too large, so that nothing more of it is made.
    pub(crate) fn exceed(&self) -> TooLarge {
        self.used.fetch_max(self.limit + 1, Ordering::Relaxed);
        TooLarge { limit: self.limit }
    }

    /// The JSON of a response, which begins with these bytes.
    pub fn json(&self, bytes: Vec<u8>) -> LimitedJson {
        LimitedJson { bytes, limit: self.limit }
    }
}

impl TooLarge {
    /// The error that takes the place of the response.
    pub fn error(self) -> ServerError {
        let message = format!(
            "the response is larger than {} bytes, which limits.max_response_bytes allows: ask for \
             fewer fields or rows",
            self.limit
        );
        request_error(ErrorCode::ResponseTooLarge, message)
    }
}

impl LimitedJson {
    /// Writes a value.
    ///
    /// # Errors
    /// [`TooLarge`]
    pub fn value(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), TooLarge> {
        let limit = self.limit;
        // The types of a response have no other reason not to be written.
        serde_json::to_writer(self, value).map_err(|_| TooLarge { limit })
    }

    /// Writes text that is JSON.
    ///
    /// # Errors
    /// [`TooLarge`]
    pub fn raw(&mut self, json: &[u8]) -> Result<(), TooLarge> {
        let limit = self.limit;
        self.write_all(json).map_err(|_| TooLarge { limit })
    }

    /// The JSON.
    ///
    /// # Errors
    /// [`TooLarge`]
    pub fn finish(self) -> Result<Vec<u8>, TooLarge> {
        let limit = self.limit;
        if self.bytes.len() > limit { Err(TooLarge { limit }) } else { Ok(self.bytes) }
    }
}

impl Write for LimitedJson {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit.saturating_sub(self.bytes.len()) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How many bytes a value takes as JSON.
pub(crate) fn json_len(value: &impl Serialize) -> usize {
    let mut counter = Counter(0);
    // Whatever cannot be written is not in the response either.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_up_to_the_limit_and_no_further() {
        let write = |limit: usize| {
            let mut json = ResponseSize::new(limit).json(b"[".to_vec());
            json.value("ab\n")?;
            json.raw(b"]")?;
            json.finish()
        };

        assert_eq!(write(8).unwrap(), br#"["ab\n"]"#);
        for limit in 0..8 {
            assert_eq!(write(limit), Err(TooLarge { limit }));
        }
    }
}
