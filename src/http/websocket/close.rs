//! Why a socket is closed, and the code and reason that say so.

use std::io;

use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::http::auth::AuthError;
use crate::http::connection_quota::QuotaExceeded;

/// The longest reason of a close frame, in bytes (RFC 6455, section 5.5).
const MAX_REASON_BYTES: usize = 123;

/// How a conversation ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The client has closed the socket. The answer to that is queued.
    ClosedByClient,
    /// The connection is gone.
    Lost,
    /// The gateway closes the socket.
    Close(CloseReason),
}

/// Why the gateway closes a socket. Codes from 4400 on are those of `graphql-transport-ws`, those below
/// are WebSocket's own.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// The process stops.
    GoingAway,
    /// The client has not answered pings.
    NoPong,
    /// The client broke the WebSocket protocol.
    ProtocolError,
    /// A text is not UTF-8.
    InvalidUtf8,
    SlowConsumer,
    MessageTooBig,
    /// The gateway has no room, or nothing to verify callers by yet.
    TryAgainLater,
    /// The client broke the GraphQL protocol. Says how.
    BadRequest(&'static str),
    /// The client showed no credential, or subscribed before it did.
    Unauthorized,
    /// The credential is not accepted, or no longer.
    Forbidden,
    SubprotocolNotAcceptable,
    InitTimeout,
    /// An operation with this id is in progress.
    SubscriberExists(String),
    TooManyInits,
    /// The caller has as many connections as are allowed.
    TooManyConnections(String),
}

impl CloseReason {
    fn code(&self) -> u16 {
        match self {
            Self::GoingAway | Self::NoPong => 1001,
            Self::ProtocolError => 1002,
            Self::InvalidUtf8 => 1007,
            Self::SlowConsumer => 1008,
            Self::MessageTooBig => 1009,
            Self::TryAgainLater => 1013,
            Self::BadRequest(_) => 4400,
            Self::Unauthorized => 4401,
            Self::Forbidden => 4403,
            Self::SubprotocolNotAcceptable => 4406,
            Self::InitTimeout => 4408,
            Self::SubscriberExists(_) => 4409,
            Self::TooManyInits | Self::TooManyConnections(_) => 4429,
        }
    }

    fn text(self) -> String {
        let text = match self {
            Self::GoingAway => "Going away",
            Self::NoPong => "Pings were not answered",
            Self::ProtocolError => "Protocol error",
            Self::InvalidUtf8 => "Invalid UTF-8",
            Self::SlowConsumer => "Messages were not read in time",
            Self::MessageTooBig => "Message too big",
            Self::TryAgainLater => "Try again later",
            Self::BadRequest(how) => how,
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::SubprotocolNotAcceptable => "Subprotocol not acceptable",
            Self::InitTimeout => "Connection initialisation timeout",
            Self::SubscriberExists(id) => return format!("Subscriber for {id} already exists"),
            Self::TooManyInits => "Too many initialisation requests",
            Self::TooManyConnections(message) => return message,
        };
        text.to_owned()
    }

    pub(super) fn frame(self) -> CloseFrame {
        let (code, mut reason) = (self.code(), self.text());
        reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
        CloseFrame { code: code.into(), reason: reason.into() }
    }
}

impl From<CloseReason> for Ending {
    fn from(reason: CloseReason) -> Self {
        Self::Close(reason)
    }
}

impl From<AuthError> for CloseReason {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::MissingCredential(_) => Self::Unauthorized,
            AuthError::InvalidCredential(_) => Self::Forbidden,
            AuthError::Unavailable => Self::TryAgainLater,
        }
    }
}

impl From<QuotaExceeded> for CloseReason {
    fn from(exceeded: QuotaExceeded) -> Self {
        match exceeded {
            QuotaExceeded::Total => Self::TryAgainLater,
            QuotaExceeded::PerCaller { .. } => Self::TooManyConnections(exceeded.message()),
        }
    }
}

impl From<Error> for Ending {
    fn from(error: Error) -> Self {
        match error {
            Error::Capacity(_) => CloseReason::MessageTooBig.into(),
            // The transport's limit of bytes before authentication.
            Error::Io(error) if error.kind() == io::ErrorKind::QuotaExceeded => {
                CloseReason::MessageTooBig.into()
            }
            Error::Utf8(_) => CloseReason::InvalidUtf8.into(),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Lost,
            Error::Protocol(_) => CloseReason::ProtocolError.into(),
            _ => Self::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_as_many_bytes_as_a_close_frame_may_have_and_whole_characters() {
        for (id, length) in [("1".repeat(256), 123), ("é".repeat(128), 123), ("€".repeat(85), 123)]
        {
            let reason = CloseReason::SubscriberExists(id).frame().reason;

            assert!(reason.len() <= length && reason.len() > length - 4, "{reason}");
        }
    }
}
