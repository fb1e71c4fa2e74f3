//! One exchange with a server: sends a request and reads the response, within limits.
//!
//! The status decides what a response means, and the body of an error only refines it. So an error whose
//! body cannot be read counts as one with an empty body.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::HeaderMap;
use reqwest::{Body, Request, Url};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::content_encoding;
use super::http_client::{HttpClient, Sent};
use super::retry::{chance, wait_before_resend};
use crate::body_limit::{self, BodyError};
use crate::domain::{Failure, TimeLimit, Unreachable, UpstreamAnswer};
use crate::error_chain::chain;

/// The longest time for the body of an error.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// A request that can be sent several times.
pub(super) struct HttpRequest {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A response of any status.
pub(super) struct Answer {
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

/// Why a request got no response.
enum NoResponse {
    /// The server has not begun to process the request.
    NotProcessed,
    Failed(Failure),
}

impl HttpRequest {
    fn to_client_request(&self) -> Request {
        let mut request = Request::new(self.method.clone(), self.url.clone());
        *request.headers_mut() = self.headers.clone();
        if !self.body.is_empty() {
            *request.body_mut() = Some(self.body.clone().into());
        }
        request
    }
}

/// Sends a request and reads the response, within `timeout`.
pub(super) async fn exchange_within(
    client: &HttpClient,
    request: &HttpRequest,
    timeout: Duration,
    max_body_bytes: usize,
) -> Result<Answer, Failure> {
    let deadline = Instant::now() + timeout;
    let limits = ExchangeLimits { timeout, deadline, max_body_bytes };
    let exchanged = timeout_at(deadline, exchange(client, request, limits, || {})).await;
    exchanged.unwrap_or(Err(Failure::TimedOut(TimeLimit::Attempt)))
}

/// Sends a request and reads the response. Sends it again as often as the server has not processed it,
/// until the caller gives up, and calls `on_resend` each time.
pub(super) async fn exchange(
    client: &HttpClient,
    request: &HttpRequest,
    limits: ExchangeLimits,
    on_resend: impl Fn(),
) -> Result<Answer, Failure> {
    let mut resends = 0;
    loop {
        match send(client, request.to_client_request(), limits).await {
            Ok(answer) => return Ok(answer),
            Err(NoResponse::Failed(failure)) => return Err(failure),
            Err(NoResponse::NotProcessed) => {}
        }
        resends += 1;
        on_resend();
        sleep(wait_before_resend(resends, chance())).await;
    }
}

async fn send(
    client: &HttpClient,
    request: Request,
    limits: ExchangeLimits,
) -> Result<Answer, NoResponse> {
    let end = Instant::now() + limits.timeout;
    let sending = timeout_at(end, client.execute(request));
    let Sent { response, on_kept_http_1 } = sending.await.map_err(|_| timed_out())?;
    let response = response.map_err(|error| {
        if was_not_processed(&error, on_kept_http_1) {
            NoResponse::NotProcessed
        } else {
            NoResponse::Failed(no_response(&error))
        }
    })?;
    let (head, body) = http::Response::<Body>::from(response).into_parts();
    let body = if head.status.is_success() {
        let reading = timeout_at(end, read_body(&head, body, limits.max_body_bytes));
        reading.await.map_err(|_| timed_out())??
    } else {
        read_error_body(&head, body, end.min(limits.deadline), limits.max_body_bytes).await
    };
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}

async fn read_body(head: &http::response::Parts, body: Body, max: usize) -> Result<Bytes, Failure> {
    let status = head.status.as_u16();
    let sent = body_limit::read_body(body, max).await.map_err(|error| match error {
        BodyError::TooLarge => {
            malformed(content_encoding::DecodeError::TooLarge { max }.to_string(), status)
        }
        BodyError::Broken => Failure::Unreachable(Unreachable::Cut),
    })?;
    content_encoding::decode(&head.headers, sent, max)
        .map_err(|error| malformed(error.to_string(), status))
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
    content_encoding::decode(&head.headers, sent.clone(), max).unwrap_or(sent)
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

fn timed_out() -> NoResponse {
    NoResponse::Failed(Failure::TimedOut(TimeLimit::Attempt))
}

impl From<Failure> for NoResponse {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A success with an unexpected content; `problem` is a clause.
pub(super) fn malformed(problem: impl Into<String>, status: u16) -> Failure {
    let answer = UpstreamAnswer { status, ..UpstreamAnswer::default() };
    Failure::Malformed { problem: problem.into(), answer: answer.into() }
}
