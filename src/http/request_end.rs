//! Finds where HTTP/1 requests end in the bytes of a connection.
//!
//! hyper reads ahead: the beginning of the next head may already be in its buffer when it hands over a request.
//! Then a client owes the rest of that head, which has a time limit. This only compares lengths. Whether a
//! message is well formed is hyper's to say.

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
        for (at, byte) in bytes.iter().enumerate() {
            *self = match (*self, byte) {
                (Self::Empty, b'\n') => return Some(bytes.len() - at - 1),
                (line @ (Self::BeforeRequest | Self::Empty), b'\r') => line,
                (Self::BeforeRequest, b'\n') => Self::BeforeRequest,
                (Self::Begun, b'\n') => Self::Empty,
                _ => Self::Begun,
            };
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const POST: &str = "POST / HTTP/1.1\nhost: a\n\n";
    const CHUNKED: &str = "5\r\n\r\n\r\n\n\r\n0\r\n\r\n";

    #[test]
    fn bytes_behind_a_request_are_noticed_however_they_are_cut() {
        for (request, length, behind) in [
            (GET.to_owned(), BodyLength::Exact(0), ""),
            (GET.to_owned(), BodyLength::Exact(0), "G"),
            (format!("\r\n\n{GET}"), BodyLength::Exact(0), "\r"),
            (format!("{POST}\n\n\r\n\r\n"), BodyLength::Exact(6), ""),
            (format!("{POST}\n\n\r\n\r\n"), BodyLength::Exact(6), GET.get(..20).unwrap()),
            (format!("{POST}{CHUNKED}"), BodyLength::Chunked, ""),
            (format!("{POST}{CHUNKED}"), BodyLength::Chunked, "GET / HTTP/1.1\r\n"),
        ] {
            let all = format!("{request}{behind}").into_bytes();
            for piece in 1..=all.len() {
                let mut end = RequestEnd::default();
                for bytes in all.chunks(piece) {
                    end.read(bytes, false);
                }
                end.begin(length);

                assert_eq!(end.is_passed(), !behind.is_empty(), "{request:?} {behind:?} {piece}");
            }
        }
    }

    #[test]
    fn a_request_that_comes_while_all_are_answered_is_followed_from_its_beginning() {
        let mut end = RequestEnd::default();
        for _ in 0..2 {
            end.read(GET.as_bytes(), true);
            end.begin(BodyLength::Exact(0));
            assert!(!end.is_passed());
        }

        end.read(&[GET, "GET / HT"].concat().into_bytes(), true);
        end.begin(BodyLength::Exact(0));
        assert!(end.is_passed());
        end.read(b"TP/1.1\r\nhost: a\r\n\r\n", true);
        end.begin(BodyLength::Exact(0));

        assert!(!end.is_passed());
    }
}
