//! Reads GraphQL requests from HTTP requests: parameters of a GET, the JSON body of a POST.

use std::sync::Arc;

use async_graphql::Variables;
use axum::body::{Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

use super::header_fields;
use super::refusal::{Refusal, quoted};
use crate::body_limit::{BodyError, read_body};
use crate::domain::ErrorCode;
use crate::graphql::{Operation, PersistedQuery};

/// Names of a trusted document's id: that of the specification's draft, and those of Relay's networks.
const DOCUMENT_IDS: [&str; 3] = ["documentId", "doc_id", "id"];

/// A request's body as it comes in.
pub(crate) trait IncomingBody:
    HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Unpin + Send + 'static
{
}

impl<B> IncomingBody for B where
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Unpin + Send + 'static
{
}

/// The operations of one HTTP request.
#[derive(Debug)]
pub(crate) struct Operations {
    pub(crate) operations: Vec<Operation>,
    /// Whether they came as a list and are answered as one.
    pub(crate) is_batch: bool,
}

impl Operations {
    fn only(operation: Operation) -> Self {
        Self { operations: vec![operation], is_batch: false }
    }
}

/// Reads the parameters of a GET.
pub(crate) fn from_query(query: &str) -> Result<Operations, Refusal> {
    if percent_encoding::percent_decode_str(query).decode_utf8().is_err() {
        return Err(Refusal::bad_request("the parameters are not UTF-8"));
    }
    let mut parameters = Map::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let value = match &*name {
            "query" | "operationName" | "documentId" | "doc_id" | "id" => {
                Value::String(value.into_owned())
            }
            "variables" | "extensions" => json_parameter(&name, &value)?,
            // Parameters of others, such as those of a tracing proxy, are no concern of ours.
            _ => continue,
        };
        if parameters.insert(name.clone().into_owned(), value).is_some() {
            return Err(Refusal::bad_request(format!("parameter {name} is given more than once")));
        }
    }
    if let Some(Value::String(name)) = parameters.get("operationName")
        && name.is_empty()
    {
        parameters.remove("operationName");
    }
    Ok(Operations::only(operation(parameters)?))
}

/// Reads the body of a POST, up to `max_bytes`.
pub(crate) async fn body(body: impl IncomingBody, max_bytes: usize) -> Result<Bytes, Refusal> {
    read_body(body, max_bytes).await.map_err(|error| match error {
        BodyError::TooLarge => {
            let message =
                format!("the body is larger than limits.max_body_bytes, which is {max_bytes}");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            Refusal::new(status, ErrorCode::QueryTooComplex, message)
        }
        BodyError::Broken => Refusal::bad_request("the body ended early"),
    })
}

/// Reads the operations of a body.
pub(crate) fn from_body(body: &[u8], max_batch: usize) -> Result<Operations, Refusal> {
    let body = without_mark(body);
    if body.trim_ascii().is_empty() {
        return Err(Refusal::bad_request(
            "the body is empty: a JSON object with a query is needed",
        ));
    }
    let parsed = serde_json::from_slice(body);
    match parsed.map_err(|error| Refusal::bad_request(format!("the body is not JSON: {error}")))? {
        Value::Object(members) => Ok(Operations::only(operation(members)?)),
        Value::Array(batch) => from_batch(batch, max_batch),
        other => Err(Refusal::bad_request(format!(
            "the body is {}: an object or a list of objects is needed",
            kind(&other)
        ))),
    }
}

/// The body without a byte order mark, which a reader may ignore (RFC 8259, section 8.1).
pub(super) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

fn from_batch(batch: Vec<Value>, most: usize) -> Result<Operations, Refusal> {
    if batch.is_empty() {
        return Err(Refusal::bad_request("the batch is empty: it needs one operation at least"));
    }
    if batch.len() > most {
        let message =
            format!("the request has {} operations: limits.max_batch allows {most}", batch.len());
        return Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::QueryTooComplex, message));
    }
    let operations = batch.into_iter().map(|member| match member {
        Value::Object(members) => operation(members),
        other => Err(Refusal::bad_request(format!(
            "an operation of the batch is {}: an object is needed",
            kind(&other)
        ))),
    });
    let operations = operations.collect::<Result<_, _>>()?;
    Ok(Operations { operations, is_batch: true })
}

