//! Signed links, and the one video that all of them lead to. `video.txt` says how it was made.

use std::collections::HashMap;
use std::ops::Range;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::records::{Record, after};

const VIDEO: &[u8] = include_bytes!("video.webm");
/// How long a link lives, in seconds.
const LINK_LIVES: i64 = 900;

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
    query: &HashMap<String, String>,
    headers: &HeaderMap,
    now: Timestamp,
) -> Response {
    let [expires, signed] =
        ["Expires", "Signature"].map(|name| query.get(name).map_or("", String::as_str));
    if signed != signature(file, expires) {
        return refusal(StatusCode::FORBIDDEN, "SignatureDoesNotMatch");
    }
    if !expires.parse::<i64>().is_ok_and(|expires| now.as_second() < expires) {
        return refusal(StatusCode::FORBIDDEN, "AccessDenied");
    }
    let length = VIDEO.len();
    let kind = [(header::CONTENT_TYPE, "video/webm"), (header::ACCEPT_RANGES, "bytes")];
    let asked = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let Some(range) = asked.and_then(|asked| range(asked, length)) else {
        return (kind, VIDEO).into_response();
    };
    let place = |range: &str| [(header::CONTENT_RANGE, format!("bytes {range}/{length}"))];
    let Some(bytes) = VIDEO.get(range.clone()).filter(|bytes| !bytes.is_empty()) else {
        let refused = refusal(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange");
        return (place("*"), refused).into_response();
    };
    let place = place(&format!("{}-{}", range.start, range.end - 1));
    (StatusCode::PARTIAL_CONTENT, kind, place, bytes).into_response()
}

/// Reads one range of bytes (RFC 9110, section 14.1.2). Any other value is ignored: several ranges, and
/// the last bytes.
fn range(asked: &str, length: usize) -> Option<Range<usize>> {
    let (first, last) = asked.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let last = if last.is_empty() { usize::MAX } else { last.parse().ok()? };
    (first <= last).then(|| first..last.saturating_add(1).min(length))
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
