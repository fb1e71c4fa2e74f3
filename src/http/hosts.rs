//! Which hosts a listener answers for.
//!
//! A listener on a loopback address is for the programs of this machine, and a browser is one of them: a page
//! on the web that has its own name resolve to 127.0.0.1 reads answers from there as if they were its own
//! (DNS rebinding). Such a request names the page's host, so where being on this machine is all that is
//! asked of a caller, no host but this machine is answered for.

use std::net::{IpAddr, SocketAddr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;

use super::browsers;
use super::listener::Serve;
use super::refusal::Refusal;
use crate::config::Live;
use crate::graphql::ErrorCode;

/// The hosts that are answered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// Every one.
    Every,
    /// `localhost`, names below it, and loopback addresses.
    ThisMachine,
}

/// A service that answers for some hosts only.
#[derive(Clone)]
pub struct ForHosts<S> {
    hosts: Live<Hosts>,
    service: S,
}

impl Hosts {
    /// This machine alone where being on it is enough to be let in, else every host.
    pub fn this_machine_if(being_here_is_enough: bool) -> Self {
        if being_here_is_enough { Self::ThisMachine } else { Self::Every }
    }
}

impl<S: Serve> ForHosts<S> {
    /// Lets requests for these hosts through to a service.
    pub fn new(hosts: Live<Hosts>, service: S) -> Self {
        Self { hosts, service }
    }

    /// Lets a request through, by the hosts that it names.
    fn admit(&self, headers: &HeaderMap, authority: Option<&Authority>) -> Result<(), Refusal> {
        match **self.hosts.load() {
            Hosts::Every => Ok(()),
            Hosts::ThisMachine => check(headers, authority),
        }
    }
}

impl<S: Serve> Serve for ForHosts<S> {
    async fn serve(&self, peer: SocketAddr, request: Request<Incoming>) -> Response {
        if let Err(refusal) = self.admit(request.headers(), request.uri().authority()) {
            let mut response = refusal.into_response();
            browsers::secure(response.headers_mut());
            return response;
        }
        self.service.serve(peer, request).await
    }
}

/// Refuses a request for another host. One that names none was not sent by a browser.
fn check(headers: &HeaderMap, authority: Option<&Authority>) -> Result<(), Refusal> {
    let named =
        headers.get_all(header::HOST).iter().map(|value| value.to_str().unwrap_or_default());
    if named.chain(authority.map(Authority::as_str)).all(is_this_machine) {
        return Ok(());
    }
    let message = "this listener answers for localhost and loopback addresses only, as it is open to \
                   every program of this machine";
    Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, ErrorCode::BadRequest, message))
}

fn is_this_machine(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
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
    use axum::http::Uri;

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
            ("user@page.example", false),
            ("", false),
        ] {
            assert_eq!(is_this_machine(host), is_own, "of {host:?}");
        }
    }

    #[test]
    fn every_host_that_a_request_names_has_to_be_this_machine() {
        let of = |hosts: &[&str], uri: &str| {
            let host = |host: &&str| (header::HOST, host.parse().unwrap());
            let headers: HeaderMap = hosts.iter().map(host).collect();
            check(&headers, uri.parse::<Uri>().unwrap().authority()).is_ok()
        };

        assert!(of(&[], "/graphql"));
        assert!(of(&["localhost"], "http://127.0.0.1/graphql"));
        assert!(!of(&["localhost", "page.example"], "/graphql"));
        assert!(!of(&["localhost"], "http://page.example/graphql"));
    }
}
