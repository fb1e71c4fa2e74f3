//! Fuzz target: requests as they are read from parameters and bodies.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use futures_util::FutureExt as _;
use serde_json::Value;

use super::refusal::Refusal;
use super::request::{
    Operations, body as body_of, check_content_type, from_body, from_query, operation, without_mark,
};
use crate::graphql::Operation;

const MAX_BODY: usize = 64 * 1024;
const MAX_BATCH: usize = 4;

/// The first byte chooses what the rest is: parameters, a JSON body, or a line that is the type of the
/// content and then a body.
pub(crate) fn request(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    match choice % 3 {
        0 => {
            if let Ok(query) = str::from_utf8(rest) {
                parameters(query);
            }
        }
        1 => body(rest),
        _ => typed_body(rest),
    }
}

fn parameters(query: &str) {
    let Ok(read) = from_query(query) else { return };
    let [operation] = read.operations.as_slice() else { unreachable!("parameters are no batch") };
    assert!(operation.only_query && !read.is_batch);
    comes_back(operation);
}

fn body(bytes: &[u8]) {
    let read = read("application/json", bytes);
    if bytes.len() > MAX_BODY {
        assert!(read.is_err());
        return;
    }
    match (read, serde_json::from_slice::<Value>(without_mark(bytes))) {
        (Ok(_), Err(error)) => unreachable!("a body was read that is not JSON: {error}"),
        (Err(_), Err(_)) => {}
        (read, Ok(Value::Object(members))) => {
            let careful = operation(members);
            match (read, careful) {
                (Ok(read), Ok(careful)) => {
                    assert!(!read.is_batch);
                    are_equal(&read.operations, &[careful]);
                    read.operations.iter().for_each(comes_back);
                }
                (Err(read), Err(careful)) => assert_eq!(read, careful),
                (read, careful) => unreachable!("{read:?} is read with care as {careful:?}"),
            }
        }
        (read, Ok(Value::Array(batch))) => {
            let fits = (1..=MAX_BATCH).contains(&batch.len());
            let careful: Option<Vec<Operation>> = batch
                .into_iter()
                .map(|member| match member {
                    Value::Object(members) => operation(members).ok(),
                    _ => None,
                })
                .collect();
            match (read, careful.filter(|_| fits)) {
                (Ok(read), Some(careful)) => are_equal(&read.operations, &careful),
                (Err(_), None) => {}
                (read, careful) => unreachable!("{read:?} is read with care as {careful:?}"),
            }
        }
        (read, Ok(_)) => assert!(read.is_err()),
    }
}

fn typed_body(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, body) = bytes.split_at_checked(end).unwrap_or((bytes, b""));
    let Ok(media) = str::from_utf8(line) else { return };
    let read = read(media, body);
    let is_json =
        media.trim().get(..16).is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    // Anything else a page of another site could send without being asked.
    assert!(is_json || read.is_err(), "a body of type {media:?} was read");
}

fn read(media: &str, bytes: &[u8]) -> Result<Operations, Refusal> {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(media) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    check_content_type(&headers)?;
    let taken = body_of(Body::from(bytes.to_vec()), MAX_BODY).now_or_never();
    let taken = taken.expect("a complete body is read without waiting")?;
    from_body(&taken, MAX_BATCH)
}

/// Sent as parameters, an operation is read as the same one.
fn comes_back(operation: &Operation) {
    if operation.persisted.is_some() || operation.document_id.is_some() {
        return;
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("query", &operation.query);
    if let Some(name) = &operation.operation_name {
        query.append_pair("operationName", name);
    }
    let variables = &operation.variables;
    let text = serde_json::to_string(variables).unwrap_or_default();
    if serde_json::from_str::<Value>(&text).ok() != serde_json::to_value(variables).ok() {
        // The library's reader of JSON is a bit off for some floats. No argument of the schema is one.
        return;
    }
    query.append_pair("variables", &text);
    let again = from_query(&query.finish());
    let named = operation.operation_name.clone().filter(|name| !name.is_empty());
    let expected = Operation { operation_name: named, only_query: true, ..operation.clone() };
    match again {
        Ok(again) => are_equal(&again.operations, &[expected]),
        Err(refusal) => unreachable!("{operation:?} does not come back: {refusal:?}"),
    }
}

fn are_equal(read: &[Operation], careful: &[Operation]) {
    assert_eq!(read.len(), careful.len());
    for (read, careful) in read.iter().zip(careful) {
        assert_eq!(read.query, careful.query);
        assert_eq!(read.operation_name, careful.operation_name);
        assert_eq!(read.variables, careful.variables);
        assert_eq!(read.persisted, careful.persisted);
        assert_eq!(read.document_id, careful.document_id);
        assert!(read.fault.is_none() && careful.fault.is_none());
    }
}
