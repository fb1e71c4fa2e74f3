//! Bounds the size of a response.
//!
//! A short document can ask for a large value many times under different aliases. So values are counted as
//! they are read, and what exceeds the limit is not read any more. `limits.max_complexity` bounds the rest
//! of a response, which is checked once it is written.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_graphql::ServerError;

use super::error::request_error;
use crate::domain::ErrorCode;

/// The bytes of one response, all operations of a batch together.
#[derive(Debug)]
pub struct ResponseSize {
    /// `limits.max_response_bytes`
    limit: usize,
    used: AtomicUsize,
}

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

    /// Counts a text, with the escapes that it needs in JSON.
    pub(crate) fn add_text(&self, text: &str) {
        let escapes = text.bytes().map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 1,
            0..b' ' => 5,
            _ => 0,
        });
        self.add(text.len() + escapes.sum::<usize>());
    }

    /// Whether more bytes were counted than the response may have.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.limit
    }

    /// Begins to count anew, for the next event of a subscription.
    pub(crate) fn reset(&self) {
        self.used.store(0, Ordering::Relaxed);
    }

    /// Fails if more bytes were counted, or `written`, than the response may have. After that nothing more
    /// of it is made.
    ///
    /// # Errors
    /// The error that takes the place of the response.
    pub fn check(&self, written: usize) -> Result<(), ServerError> {
        self.used.fetch_max(written, Ordering::Relaxed);
        if !self.is_exceeded() {
            return Ok(());
        }
        let message = format!(
            "the response is larger than {} bytes, which limits.max_response_bytes allows: ask for \
             fewer fields or rows",
            self.limit
        );
        Err(request_error(ErrorCode::ResponseTooLarge, message))
    }
}
