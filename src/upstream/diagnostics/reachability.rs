//! Finds out whether an address can be reached, and why not.
//!
//! Sends one request without credentials. A response of any status shows that name, route, certificate and
//! protocol are right, and its `Date` shows the clock skew.

use jiff::SignedDuration;
use reqwest::{Method, Request, Url};
use tokio::time::timeout;

use super::super::credentials::skew;
use super::super::http_client::HttpClient;
use crate::clock::Clock;
use crate::config::UpstreamConfig;
use crate::domain::Diagnostic;
use crate::error_chain::chain;

/// An address from the settings.
pub struct CheckedAddress<'p> {
    /// The service there, such as `the upstream`.
    pub what: &'static str,
    /// The settings that name the address.
    pub setting: String,
    /// The address. Only scheme, host and port are shown.
    pub url: &'p Url,
}

/// The response of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// HTTP status.
    pub status: u16,
    /// How far the clock there is ahead of this machine's; negative if it is behind.
    pub skew: Option<SignedDuration>,
}

/// Calls an address once, with the time limits and certificates of `config`.
///
/// # Errors
/// If there is no response; why.
pub async fn reach(
    address: &CheckedAddress<'_>,
    config: &UpstreamConfig,
    clock: &Clock,
) -> Result<Reached, Diagnostic> {
    let http = HttpClient::new(address.url, config).map_err(|_| {
        let problem = "the certificates that this machine trusts cannot be read";
        Diagnostic::new(problem, "install the package ca-certificates, or set upstream.ca_file")
    })?;
    let within = config.attempt_timeout;
    let request = Request::new(Method::GET, address.url.clone());
    match timeout(within, http.execute(request)).await.map(|sent| sent.response) {
        Ok(Ok(response)) => {
            let skew = skew::between(response.headers(), clock.timestamp());
            Ok(Reached { status: response.status().as_u16(), skew })
        }
        Ok(Err(error)) => Err(address.explain(&error, config)),
        Err(_elapsed) => {
            let CheckedAddress { what, setting, .. } = address;
            let problem =
                format!("{what} at {} gives no answer within {within:?}", address.shown());
            let remedy = format!(
                "check host, port and scheme in {setting}, and the network; a slow service needs a longer \
                 upstream.attempt_timeout"
            );
            Err(Diagnostic::new(problem, remedy))
        }
    }
}

impl CheckedAddress<'_> {
    fn shown(&self) -> String {
        let port = self.url.port_or_known_default().unwrap_or_default();
        format!("{}:{port}", self.url.host_str().unwrap_or_default())
    }

    /// Explains why a request got no response.
    fn explain(&self, error: &reqwest::Error, config: &UpstreamConfig) -> Diagnostic {
        let (address, setting) = (self.shown(), &self.setting);
        let tls: Option<&rustls::Error> = chain(error).find_map(|error| error.downcast_ref());
        // The text of the root cause: outer texts may repeat the address in full.
        let why = tls.map(ToString::to_string).or_else(|| Some(chain(error).last()?.to_string()));
        let why = why.unwrap_or_default();
        if let Some(proxy) = config.proxies.shown_for(self.url).filter(|_| error.is_connect()) {
            return Diagnostic::new(
                format!("{address} cannot be reached through the proxy {proxy}: {why}"),
                "check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, or name the host in NO_PROXY to go \
                 without the proxy",
            );
        }
        match tls {
            Some(rustls::Error::InvalidCertificate(_)) => Diagnostic::new(
                format!("the certificate of {address} is not accepted: {why}"),
                format!(
                    "check the host in {setting} and this machine's clock; for a CA of your own set \
                     upstream.ca_file, and have a certificate renewed that has expired"
                ),
            ),
            Some(_) => Diagnostic::new(
                format!("there is no TLS connection to {address}: {why}"),
                format!(
                    "check host and port in {setting}: TLS 1.2 or 1.3 is needed, and plain HTTP is \
                     written http://"
                ),
            ),
            None if error.is_connect() => Diagnostic::new(
                format!("{address} cannot be connected to: {why}"),
                format!(
                    "check host and port in {setting}, that the service runs, and the DNS, routes and \
                     firewalls on the way; a far one needs a longer upstream.connect_timeout"
                ),
            ),
            None => Diagnostic::new(
                format!("{address} gives no HTTP response: {why}"),
                format!("check host, port and scheme in {setting}, which may be https://"),
            ),
        }
    }
}
