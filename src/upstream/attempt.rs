//! One exchange with a server: sends a request and reads the response, within limits.
//!
//! The status decides what a response means, and the body of an error only refines it. So an error whose
//! body cannot be read counts as one with an empty body.

use std::error::Error;
use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::header::{CONTENT_ENCODING, HeaderMap};
use prometheus_client::metrics::counter::Counter;
use reqwest::{Body, Request};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::http_client::{HttpClient, Sent};
use super::retry::{chance, wait_before_resend};
use crate::body_limit::{self, BodyError};
use crate::domain::{Failure, TimeLimit, Unreachable, UpstreamAnswer};
use crate::error_chain::chain;

/// The longest time for the body of an error.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// A response of any status.
pub(super) struct HttpResponse {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// Decompressed.
    pub(super) body: Bytes,
}

/// The limits of an exchange.
#[derive(Clone, Copy)]
pub(super) struct ExchangeLimits {
    /// From sending the request to the end of the body.
    pub(super) timeout: Duration,
    /// When the caller gives up. Only the reading of an error's body ends before.
    pub(super) deadline: Instant,
    /// Bytes of the body, both as sent and decompressed.
    pub(super) max_body_bytes: usize,
}

/// Sends the request that `request` makes and reads the response, within `timeout`.
pub(super) async fn exchange_within(
    client: &HttpClient,
    request: impl Fn() -> Request,
    timeout: Duration,
    max_body_bytes: usize,
) -> Result<HttpResponse, Failure> {
    let deadline = Instant::now() + timeout;
    let limits = ExchangeLimits { timeout, deadline, max_body_bytes };
    let (make, resends) = (|| Ok(request()), Counter::default());
    let exchanged = timeout_at(deadline, exchange(client, request(), make, limits, &resends)).await;
    exchanged.unwrap_or(Err(Failure::TimedOut(TimeLimit::Attempt)))
}

/// Sends a request and reads the response. Sends the one that `again` makes as often as the server has
/// not processed it, until the caller gives up, and counts each time in `resent`.
pub(super) async fn exchange(
    client: &HttpClient,
    mut request: Request,
    again: impl Fn() -> Result<Request, Failure>,
    limits: ExchangeLimits,
    resent: &Counter,
) -> Result<HttpResponse, Failure> {
    let mut resends = 0;
    loop {
        let end = Instant::now() + limits.timeout;
        let sent = timeout_at(end, send(client, request, limits, end)).await;
        if let Some(response) = sent.unwrap_or(Err(Failure::TimedOut(TimeLimit::Attempt)))? {
            return Ok(response);
        }
        resends += 1;
        resent.inc();
        sleep(wait_before_resend(resends, chance())).await;
        request = again()?;
    }
}

/// Sends a request once and reads the response; `None` if the server has not processed it.
async fn send(
    client: &HttpClient,
    request: Request,
    limits: ExchangeLimits,
    end: Instant,
) -> Result<Option<HttpResponse>, Failure> {
    let Sent { response, on_kept_http_1 } = client.execute(request).await;
    let response: http::Response<Body> = match response {
        Ok(response) => response.into(),
        Err(error) if was_not_processed(&error, on_kept_http_1) => return Ok(None),
        Err(error) => return Err(no_response(&error)),
    };
    let (head, body) = response.into_parts();
    let body = if head.status.is_success() {
        read_body(&head, body, limits.max_body_bytes).await?
    } else {
        let end = end.min(limits.deadline);
        // Boxed, so that the usual case stays small.
        Box::pin(read_error_body(&head, body, end, limits.max_body_bytes)).await
    };
    Ok(Some(HttpResponse { status: head.status.as_u16(), headers: head.headers, body }))
}

async fn read_body(head: &http::response::Parts, body: Body, max: usize) -> Result<Bytes, Failure> {
    let malformed = |problem| malformed(problem, head.status.as_u16());
    match body_limit::read_body(body, max).await {
        Ok(sent) => decode(&head.headers, sent, max).map_err(malformed),
        Err(BodyError::TooLarge) => Err(malformed(too_large(max))),
        Err(BodyError::Broken) => Err(Failure::Unreachable(Unreachable::Cut)),
    }
}

