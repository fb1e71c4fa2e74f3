//! Reads GraphQL requests from HTTP requests: parameters of a GET, the JSON body of a POST.

use std::sync::Arc;

use async_graphql::Variables;
use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use mime::Mime;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::header_fields;
use super::refusal::{Refusal, quoted};
use crate::body_limit::{BodyError, read_body};
use crate::domain::ErrorCode;
use crate::graphql::{Operation, PersistedQuery};

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

    /// Whether a response may be reused for the same request. A document that comes with its hash has to reach the
    /// persisted queries each time.
    pub(crate) fn is_cacheable(&self) -> bool {
        let comes_with_hash = |one: &Operation| one.persisted.is_some() && !one.query.is_empty();
        !self.is_batch && !self.operations.iter().any(comes_with_hash)
    }
}

/// The parameters of an operation, which have the same names by GET, by POST and over WebSocket. Members of
/// others, such as those of a tracing proxy, are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a JSON object with a query")]
pub(crate) struct Parameters {
    query: Option<String>,
    operation_name: Option<Arc<str>>,
    variables: Option<Variables>,
    extensions: Option<Extensions>,
    // The id of a trusted document: the name in the specification's draft, and the names of Relay's networks.
    document_id: Option<Value>,
    #[serde(rename = "doc_id")]
    relay_id: Option<Value>,
    id: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
struct Extensions {
    persisted_query: Option<Value>,
}

/// Reads the parameters of a GET.
pub(crate) fn from_query(query: &[u8]) -> Result<Operations, Refusal> {
    if percent_encoding::percent_decode(query).decode_utf8().is_err() {
        return Err(Refusal::bad_request("the parameters are not UTF-8"));
    }
    let mut parameters = Map::new();
    for (name, value) in url::form_urlencoded::parse(query) {
        let value = match &*name {
            "operationName" if value.is_empty() => Value::Null,
            "query" | "operationName" | "documentId" | "doc_id" | "id" => Value::from(value),
            "variables" | "extensions" => json_parameter(&name, &value)?,
            _ => continue,
        };
        if parameters.insert(name.clone().into_owned(), value).is_some() {
            return Err(Refusal::bad_request(format!("parameter {name} is given more than once")));
        }
    }
    let parameters: Parameters = serde_path_to_error::deserialize(Value::Object(parameters))
        .map_err(|error| Refusal::bad_request(format!("parameter {error}")))?;
    Ok(Operations::only(parameters.operation()?))
}

/// Reads the body of a POST, up to `max_bytes`.
pub(crate) async fn body(
    body: impl HttpBody<Data = Bytes, Error: Into<BoxError>>,
    max_bytes: usize,
) -> Result<Bytes, Refusal> {
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
    // serde reads members that are not ours without a look at their bytes.
    let body = std::str::from_utf8(without_mark(body))
        .map_err(|_| Refusal::bad_request("the body is not UTF-8"))?
        .trim_ascii_start();
    match body.as_bytes().first() {
        Some(b'[') => from_batch(from_json(body)?, max_batch),
        Some(_) => Ok(Operations::only(from_json::<Parameters>(body)?.operation()?)),
        None => {
            Err(Refusal::bad_request("the body is empty: a JSON object with a query is needed"))
        }
    }
}

fn from_json<'b, T: Deserialize<'b>>(body: &'b str) -> Result<T, Refusal> {
    if let Ok(read) = serde_json::from_str(body) {
        return Ok(read);
    }
    // Read again, because noting where the fault is takes time.
    let mut json = serde_json::Deserializer::from_str(body);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| error.to_string());
    let read = read.and_then(|read| json.end().map(|()| read).map_err(|error| error.to_string()));
    read.map_err(|error| Refusal::bad_request(format!("the body is no GraphQL request: {error}")))
}

/// The body without a byte order mark, which a reader may ignore (RFC 8259, section 8.1).
pub(super) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

fn from_batch(batch: Vec<Parameters>, most: usize) -> Result<Operations, Refusal> {
    if batch.is_empty() {
        return Err(Refusal::bad_request("the batch is empty: it needs one operation at least"));
    }
    if batch.len() > most {
        let message =
            format!("the request has {} operations: limits.max_batch allows {most}", batch.len());
        return Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::QueryTooComplex, message));
    }
    let operations = batch.into_iter().map(Parameters::operation).collect::<Result<_, _>>()?;
    Ok(Operations { operations, is_batch: true })
}

impl Parameters {
    pub(crate) fn operation(self) -> Result<Operation, Refusal> {
        let has_query = self.query.is_some();
        let query = self.query.unwrap_or_default();
        let persisted = self.extensions.and_then(|extensions| extensions.persisted_query);
        let persisted = persisted.as_ref().map(persisted_query).transpose()?;
        let ids = [self.document_id, self.relay_id, self.id];
        let document_id = match ids.into_iter().flatten().next() {
            // Beside a document, an id is one of the members that are not ours.
            _ if !query.is_empty() => None,
            None => None,
            Some(Value::String(id)) => Some(id),
            Some(_) => return Err(Refusal::bad_request("the id of a document has to be a text")),
        };
        if !has_query && persisted.is_none() && document_id.is_none() {
            return Err(Refusal::bad_request("query is missing: it has to be a GraphQL document"));
        }
        let (operation_name, variables) = (self.operation_name, self.variables.unwrap_or_default());
        Ok(Operation {
            query,
            operation_name,
            variables,
            persisted,
            document_id,
            ..Operation::default()
        })
    }
}

/// The hash in `extensions.persistedQuery`.
fn persisted_query(persisted: &Value) -> Result<PersistedQuery, Refusal> {
    let hash = persisted.get("sha256Hash").and_then(Value::as_str).unwrap_or_default();
    let mut bytes = [0_u8; 32];
    if persisted.get("version") != Some(&Value::from(1))
        || hex::decode_to_slice(hash, &mut bytes).is_err()
    {
        return Err(Refusal::bad_request(
            "extensions.persistedQuery has to have version 1 and, in sha256Hash, 64 hexadecimal digits",
        ));
    }
    Ok(PersistedQuery(bytes))
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
    let media_type = value.to_str().ok().and_then(|text| text.parse::<Mime>().ok());
    let is_json = media_type.is_some_and(|media_type| {
        let charset = media_type.get_param(mime::CHARSET);
        media_type.essence_str() == "application/json"
            && charset.is_none_or(|charset| charset == mime::UTF_8 || charset == "utf8")
    });
    if !is_json {
        return refuse(format!("the Content-Type is {}", quoted(value.as_bytes())));
    }
    if let Some(encoding) = encoding.filter(|encoding| *encoding != "identity") {
        let encoding = quoted(encoding.as_bytes());
        return refuse(format!("the body's Content-Encoding is {encoding}"));
    }
    Ok(())
}
