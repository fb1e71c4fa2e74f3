//! Refuses requests that break HTTP's rules, before any handler sees them.
//!
//! Against DNS rebinding, a listener that trusts every program of this machine answers only requests for this
//! machine's names. A page on the web whose name resolves to 127.0.0.1 could read answers otherwise, but its
//! requests name the page's host.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Version, header};
use axum::response::{IntoResponse as _, Response};

use super::header_fields;
use super::refusal::Refusal;
use super::security_headers;
use crate::domain::ErrorCode;

/// The hosts that a listener answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// Every host.
    Every,
    /// `localhost`, names below it, and loopback addresses.
    ThisMachine,
}

impl Hosts {
    /// This machine alone if every program on it is accepted, else every host.
    pub fn this_machine_if(being_here_is_enough: bool) -> Self {
        if being_here_is_enough { Self::ThisMachine } else { Self::Every }
    }

    fn check(self, host: &Authority) -> Result<(), Refusal> {
        if self == Self::Every || is_this_machine(host) {
            return Ok(());
        }
        let message = "this listener answers for localhost and loopback addresses only, as it is open to \
                       every program of this machine";
        Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, ErrorCode::BadRequest, message))
    }
}

/// The answer to a request that breaks a rule.
pub(crate) fn refuse<B>(request: &Request<B>, hosts: Hosts) -> Option<Response> {
    let mut response = check(request, hosts).err()?.into_response();
    security_headers::secure(response.headers_mut());
    Some(response)
}

fn check<B>(request: &Request<B>, hosts: Hosts) -> Result<(), Refusal> {
    check_transfer_coding(request.headers())?;
    check_origin(request.headers())?;
    if let Some(host) = host_header(request)? {
        hosts.check(&host)?;
    }
    if let Some(target) = request.uri().authority() {
        hosts.check(&parse_host(target.as_str()).ok_or_else(|| {
            Refusal::bad_request("the request's target has to name a host and at most a port")
        })?)?;
    }
    Ok(())
}

/// hyper reads a body whose last transfer coding is `chunked`. Any coding below that would reach the handlers
/// undecoded (RFC 9112, section 6.1).
fn check_transfer_coding(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut values = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    match (values.next(), values.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if is_chunked(only) => Ok(()),
        _ => {
            let message = "the only transfer coding that is implemented is chunked";
            Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, ErrorCode::BadRequest, message))
        }
    }
}

/// CORS and the CSRF check read one origin. A second one would be checked by neither.
fn check_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    match header_fields::single(headers, &header::ORIGIN)? {
        Some(origin) if origin.to_str().is_err() => {
            Err(Refusal::bad_request("the header Origin has to be ASCII"))
        }
        Some(_) | None => Ok(()),
    }
}

/// HTTP/1.1 needs a valid `Host` exactly once (RFC 9112, section 3.2). In HTTP/1.0 and HTTP/2 there may be none:
/// browsers always send one.
fn host_header<B>(request: &Request<B>) -> Result<Option<Authority>, Refusal> {
    let Some(value) = header_fields::single(request.headers(), &header::HOST)? else {
        if request.version() == Version::HTTP_11 {
            return Err(Refusal::bad_request("the header Host is missing"));
        }
        return Ok(None);
    };
    let host = value.to_str().ok().and_then(parse_host);
    let message = "the header Host has to be a host name or an address, and at most a port";
    host.ok_or_else(|| Refusal::bad_request(message)).map(Some)
}

/// A host with or without a port. User information is no part of it.
fn parse_host(text: &str) -> Option<Authority> {
    let authority: Authority = text.parse().ok()?;
    let host = authority.host();
    let port = text.strip_prefix(host)?;
    let is_port = match port.strip_prefix(':') {
        Some("") | None => port.len() < 2,
        Some(digits) => {
            digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        }
    };
    (!host.is_empty() && is_port).then_some(authority)
}

fn is_this_machine(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = address.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let name = host.to_ascii_lowercase();
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_answered_for() {
        for (host, is_own) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("gateway.localhost.", true),
            ("127.0.0.1:8080", true),
            ("127.9.9.9", true),
            ("[::1]:8080", true),
            ("[::ffff:127.0.0.1]", true),
            ("page.example:8080", false),
            ("localhost.page.example", false),
            ("notlocalhost", false),
            ("127.0.0.1.page.example", false),
            ("10.0.0.1", false),
            ("0.0.0.0:8080", false),
        ] {
            let host = parse_host(host).unwrap();

            assert_eq!(is_this_machine(&host), is_own, "of {host:?}");
        }
    }
}