/// One operation, from parameters that have the same names by GET and by POST.
pub(crate) fn operation(mut members: Map<String, Value>) -> Result<Operation, Refusal> {
    let persisted = persisted(members.remove("extensions"))?;
    let query = match members.remove("query") {
        Some(Value::String(query)) => Some(query),
        None | Some(Value::Null) => None,
        Some(other) => return Err(mistyped("query", &other, "a text")),
    };
    // Beside a document, an id is one of the members that are not ours.
    let has_document = query.as_ref().is_some_and(|query| !query.is_empty());
    let document_id = if has_document { None } else { document_id(&mut members)? };
    if query.is_none() && persisted.is_none() && document_id.is_none() {
        return Err(Refusal::bad_request("query is missing: it has to be a GraphQL document"));
    }
    let operation_name = match members.remove("operationName") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(Arc::from(name)),
        Some(other) => return Err(mistyped("operationName", &other, "a text or null")),
    };
    let variables = match members.remove("variables") {
        None | Some(Value::Null) => Variables::default(),
        Some(variables @ Value::Object(_)) => Variables::from_json(variables),
        Some(other) => return Err(mistyped("variables", &other, "an object or null")),
    };
    Ok(Operation {
        query: query.unwrap_or_default(),
        operation_name,
        variables,
        persisted,
        document_id,
        ..Operation::default()
    })
}

/// The id of a trusted document, under any of the names that clients send it by.
fn document_id(members: &mut Map<String, Value>) -> Result<Option<String>, Refusal> {
    for name in DOCUMENT_IDS {
        match members.remove(name) {
            None | Some(Value::Null) => {}
            Some(Value::String(id)) => return Ok(Some(id)),
            Some(other) => return Err(mistyped(name, &other, "a text or null")),
        }
    }
    Ok(None)
}

/// The hash in `extensions.persistedQuery`, where there is one.
fn persisted(extensions: Option<Value>) -> Result<Option<PersistedQuery>, Refusal> {
    let extensions = match extensions {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(extensions)) => extensions,
        Some(other) => return Err(mistyped("extensions", &other, "an object or null")),
    };
    let Some(persisted) = extensions.get("persistedQuery").filter(|hash| !hash.is_null()) else {
        return Ok(None);
    };
    let hash = persisted.get("sha256Hash").and_then(Value::as_str).unwrap_or_default();
    let mut bytes = [0_u8; 32];
    if persisted.get("version") != Some(&Value::from(1))
        || hex::decode_to_slice(hash, &mut bytes).is_err()
    {
        return Err(Refusal::bad_request(
            "extensions.persistedQuery has to have version 1 and, in sha256Hash, 64 hexadecimal digits",
        ));
    }
    Ok(Some(PersistedQuery(bytes)))
}

fn json_parameter(name: &str, text: &str) -> Result<Value, Refusal> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(text)
        .map_err(|error| Refusal::bad_request(format!("parameter {name} is not JSON: {error}")))
}

/// Only JSON in UTF-8: anything else a page of another site could send without being asked.
pub(crate) fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let refuse = |problem: String| {
        let message = format!("{problem}: application/json in UTF-8 is needed");
        Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::BadRequest, message))
    };
    let Some(value) = header_fields::single(headers, &header::CONTENT_TYPE)? else {
        return refuse("there is no Content-Type".to_owned());
    };
    // What nearly every client sends.
    let encoding = header_fields::single(headers, &header::CONTENT_ENCODING)?;
    if value == "application/json" && encoding.is_none() {
        return Ok(());
    }
    let mut parts = value.to_str().unwrap_or_default().split(';').map(str::trim);
    if !parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json")) {
        return refuse(format!("the Content-Type is {}", quoted(value.as_bytes())));
    }
    let charset = parts
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map(|(_, value)| value.trim().trim_matches('"'));
    match charset {
        Some(name) if !name.eq_ignore_ascii_case("utf-8") && !name.eq_ignore_ascii_case("utf8") => {
            return refuse(format!("the charset is {}", quoted(name.as_bytes())));
        }
        Some(_) | None => {}
    }
    if let Some(encoding) = encoding.filter(|encoding| *encoding != "identity") {
        let encoding = quoted(encoding.as_bytes());
        return refuse(format!("the body's Content-Encoding is {encoding}"));
    }
    Ok(())
}

fn mistyped(name: &str, value: &Value, needed: &str) -> Refusal {
    Refusal::bad_request(format!("{name} is {}: {needed} is needed", kind(value)))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
