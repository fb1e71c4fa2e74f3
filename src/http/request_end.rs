//! Finds where HTTP/1 requests end in the bytes of a connection.
//!
//! hyper reads ahead: the beginning of the next head may already be in its buffer when it hands over a request.
//! Then a client owes the rest of that head, which has a time limit. This only compares lengths. Whether a
//! message is well formed is hyper's to say.

use memchr::memchr;

/// Follows a connection from one request to the next.
#[derive(Debug, Default)]
pub(super) struct RequestEnd {
    position: Position,
    /// The end of the bytes that were read, as far as it can hold a blank line.
    tail: [u8; 3],
}

#[derive(Debug)]
enum Position {
    /// In a head whose end was not read yet.
    Head(Line),
    /// In a body, or behind it.
    Body {
        /// Bytes that were read behind the head.
        read: u64,
        /// hyper has handed over the request.
        is_begun: bool,
        length: BodyLength,
    },
}

/// The line of a head that is being read.
#[derive(Clone, Copy, Debug)]
enum Line {
    /// Blank lines before the request line. They do not count.
    BeforeRequest,
    /// No byte of it was read.
    Empty,
    Begun,
}

/// How long the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    /// By `Content-Length`, or 0 without a body.
    Exact(u64),
    /// Chunked: the last chunk ends with a blank line.
    Chunked,
}

impl Default for Position {
    fn default() -> Self {
        Self::Head(Line::BeforeRequest)
    }
}

impl RequestEnd {
    /// Takes in bytes as they are read. `is_idle` says that every request so far was answered, so that these begin
    /// another one.
    pub(super) fn read(&mut self, bytes: &[u8], is_idle: bool) {
        if is_idle && matches!(self.position, Position::Body { is_begun: true, .. }) {
            self.position = Position::default();
        }
        match &mut self.position {
            Position::Body { read, .. } => *read += bytes.len() as u64,
            Position::Head(line) => {
                if let Some(read) = line.read(bytes) {
                    let length = BodyLength::Exact(0);
                    self.position = Position::Body { read: read as u64, is_begun: false, length };
                }
            }
        }
        for byte in bytes.iter().rev().take(self.tail.len()).rev() {
            self.tail.rotate_left(1);
            self.tail[2] = *byte;
        }
    }

    /// Notes that hyper hands over a request with a body of some length.
    pub(super) fn begin(&mut self, body: BodyLength) {
        if let Position::Body { is_begun, length, .. } = &mut self.position {
            (*is_begun, *length) = (true, body);
        }
    }

    /// Whether bytes behind the request were read. A request behind another one in the same packet counts as such
    /// bytes too, until the next is read: where it began is not known.
    pub(super) fn is_passed(&self) -> bool {
        match self.position {
            Position::Head(_) => true,
            Position::Body { read, length: BodyLength::Exact(length), .. } => read > length,
            Position::Body { length: BodyLength::Chunked, .. } => {
                !(self.tail.ends_with(b"\n\r\n") || self.tail.ends_with(b"\n\n"))
            }
        }
    }
}

impl Line {
    /// Reads on in a head; the number of bytes behind it, once its blank line was read.
    fn read(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut unread = bytes;
        while let Some((byte, rest)) = unread.split_first() {
            unread = rest;
            *self = match (*self, byte) {
                (Self::Empty, b'\n') => return Some(rest.len()),
                (line @ (Self::BeforeRequest | Self::Empty), b'\r') => line,
                (Self::BeforeRequest, b'\n') => Self::BeforeRequest,
                (Self::Begun, b'\n') => Self::Empty,
                _ => {
                    // Nothing counts up to the end of the line.
                    let end = memchr(b'\n', rest).unwrap_or(rest.len());
                    unread = rest.get(end..).unwrap_or_default();
                    Self::Begun
                }
            };
        }
        None
    }
}
