//! Why a socket is closed, and the code and reason that say so.
//!
//! Codes from 4400 on are those of `graphql-transport-ws`, those below are WebSocket's own.

use axum::http::StatusCode;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Utf8Bytes};

use crate::http::auth::AuthError;
use crate::http::refusal::Refusal;

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

/// How a conversation ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The client has closed the socket. The answer to that is queued.
    ClosedByClient,
    /// The connection is gone.
    Lost,
    /// The gateway closes the socket.
    Close(CloseFrame),
}

impl From<CloseFrame> for Ending {
    fn from(frame: CloseFrame) -> Self {
        Self::Close(frame)
    }
}

impl From<AuthError> for CloseFrame {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::MissingCredential(_) => UNAUTHORIZED,
            AuthError::InvalidCredential(_) => FORBIDDEN,
            AuthError::Unavailable => TRY_AGAIN_LATER,
        }
    }
}

/// The socket is one too many, of its caller or of all.
impl From<Refusal> for CloseFrame {
    fn from(refusal: Refusal) -> Self {
        match refusal.status() {
            StatusCode::TOO_MANY_REQUESTS => {
                Self { code: CloseCode::Library(4429), reason: refusal.message().into() }
            }
            _ => TRY_AGAIN_LATER,
        }
    }
}

impl From<Error> for Ending {
    fn from(error: Error) -> Self {
        match error {
            Error::Capacity(_) => MESSAGE_TOO_BIG.into(),
            Error::Utf8(_) => INVALID_UTF8.into(),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Lost,
            Error::Protocol(_) => PROTOCOL_ERROR.into(),
            _ => Self::Lost,
        }
    }
}
