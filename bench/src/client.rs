//! A client that costs next to nothing: bytes out, a status and a body back. It knows HTTP/1.1 with
//! `Content-Length` on connections that stay open, which is what all servers here speak.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that stays open.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// An answer, in the connection's buffer.
pub struct Answer<'b> {
    /// The HTTP status.
    pub status: u16,
    /// Status line and headers.
    pub head: &'b [u8],
    /// The body.
    pub body: &'b [u8],
}

impl Connection {
    /// Connects.
    pub async fn to(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 16 * 1024], filled: 0 })
    }

    /// Sends a request and waits for its answer.
    pub async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.filled = 0;
        let head = loop {
            self.read().await?;
            if let Some(end) = memmem::find(self.bytes(), b"\r\n\r\n") {
                break end + 4;
            }
        };
        let (status, length) = read_head(self.bytes().get(..head).unwrap_or_default())?;
        while self.filled < head + length {
            self.read().await?;
        }
        if self.filled > head + length {
            bail!("more came than one answer");
        }
        let (head, body) = self.bytes().split_at(head);
        Ok(Answer { status, head, body })
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let free = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let read = self.stream.read(free).await?;
        if read == 0 {
            bail!("the server closed the connection");
        }
        self.filled += read;
        Ok(())
    }
}

impl Answer<'_> {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<String> {
        let head = String::from_utf8_lossy(self.head);
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        Some(value.trim().to_owned())
    }
}

fn read_head(head: &[u8]) -> anyhow::Result<(u16, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    if !response.parse(head)?.is_complete() {
        bail!("the answer's head is not complete");
    }
    let status = response.code.context("the answer has no status")?;
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok())
        .context("the answer has no Content-Length")?;
    Ok((status, length))
}

/// Sends one request by a connection of its own; the body of an answer with status 200.
pub async fn fetch(address: SocketAddr, request: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut connection = Connection::to(address).await?;
    let answer = connection.ask(request).await?;
    if answer.status != 200 {
        bail!("status {}: {}", answer.status, String::from_utf8_lossy(answer.body));
    }
    Ok(answer.body.to_vec())
}
