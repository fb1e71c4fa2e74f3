//! Signed links, and the one video that all of them lead to. `video.txt` says how it was made.

use std::ops::Range;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::paging::Parameters;
use super::records::{Record, after};

const VIDEO: &[u8] = include_bytes!("video.webm");
/// How long a link lives, in seconds.
const LINK_LIVES: i64 = 900;

/// The part of the video that a request asks for.
enum Part {
    Whole,
    Range(Range<usize>),
    Unsatisfiable,
}

/// A signed link to a recording's video, at the address that the request came to.
pub(super) fn link(record: &Record, host: &str, now: Timestamp) -> Value {
    let file = format!("{}.webm", record.id);
    let expires = after(now, LINK_LIVES).as_second().to_string();
    let signature = signature(&file, &expires);
    let query = format!("AccessKeyId=FAKE&Expires={expires}&Signature={signature}");
    json!({ "id": record.id, "download_url": format!("http://{host}/videos/{file}?{query}") })
}

/// Answers a request for a link.
pub(super) fn answer(
    file: &str,
    parameters: &Parameters,
    headers: &HeaderMap,
    now: Timestamp,
) -> Response {
    let expires = parameters.get("Expires").unwrap_or_default();
    let is_signed = parameters.get("Signature") == Some(&signature(file, expires));
    let is_alive = expires.parse::<i64>().is_ok_and(|expires| now.as_second() < expires);
    match (is_signed, is_alive) {
        (false, _) => refusal(StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
        (true, false) => refusal(StatusCode::FORBIDDEN, "AccessDenied"),
        (true, true) => video(headers),
    }
}

fn video(headers: &HeaderMap) -> Response {
    let length = VIDEO.len();
    let kind = [(header::CONTENT_TYPE, "video/webm"), (header::ACCEPT_RANGES, "bytes")];
    let asked = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    match part(asked, length) {
        Part::Whole => (kind, VIDEO).into_response(),
        Part::Range(range) => {
            let place = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            let bytes = VIDEO.get(range).unwrap_or_default();
            let place = [(header::CONTENT_RANGE, place)];
            (StatusCode::PARTIAL_CONTENT, kind, place, bytes).into_response()
        }
        Part::Unsatisfiable => {
            let place = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
            (place, refusal(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange")).into_response()
        }
    }
}

/// Reads one range of bytes (RFC 9110, section 14.1.2). What is no such range, or several, is ignored.
fn part(asked: Option<&str>, length: usize) -> Part {
    let range = asked.and_then(|asked| asked.strip_prefix("bytes=")?.split_once('-'));
    let Some((first, last)) = range else { return Part::Whole };
    let (is_suffix, is_open) = (first.is_empty(), last.is_empty());
    let range = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Err(_), Ok(bytes)) if is_suffix => length.saturating_sub(bytes)..length,
        (Ok(first), Err(_)) if is_open => first..length,
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(length),
        _ => return Part::Whole,
    };
    if range.is_empty() { Part::Unsatisfiable } else { Part::Range(range) }
}

/// Binds the end of a link to its file.
fn signature(file: &str, expires: &str) -> String {
    hex::encode(Sha256::digest(format!("{file}\n{expires}")))
}

/// An error as object storage answers it.
fn refusal(status: StatusCode, code: &str) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/xml")];
    (status, kind, format!("<Error><Code>{code}</Code></Error>")).into_response()
}