/// Takes at most half of the remaining time, so that the status is known before the time is up.
async fn read_error_body(
    head: &http::response::Parts,
    body: Body,
    end: Instant,
    max: usize,
) -> Bytes {
    let left = end.saturating_duration_since(Instant::now());
    let reading = timeout(ERROR_BODY_TIMEOUT.min(left / 2), body_limit::read_body(body, max));
    let Ok(Ok(sent)) = reading.await else { return Bytes::new() };
    // Some servers claim a compression that the body does not have.
    decode(&head.headers, sent.clone(), max).unwrap_or(sent)
}

/// Decompresses a body as its headers say, up to `max` bytes. The error is a clause.
fn decode(headers: &HeaderMap, mut body: Bytes, max: usize) -> Result<Bytes, String> {
    const UNKNOWN: &str = "is in a coding that was not asked for: gzip and deflate are accepted";
    if body.is_empty() {
        return Ok(body);
    }
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        codings.extend(value.to_str().map_err(|_| UNKNOWN)?.split(','));
    }
    // The last coding was applied last.
    for coding in codings.into_iter().rev() {
        body = match coding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => body,
            "gzip" | "x-gzip" => decompress(MultiGzDecoder::new(&*body), max)?,
            "deflate" if has_zlib_header(&body) => decompress(ZlibDecoder::new(&*body), max)?,
            "deflate" => decompress(DeflateDecoder::new(&*body), max)?,
            _ => return Err(UNKNOWN.to_owned()),
        };
    }
    Ok(body)
}

/// `deflate` means the zlib format (RFC 9110), but some servers send the compressed data without it.
fn has_zlib_header(body: &[u8]) -> bool {
    matches!(body, [method, flags, ..]
        if method & 0x0F == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
}

fn decompress(decoder: impl Read, max: usize) -> Result<Bytes, String> {
    let mut body = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(limit).read_to_end(&mut body).map_err(|_| "cannot be decompressed")?;
    if body.len() > max { Err(too_large(max)) } else { Ok(Bytes::from(body)) }
}

fn too_large(max: usize) -> String {
    format!("is larger than {max} bytes")
}

/// Whether the server cannot have begun to process a request, so that it may be sent again.
fn was_not_processed(error: &reqwest::Error, on_kept_http_1: bool) -> bool {
    if error.is_connect() || error.is_timeout() {
        return false;
    }
    if let Some(error) = chain(error).find_map(|error| error.downcast_ref::<h2::Error>()) {
        // A stream fails with the GOAWAY only if it comes after the last one that the server processes.
        let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        return error.is_remote() && (error.is_go_away() || is_refused);
    }
    // A connection of HTTP/2 ended while the client still held the request back.
    if chain(error).filter_map(|error| error.downcast_ref()).any(hyper::Error::is_user) {
        return true;
    }
    // A server may close an idle HTTP/1.1 connection while a request is on its way to it.
    on_kept_http_1 && chain(error).any(is_closed_connection)
}

fn is_closed_connection(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let is_closed = |error: &io::Error| {
        matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
    };
    error.downcast_ref().is_some_and(is_closed)
        || error.downcast_ref().is_some_and(hyper::Error::is_incomplete_message)
}

fn no_response(error: &reqwest::Error) -> Failure {
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => Failure::TimedOut(TimeLimit::Connect),
        (true, false) => Failure::Unreachable(Unreachable::Connect),
        (false, true) => Failure::TimedOut(TimeLimit::Attempt),
        (false, false) => Failure::Unreachable(Unreachable::Cut),
    }
}

/// A success with an unexpected content; `problem` is a clause.
pub(crate) fn malformed(problem: impl Into<String>, status: u16) -> Failure {
    let answer = UpstreamAnswer { status, ..UpstreamAnswer::default() };
    Failure::Malformed { problem: problem.into(), answer: answer.into() }
}
