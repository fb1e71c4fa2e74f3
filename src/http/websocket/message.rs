//! The messages of `graphql-transport-ws`.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::close;
use crate::http::client_app::ClientApp;

/// The longest id of an operation, in bytes. Every answer repeats it.
const MAX_ID_BYTES: usize = 256;

/// A message of the client.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Incoming {
    ConnectionInit {
        #[serde(default)]
        payload: Option<Value>,
    },
    Ping {
        #[serde(default)]
        payload: Option<Value>,
    },
    Pong {},
    Subscribe {
        id: String,
        payload: Map<String, Value>,
    },
    Complete {
        id: String,
    },
}

/// An answer of an operation.
#[derive(Serialize)]
pub(super) struct Next<'n> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'n str,
    payload: Option<Box<RawValue>>,
}

impl Incoming {
    pub(super) fn parse(text: &str) -> Result<Self, CloseFrame> {
        // The message is not quoted: it may hold a token, and reasons are logged.
        const EXPECTED: &str =
            "Invalid message: connection_init, ping, pong, subscribe and complete are known";
        let message = serde_json::from_str(text).map_err(|_| close::bad_request(EXPECTED))?;
        match &message {
            Self::Subscribe { id, .. } if !(1..=MAX_ID_BYTES).contains(&id.len()) => {
                Err(close::bad_request("Invalid message: an id has 1 to 256 bytes"))
            }
            _ => Ok(message),
        }
    }
}

impl<'n> Next<'n> {
    /// The answer, byte for byte: its fields are in the order of the document.
    pub(super) fn new(id: &'n str, json: Vec<u8>) -> Self {
        let json = String::from_utf8(json).ok();
        Self { kind: "next", id, payload: json.and_then(|json| RawValue::from_string(json).ok()) }
    }
}

/// The credentials and the client's name in the payload of `connection_init`, as headers of the same names.
/// Null counts as missing.
pub(super) fn headers(payload: Option<Value>) -> Result<HeaderMap, CloseFrame> {
    let mut headers = HeaderMap::new();
    let members = match payload {
        None | Some(Value::Null) => return Ok(headers),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(close::bad_request("The payload has to be an object")),
    };
    for (name, value) in &members {
        let name = name.to_ascii_lowercase();
        let is_credential = matches!(&*name, "x-auth-token" | "x-api-key" | "authorization");
        if value.is_null() || !(is_credential || ClientApp::is_header(&name)) {
            continue;
        }
        let value = value.as_str().and_then(|text| HeaderValue::from_str(text).ok());
        match (name.parse::<HeaderName>(), value) {
            // A name that comes twice, in other letters, is refused as a header that comes twice is.
            (Ok(name), Some(value)) => drop(headers.append(name, value)),
            _ if is_credential => return Err(close::FORBIDDEN),
            _ => {}
        }
    }
    Ok(headers)
}
