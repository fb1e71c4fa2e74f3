//! A client that speaks `graphql-transport-ws`.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Gateway;

/// A socket, over TCP or over TLS.
pub(crate) struct Socket(WebSocketStream<Box<dyn Stream>>);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A message of the gateway.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    Message(Value),
    /// A close, with a code and a reason.
    Closed(u16, String),
}

impl Socket {
    /// Opens a socket, or returns the HTTP status of the refusal.
    pub(crate) async fn open(gateway: &Gateway, headers: &[(&str, &str)]) -> Result<Self, u16> {
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        Self::over(stream, gateway, headers).await
    }

    /// As `open`, over an open connection.
    pub(crate) async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        gateway: &Gateway,
        headers: &[(&str, &str)],
    ) -> Result<Self, u16> {
        let mut request =
            format!("ws://{}/graphql", gateway.address).into_client_request().unwrap();
        let protocol = [("sec-websocket-protocol", "graphql-transport-ws")];
        for (name, value) in protocol.iter().chain(headers) {
            let (name, value): (HeaderName, HeaderValue) =
                (name.parse().unwrap(), value.parse().unwrap());
            request.headers_mut().insert(name, value);
        }
        let stream: Box<dyn Stream> = Box::new(stream);
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => unreachable!("no answer: {error}"),
        }
    }

    /// Opens a socket with a payload in its first message, and returns the reply.
    pub(crate) async fn showing(gateway: &Gateway, payload: Value) -> (Self, Said) {
        let mut socket = Self::open(gateway, &[]).await.unwrap();
        socket.say(json!({ "type": "connection_init", "payload": payload })).await;
        let said = socket.hear().await;
        (socket, said)
    }

    pub(crate) async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    pub(crate) async fn subscribe(&mut self, id: &str, document: &str) {
        self.say(json!({ "type": "subscribe", "id": id, "payload": { "query": document } })).await;
    }

    /// The next message except pings.
    pub(crate) async fn hear(&mut self) -> Said {
        loop {
            match self.0.next().await.unwrap().unwrap() {
                Message::Text(text) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["type"] != "ping" {
                        return Said::Message(message);
                    }
                }
                Message::Close(frame) => {
                    let frame = frame.unwrap();
                    return Said::Closed(frame.code.into(), frame.reason.to_string());
                }
                _ => {}
            }
        }
    }
}

impl Said {
    pub(crate) fn json(&self) -> &Value {
        match self {
            Self::Message(message) => message,
            Self::Closed(code, reason) => unreachable!("closed with {code}: {reason}"),
        }
    }
}
