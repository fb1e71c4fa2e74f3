//! What `graphql-transport-ws` says: its messages, and the codes and reasons of close frames.
//!
//! Close codes from 4400 on are those of the protocol, those below are WebSocket's own.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Utf8Bytes};

use crate::http::caller_request::ClientApp;
use crate::http::refusal::Refusal;
use crate::http::request::Parameters;

/// The longest id of an operation, in bytes. Every answer repeats it.
const MAX_ID_BYTES: usize = 256;
/// The longest reason of a close frame, in bytes (RFC 6455, section 5.5).
const MAX_REASON_BYTES: usize = 123;

/// The process stops.
pub(super) const GOING_AWAY: CloseFrame = frame(CloseCode::Away, "Going away");
pub(super) const NO_PONG: CloseFrame = frame(CloseCode::Away, "Pings were not answered");
const PROTOCOL_ERROR: CloseFrame = frame(CloseCode::Protocol, "Protocol error");
/// A text is not UTF-8.
const INVALID_UTF8: CloseFrame = frame(CloseCode::Invalid, "Invalid UTF-8");
pub(super) const SLOW_CONSUMER: CloseFrame =
    frame(CloseCode::Policy, "Messages were not read in time");
pub(super) const MESSAGE_TOO_BIG: CloseFrame = frame(CloseCode::Size, "Message too big");
/// The gateway has no room, or nothing to verify callers by yet.
const TRY_AGAIN_LATER: CloseFrame = frame(CloseCode::Again, "Try again later");
/// The client showed no credential, or subscribed before it did.
pub(super) const UNAUTHORIZED: CloseFrame = frame(CloseCode::Library(4401), "Unauthorized");
/// The credential is not accepted, or no longer.
pub(super) const FORBIDDEN: CloseFrame = frame(CloseCode::Library(4403), "Forbidden");
pub(super) const SUBPROTOCOL_NOT_ACCEPTABLE: CloseFrame =
    frame(CloseCode::Library(4406), "Subprotocol not acceptable");
pub(super) const INIT_TIMEOUT: CloseFrame =
    frame(CloseCode::Library(4408), "Connection initialisation timeout");
pub(super) const TOO_MANY_INITS: CloseFrame =
    frame(CloseCode::Library(4429), "Too many initialisation requests");

const fn frame(code: CloseCode, reason: &'static str) -> CloseFrame {
    CloseFrame { code, reason: Utf8Bytes::from_static(reason) }
}

/// The client broke the GraphQL protocol.
pub(super) const fn bad_request(how: &'static str) -> CloseFrame {
    frame(CloseCode::Library(4400), how)
}

/// An operation with this id is in progress.
pub(super) fn subscriber_exists(id: &str) -> CloseFrame {
    let mut reason = format!("Subscriber for {id} already exists");
    reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
    CloseFrame { code: CloseCode::Library(4409), reason: reason.into() }
}

/// How a conversation ends: the gateway closes the socket with this frame. `None` if the client has closed it or is
/// gone.
pub(super) type Ending = Option<CloseFrame>;

/// The ending that an error of the socket means.
pub(super) fn ending_of(error: &Error) -> Ending {
    match error {
        Error::Capacity(_) => Some(MESSAGE_TOO_BIG),
        Error::Utf8(_) => Some(INVALID_UTF8),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(PROTOCOL_ERROR),
        _ => None,
    }
}

/// The caller's credential is invalid, or the socket is one too many, of its caller or of all.
impl From<Refusal> for CloseFrame {
    fn from(refusal: Refusal) -> Self {
        match refusal.status() {
            StatusCode::UNAUTHORIZED => FORBIDDEN,
            StatusCode::TOO_MANY_REQUESTS => {
                Self { code: CloseCode::Library(4429), reason: refusal.message().into() }
            }
            _ => TRY_AGAIN_LATER,
        }
    }
}

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
        let message = serde_json::from_str(text).map_err(|_| bad_request(EXPECTED))?;
        match &message {
            Self::Subscribe { id, .. } if !(1..=MAX_ID_BYTES).contains(&id.len()) => {
                Err(bad_request("Invalid message: an id has 1 to 256 bytes"))
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
        Some(_) => return Err(bad_request("The payload has to be an object")),
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
            _ if is_credential => return Err(FORBIDDEN),
            _ => {}
        }
    }
    Ok(headers)
}
