//! HTTP/1.1 byte by byte, for messages that no client library sends.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Far longer than any response takes.
const PATIENCE: Duration = Duration::from_secs(45);

/// A response as it was read from a connection that the server closed afterwards.
#[derive(Debug)]
pub(crate) struct RawResponse {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) json: Value,
}

impl RawResponse {
    /// Sends a whole request before it reads anything, as simple clients do, and reads until the server closes.
    /// The request should have `Connection: close`.
    pub(crate) async fn to(address: SocketAddr, request: &[u8]) -> std::io::Result<Self> {
        Self::over(TcpStream::connect(address).await?, request).await
    }

    /// As `to`, over an open connection.
    pub(crate) async fn over(
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        request: &[u8],
    ) -> std::io::Result<Self> {
        let exchange = async {
            stream.write_all(request).await?;
            let mut response = Vec::new();
            stream.read_to_end(&mut response).await?;
            Ok(Self::parse(&response))
        };
        timeout(PATIENCE, exchange).await.expect("the server never closed the connection")
    }

    fn parse(response: &[u8]) -> Self {
        let text = String::from_utf8_lossy(response);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self {
            status: status.unwrap_or_default(),
            head: head.to_owned(),
            json: serde_json::from_str(body).unwrap_or(Value::Null),
        }
    }

    /// The code of the only error.
    pub(crate) fn code(&self) -> &str {
        self.json["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
    }
}
