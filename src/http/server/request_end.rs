//! Finds where HTTP/1 requests end in the bytes of a connection.
//!
//! hyper reads ahead: the beginning of the next head may already be in its buffer when it hands over a request.
//! Then a client owes the rest of that head, which has a time limit. This only compares lengths. Whether a
//! message is well formed is hyper's to say.

use std::cmp::Ordering;

use memchr::memchr_iter;

/// Bytes that suffice to recognise the end of a head, or of a chunked body, in the bytes that follow.
const TAIL_BYTES: usize = 3;

/// Follows a connection from one request to the next.
#[derive(Debug, Default)]
pub(super) struct RequestEnd {
    position: Position,
    /// The last bytes that were read of this request.
    tail: [u8; TAIL_BYTES],
}

/// `read` counts the bytes behind the head.
#[derive(Debug, Default)]
enum Position {
    /// Before a head.
    #[default]
    Start,
    /// In a head whose end was not read yet.
    Head,
    /// Behind a head that hyper has not handed over yet.
    BehindHead { read: u64 },
    /// In a body, or behind it. Its length is that of `Content-Length`, or 0 without a body.
    Body { read: u64, length: u64 },
    /// In a chunked body, or behind it: the last chunk ends with a blank line.
    Chunks,
}

impl RequestEnd {
    /// Takes in bytes as they are read. `is_idle` says that every request so far was answered, so that these begin
    /// another one.
    pub(super) fn read(&mut self, bytes: &[u8], is_idle: bool) {
        if is_idle && matches!(self.position, Position::Body { .. } | Position::Chunks) {
            *self = Self::default();
        }
        match &mut self.position {
            Position::BehindHead { read } | Position::Body { read, .. } => {
                *read += bytes.len() as u64;
            }
            Position::Chunks => {}
            head => {
                let behind = match head {
                    Position::Start => behind_blank_line(bytes),
                    _ => behind_blank_line(&[&self.tail, bytes].concat()),
                };
                *head = match behind {
                    Some(read) => Position::BehindHead { read: read as u64 },
                    None => Position::Head,
                };
            }
        }
        for byte in bytes.iter().rev().take(TAIL_BYTES).rev() {
            self.tail.rotate_left(1);
            self.tail[TAIL_BYTES - 1] = *byte;
        }
    }

    /// Notes that hyper hands over a request. A body without an exact length is chunked.
    pub(super) fn begin(&mut self, body: Option<u64>) {
        if let Position::BehindHead { read } = self.position {
            self.position = match body {
                Some(length) => Position::Body { read, length },
                None => Position::Chunks,
            };
        }
    }

    /// What the client has sent, compared with the whole request: less if it owes the rest of the body, greater
    /// if the next request has begun. One that came in the same packet counts as begun until more is read: where
    /// it began is not known.
    pub(super) fn sent(&self) -> Ordering {
        match self.position {
            Position::Start => Ordering::Equal,
            Position::Body { read, length } => read.cmp(&length),
            Position::Chunks if behind_blank_line(&self.tail) == Some(0) => Ordering::Equal,
            Position::Head | Position::BehindHead { .. } | Position::Chunks => Ordering::Greater,
        }
    }
}

/// The number of bytes behind the first blank line.
fn behind_blank_line(bytes: &[u8]) -> Option<usize> {
    memchr_iter(b'\n', bytes).find_map(|at| {
        let line = bytes.get(at..)?.strip_prefix(b"\n")?;
        let behind = line.strip_prefix(b"\r\n").or_else(|| line.strip_prefix(b"\n"))?;
        Some(behind.len())
    })
}
