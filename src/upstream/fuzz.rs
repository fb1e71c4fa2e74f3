//! Fuzz targets: values, bodies and errors as the upstream might write them.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue};
use jiff::tz::{Offset, TimeZone};
use serde_json::{Map, Value};

use super::attempt::HttpResponse;
use super::error_mapping::{Whose, read};
use super::normalize::WireValue;
use super::wire::{Unlike, desktop_operation, download_links, list, screen_record};
use crate::domain::{RecordText, ScreenRecord, Timestamp, Unreadable};

/// A text as the value of a timestamp: read alike however it is quoted, again when it is written, and as
/// another reader reads it.
pub fn timestamp(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let quoted = Value::from(text).to_string();
    let utc = WireValue::Json(&quoted).timestamp(&TimeZone::UTC);
    assert_eq!(WireValue::Json(&escaped(text)).timestamp(&TimeZone::UTC), utc, "of {text:?}");
    let is_count = text.starts_with(|c: char| ('1'..='9').contains(&c))
        && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_count {
        assert_eq!(WireValue::Json(text).timestamp(&TimeZone::UTC), utc, "of the number {text}");
    }
    match &utc {
        None => assert!(text.trim().is_empty(), "{text:?} is no time and not unreadable"),
        Some(Ok(time)) => {
            is_read_again(*time);
            is_that_of_another_reader(text, *time);
        }
        Some(Err(unreadable)) => is_cut(unreadable, text),
    }
}

fn is_read_again(time: Timestamp) {
    let shown = time.to_string();
    let again = WireValue::Json(&format!("\"{shown}\"")).timestamp(&TimeZone::UTC);
    let Some(Ok(again)) = again else { unreachable!("{shown} cannot be read again") };
    assert_eq!(again.to_string(), shown);
    assert!(again <= time, "{shown} is read as a later time than it was written from");
}

fn is_that_of_another_reader(text: &str, time: Timestamp) {
    if let Ok(instant) = text.trim().parse::<jiff::Timestamp>() {
        assert_eq!(Offset::UTC.to_datetime(instant), time.as_utc(), "of {text:?}");
    }
}

/// The text in JSON, every character escaped.
fn escaped(text: &str) -> String {
    let escapes = text.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
    format!("\"{}\"", escapes.collect::<String>())
}

fn is_cut(unreadable: &Unreadable, written: &str) {
    let beginning: String = written.chars().take(Unreadable::LONGEST_VALUE).collect();
    assert_eq!(unreadable.value, beginning);
    assert!((1..200).contains(&unreadable.problem.len()), "{}", unreadable.problem);
}

const RECORDS: &str = "screen_records";

/// The body of a success: read as a tree of values would be, and what cannot be read is cut.
pub fn wire(bytes: &[u8]) {
    let body = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let slow = serde_json::from_slice::<Value>(body).ok();
    let read = screen_record(bytes, &TimeZone::UTC);
    match (&read, &slow) {
        (Ok(record), Some(Value::Object(members))) => is_record(record, members),
        (Err(Unlike::Malformed(problem)), Some(Value::Object(_))) => {
            assert_eq!(problem, "holds none of a recording's fields");
        }
        (read, Some(Value::Object(members))) => {
            assert!(!members.is_empty() && *read == Err(Unlike::Error), "{read:?}");
        }
        (read, Some(_)) => {
            assert_eq!(*read, Err(Unlike::Malformed("is not a JSON object".to_owned())));
        }
        // Read value by value, a body holds what no tree of values can: numbers out of range, say.
        (_, None) => {}
    }
    is_list(bytes, slow.as_ref());
    let _ = desktop_operation(bytes, &TimeZone::UTC);
    for row in download_links(bytes).unwrap_or_default() {
        match row.link {
            Some(Ok(link)) => assert!(link.expose().starts_with("http"), "{:?}", link.expose()),
            // It may be a link all the same, which is a secret.
            Some(Err(unreadable)) => assert_eq!(unreadable.value, ""),
            None => {}
        }
    }
}

fn is_record(record: &ScreenRecord, members: &Map<String, Value>) {
    for of in RecordText::ALL.into_iter().filter(|of| *of != RecordText::Id) {
        let key = of.wire_name();
        let slow = match members.get(key) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(Ok(text.as_str())),
            Some(_) => Some(Err(())),
        };
        assert_eq!(record.text(of).map(|read| read.map_err(|_| ())), slow, "of {key}");
    }
    let id = members.get("id").and_then(Value::as_str).filter(|id| !id.trim().is_empty());
    assert_eq!(record.id(), id);
    if let Some(Value::Number(number)) = members.get("size")
        && let Some(number) = number.as_i64()
    {
        assert_eq!(record.size(), Some(Ok(number)));
    }
    for unreadable in RecordText::ALL.into_iter().filter_map(|of| record.text(of)?.err()) {
        assert!(unreadable.value.chars().count() <= Unreadable::LONGEST_VALUE);
    }
}

fn is_list(bytes: &[u8], slow: Option<&Value>) {
    let read = list(bytes, RECORDS, |row| screen_record(row, &TimeZone::UTC));
    let rows = slow.and_then(|slow| slow.get(RECORDS)).and_then(Value::as_array);
    if let Some(rows) = rows {
        assert_eq!(read.as_ref().map(|page| page.rows.len()).ok(), Some(rows.len()));
    }
    let Ok(page) = read else { return };
    assert!(page.rows.len() <= bytes.len());
    if let Some(Ok(total)) = page.total {
        assert!(total >= 0);
    }
    for (place, row) in page.rows.iter().enumerate() {
        let slow = rows.and_then(|rows| rows.get(place)).and_then(Value::as_object);
        match (row, slow) {
            (Ok(record), Some(members)) => is_record(record, members),
            (Ok(_), None) => assert!(rows.is_none(), "row {place} is no object and a record"),
            (Err(unreadable), _) => {
                assert!(unreadable.value.chars().count() <= Unreadable::LONGEST_VALUE);
            }
        }
    }
}

/// What the call was made with. In an input, `%T` stands for it.
const SECRET: &str = "secret-of-the-caller-0001";
const STATUSES: [u16; 16] =
    [400, 401, 403, 404, 405, 408, 409, 414, 429, 494, 500, 502, 503, 504, 200, 302];

/// The first byte chooses status and whose credentials they were, the first line is `Retry-After`, and
/// the rest the body.
pub fn failure(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let status = STATUSES.get(usize::from(choice % 16)).copied().unwrap_or(500);
    let whose = if *choice < 128 { Whose::Caller } else { Whose::Gateway };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (line, body) = rest.split_at_checked(end).unwrap_or((b"", rest));
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(line) {
        headers.insert(RETRY_AFTER, value);
    }
    let body = match str::from_utf8(body) {
        Ok(text) => text.replace("%T", SECRET).into_bytes(),
        Err(_) => body.to_vec(),
    };
    let raw = HttpResponse { status, headers, body: body.into() };
    let refusal = read(&raw, whose, &[SECRET], jiff::Timestamp::UNIX_EPOCH);

    let shown = format!("{refusal:?} {}", refusal.code.as_str());
    assert!(!shown.contains(SECRET), "{shown}");
    assert!(shown.len() < 100_000, "{} bytes are shown", shown.len());
    assert!(refusal.retry_after.is_none_or(|wait| wait <= Duration::from_hours(1)));
    assert_eq!(refusal.answer.status, status);
    let said = [&refusal.answer.error_code, &refusal.answer.error_message];
    for text in said.into_iter().chain([&refusal.answer.request_id]).flatten() {
        assert!(text.chars().count() <= 1000);
    }
}
