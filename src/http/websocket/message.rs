//! The messages of `graphql-transport-ws`.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::close;
use crate::http::client_app::ClientApp;
use crate::http::request::Parameters;

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
        payload: Parameters,
    },
    Complete {
        id: String,
    },
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

/// The message with an answer. Its JSON is copied byte for byte: fields are in the order of the document.
pub(super) fn next(id: &str, json: &[u8]) -> Utf8Bytes {
    let id = Value::from(id).to_string();
    let parts = [b"{\"type\":\"next\",\"id\":", id.as_bytes(), b",\"payload\":", json, b"}"];
    // JSON is UTF-8.
    Utf8Bytes::try_from(parts.concat()).unwrap_or_default()
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
