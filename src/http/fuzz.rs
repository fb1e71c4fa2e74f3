//! Fuzz target: requests as they are read from parameters and bodies.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use futures_util::FutureExt as _;
use serde::de::IgnoredAny;

use super::refusal::Refusal;
use super::request::{
    Operations, body as body_of, check_content_type, from_body, from_query, without_mark,
};
use crate::graphql::Operation;

const MAX_BODY: usize = 64 * 1024;
const MAX_BATCH: usize = 4;

/// The first byte chooses what the rest is: parameters, a JSON body, or a line that is the type of the
/// content and then a body.
pub fn request(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    match choice % 3 {
        0 => {
            let Ok(read) = from_query(rest) else { return };
            assert!(!read.is_batch);
            read.operations.iter().for_each(comes_back);
        }
        1 => body(b"application/json", rest),
        _ => {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let (media, content) = rest.split_at_checked(end).unwrap_or((rest, b""));
            body(media, content);
        }
    }
}

fn body(media: &[u8], body: &[u8]) {
    let Ok(read) = read(media, body) else { return };
    // Anything else a page of another site could send without being asked.
    let is_json = media.trim_ascii_start().get(..16);
    assert!(is_json.is_some_and(|media| media.eq_ignore_ascii_case(b"application/json")));
    assert!(body.len() <= MAX_BODY);
    let text = std::str::from_utf8(without_mark(body)).expect("JSON is UTF-8");
    serde_json::from_str::<IgnoredAny>(text).expect("what was read is JSON");
    match serde_json::from_str::<Vec<IgnoredAny>>(text) {
        Ok(batch) => assert!(read.is_batch && read.operations.len() == batch.len()),
        Err(_) => assert!(!read.is_batch && read.operations.len() == 1),
    }
    read.operations.iter().for_each(comes_back);
}

fn read(media: &[u8], bytes: &[u8]) -> Result<Operations, Refusal> {
    let headers = HeaderValue::from_bytes(media).map(|media| (header::CONTENT_TYPE, media));
    check_content_type(&HeaderMap::from_iter(headers))?;
    let taken = body_of(Body::from(bytes.to_vec()), MAX_BODY).now_or_never();
    let taken = taken.expect("a complete body is read without waiting")?;
    from_body(&taken, MAX_BATCH)
}

/// Sent as parameters, an operation is read as the same one.
fn comes_back(operation: &Operation) {
    let variables = serde_json::to_string(&operation.variables).unwrap_or_default();
    if operation.persisted.is_some()
        || operation.document_id.is_some()
        // The library's reader of JSON is a bit off for some floats. No argument of the schema is one.
        || serde_json::from_str(&variables).ok() != serde_json::to_value(&operation.variables).ok()
    {
        return;
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("query", &operation.query).append_pair("variables", &variables);
    let named = operation.operation_name.as_deref().filter(|name| !name.is_empty());
    query.extend_pairs(named.map(|name| ("operationName", name)));
    let again = from_query(query.finish().as_bytes()).expect("what was read can be read again");
    let again = again.operations.first().expect("one operation was sent");
    assert_eq!(again.query, operation.query);
    assert_eq!(again.operation_name.as_deref(), named);
    assert_eq!(again.variables, operation.variables);
}
