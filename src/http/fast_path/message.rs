//! Where a request of HTTP/1.1 ends, and what it is: for requests whose length is plain to see. Whatever is
//! not is somebody else's to judge.

use std::mem::MaybeUninit;

use httparse::{Header, Request, Status};

use crate::http::fields::ReadFields;

/// A request with more fields is not looked at.
const MOST_FIELDS: usize = 64;

/// Room for the fields of a request.
pub(super) struct Room<'b>([MaybeUninit<Header<'b>>; MOST_FIELDS]);

/// A request of HTTP/1.1 that is there in full.
pub struct Message<'b, 'r> {
    /// The method, as it is written.
    pub method: &'b str,
    /// The target, as it stands in the first line.
    pub target: &'b str,
    /// The header fields.
    pub fields: ReadFields<'b, 'r>,
    /// The body.
    pub body: &'b [u8],
}

/// How much of a request there is.
pub(super) enum Extent<'b, 'r> {
    /// Its fields have not all come.
    Head,
    /// Its fields have, and it has so many bytes in all.
    Begun(usize),
    /// All of it, which takes so many bytes.
    Whole(Message<'b, 'r>, usize),
    /// That cannot be told, or it ends the connection or makes it another one.
    Unclear,
}

impl Room<'_> {
    pub(super) fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; MOST_FIELDS])
    }
}

impl<'b, 'r> Extent<'b, 'r> {
    /// Looks at what begins with a request.
    pub(super) fn of(bytes: &'b [u8], room: &'r mut Room<'b>) -> Self {
        // A client may send blank lines before a request. None does, so they are not looked through.
        if let Some(b'\r' | b'\n') = bytes.first() {
            return Self::Unclear;
        }
        let mut request = Request::new(&mut []);
        let head = match request.parse_with_uninit_headers(bytes, &mut room.0) {
            Ok(Status::Complete(head)) => head,
            Ok(Status::Partial) => return Self::Head,
            Err(_) => return Self::Unclear,
        };
        let Request { method: Some(method), path: Some(target), version: Some(1), headers } =
            request
        else {
            return Self::Unclear;
        };
        let fields: &'r [Header<'b>] = headers;
        let Some(length) = length(method, fields) else { return Self::Unclear };
        let Some(all) = head.checked_add(length) else { return Self::Unclear };
        match bytes.get(head..all) {
            Some(body) => {
                let fields = ReadFields::new(fields);
                Self::Whole(Message { method, target, fields, body }, all)
            }
            None => Self::Begun(all),
        }
    }
}

/// Whether a head ends within some bytes, or a part of one that begins two bytes before what is new in it.
pub(super) fn ends_head(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|end| end == b"\n\n") || bytes.windows(3).any(|end| end == b"\n\r\n")
}

/// The length of the body of a request after which the connection is what it was; nothing where that is
/// not plain to see (RFC 9112, section 6.3).
fn length(method: &str, fields: &[Header<'_>]) -> Option<usize> {
    if !matches!(method, "POST" | "GET" | "HEAD" | "OPTIONS") {
        return None;
    }
    let mut length = None;
    for Header { name, value } in fields {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            14 if is("content-length") => {
                let before = length.replace(decimal(value)?);
                if before.is_some() {
                    return None;
                }
            }
            10 if is("connection") && !value.eq_ignore_ascii_case(b"keep-alive") => return None,
            17 if is("transfer-encoding") => return None,
            7 if is("upgrade") => return None,
            6 if is("expect") => return None,
            _ => {}
        }
    }
    Some(length.unwrap_or_default())
}

fn decimal(digits: &[u8]) -> Option<usize> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if is_number { str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of some bytes, in short.
    fn judged(bytes: &str) -> String {
        match Extent::of(bytes.as_bytes(), &mut Room::new()) {
            Extent::Head => "head".to_owned(),
            Extent::Begun(all) => format!("begun, {all}"),
            Extent::Whole(message, all) => {
                let Message { method, target, fields, body } = message;
                let body = str::from_utf8(body).unwrap();
                format!("{method} {target}, {} fields, {body:?}, {all}", fields.iter().count())
            }
            Extent::Unclear => "unclear".to_owned(),
        }
    }

    #[test]
    fn a_request_is_as_long_as_its_length_says() {
        let request = "POST /graphql HTTP/1.1\r\nContent-Length: 2\r\nA: b\r\n\r\n{}";
        let all = request.len();

        assert_eq!(judged(request), format!("POST /graphql, 2 fields, \"{{}}\", {all}"));
        assert_eq!(
            judged(&format!("{request}POST /")),
            format!("POST /graphql, 2 fields, \"{{}}\", {all}")
        );
        assert_eq!(judged(request.get(..all - 1).unwrap()), format!("begun, {all}"));
        assert_eq!(judged("GET / HTTP/1.1\r\n\r\n"), "GET /, 0 fields, \"\", 18");
        for end in 0..request.len() - 2 {
            assert_eq!(judged(request.get(..end).unwrap()), "head", "of {end} bytes");
        }
    }

    #[test]
    fn what_is_not_plain_to_see_is_not_guessed() {
        for head in [
            "POST / HTTP/1.0\r\ncontent-length: 0\r\n\r\n",
            "PUT / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
            "CONNECT a:1 HTTP/1.1\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 0\r\nTransfer-Encoding: gzip\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 0, 0\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: +1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length:\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 18446744073709551615\r\n\r\n",
            "GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\n\r\n",
            "GET / HTTP/1.1\r\nupgrade: websocket\r\n\r\n",
            "POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\na: b\r\n c\r\n\r\n",
            "\u{16}\u{3}\u{1}",
            "\r\nGET / HTTP/1.1\r\n\r\n",
            "\n",
        ] {
            assert_eq!(judged(head), "unclear", "of {head:?}");
        }
        let many = "a: b\r\n".repeat(MOST_FIELDS + 1);
        assert_eq!(judged(&format!("GET / HTTP/1.1\r\n{many}\r\n")), "unclear");
    }
}
