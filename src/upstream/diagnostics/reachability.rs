//! Finds out whether an address can be reached, and why not.
//!
//! Sends one request without credentials. A response of any status shows that name, route, certificate and
//! protocol are right, and its `Date` shows the clock skew.

use std::error::Error;
use std::io;
use std::time::Duration;

use jiff::SignedDuration;
use reqwest::{Method, Request, Url};
use rustls::CertificateError;
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
        Ok(Err(error)) => Err(address.explain(&error, config).await),
        Err(_elapsed) => Err(address.does_not_answer(within)),
    }
}

impl CheckedAddress<'_> {
    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    fn address(&self) -> String {
        let port = self.url.port_or_known_default().unwrap_or_default();
        format!("{}:{port}", self.host())
    }

    fn does_not_answer(&self, within: Duration) -> Diagnostic {
        let (what, address) = (self.what, self.address());
        Diagnostic::new(
            format!("{what} at {address} takes connections but gives no answer within {within:?}"),
            format!(
                "check host, port and scheme in {}, and what stands between here and there; a slow \
                 one needs a longer upstream.attempt_timeout",
                self.setting
            ),
        )
    }

    /// Explains why a request got no response.
    async fn explain(&self, error: &reqwest::Error, config: &UpstreamConfig) -> Diagnostic {
        if let Some(proxy) = config.proxies.shown_for(self.url).filter(|_| error.is_connect()) {
            let why = tls_error(error).map_or_else(|| innermost(error), ToString::to_string);
            return Diagnostic::new(
                format!("{} cannot be reached through the proxy {proxy}: {why}", self.address()),
                "check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, or name the host in NO_PROXY to go \
                 without the proxy",
            );
        }
        if let Some(error) = tls_error(error) {
            return self.explain_tls(error);
        }
        if error.is_timeout() && error.is_connect() {
            return self.takes_no_connection(config.connect_timeout);
        }
        if error.is_timeout() {
            return self.does_not_answer(config.attempt_timeout);
        }
        if !error.is_connect() {
            return self.hangs_up();
        }
        if self.is_nameless().await {
            return self.has_no_such_name();
        }
        self.explain_connection(error)
    }

    async fn is_nameless(&self) -> bool {
        tokio::net::lookup_host(self.address()).await.is_err()
    }

    fn has_no_such_name(&self) -> Diagnostic {
        Diagnostic::new(
            format!("the name {} cannot be resolved", self.host()),
            format!("check the spelling of {}, and the DNS of this machine", self.setting),
        )
    }

    fn takes_no_connection(&self, within: Duration) -> Diagnostic {
        Diagnostic::new(
            format!("{} does not take a connection within {within:?}", self.address()),
            format!(
                "check host and port in {}, and firewalls, routes and security groups on the way; \
                 a far one needs a longer upstream.connect_timeout",
                self.setting
            ),
        )
    }

    fn hangs_up(&self) -> Diagnostic {
        let other = if self.url.scheme() == "https" { "http" } else { "https" };
        Diagnostic::new(
            format!("{} closes the connection without an answer", self.address()),
            format!("check host, port and scheme in {}: it may be {other}://", self.setting),
        )
    }

    fn explain_connection(&self, error: &reqwest::Error) -> Diagnostic {
        let address = self.address();
        match io_error(error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => Diagnostic::new(
                format!("{address} refuses connections"),
                format!("check host and port in {}, and that the service runs", self.setting),
            ),
            Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => {
                Diagnostic::new(
                    format!("there is no route to {address}"),
                    "check the network of this machine, its routes and its default gateway",
                )
            }
            Some(_) | None => Diagnostic::new(
                format!("{address} cannot be connected to: {}", innermost(error)),
                format!("check host, port and scheme in {}, and the network", self.setting),
            ),
        }
    }

    fn explain_tls(&self, error: &rustls::Error) -> Diagnostic {
        let (address, setting) = (self.address(), &self.setting);
        match error {
            rustls::Error::InvalidCertificate(why) => self.explain_certificate(why),
            rustls::Error::InvalidMessage(_) => Diagnostic::new(
                format!("{address} does not speak TLS"),
                format!("check host and port in {setting}; plain HTTP is written http://"),
            ),
            other => Diagnostic::new(
                format!("no TLS connection to {address} comes about: {other}"),
                format!("check host and port in {setting}: TLS 1.2 or 1.3 is needed"),
            ),
        }
    }

    fn explain_certificate(&self, why: &CertificateError) -> Diagnostic {
        use CertificateError as E;
        let other_names = format!("is for other names than {}", self.host());
        let not_accepted = format!("cannot be accepted: {why}");
        let use_its_name = format!("write one of the names that it is for into {}", self.setting);
        let (problem, remedy) = match why {
            E::UnknownIssuer | E::BadSignature => (
                "is signed by no CA that this machine trusts",
                "set upstream.ca_file to the certificate of the CA that signed it, or add that to the \
                 system's own",
            ),
            E::Expired | E::ExpiredContext { .. } => (
                "has expired",
                "have it renewed; if it is a new one, set the clock of this machine",
            ),
            E::NotValidYet | E::NotValidYetContext { .. } => (
                "is not valid yet",
                "set the clock of this machine; if it is right, have another one issued",
            ),
            E::NotValidForName | E::NotValidForNameContext { .. } => {
                (other_names.as_str(), use_its_name.as_str())
            }
            _ => (not_accepted.as_str(), "have another one issued"),
        };
        let address = self.address();
        Diagnostic::new(format!("the certificate that {address} shows {problem}"), remedy)
    }
}

fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    chain(error).find_map(|error| error.downcast_ref())
}

fn io_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e io::Error> {
    chain(error).filter_map(|error| error.downcast_ref()).last()
}

/// The text of the root cause. Outer texts may repeat the address in full.
fn innermost(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(url: &str, error: rustls::Error) -> Diagnostic {
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
        let url = url.parse().unwrap();
        let address = CheckedAddress {
            what: "the upstream",
            setting: "upstream.endpoint".to_owned(),
            url: &url,
        };
        address.explain_tls(tls_error(&wrapped).unwrap())
    }

    #[test]
    fn a_certificate_that_is_not_accepted_is_told_by_what_is_wrong_with_it() {
        for (why, problem, remedy) in [
            (CertificateError::UnknownIssuer, "no CA that this machine trusts", "upstream.ca_file"),
            (CertificateError::Expired, "has expired", "renewed"),
            (CertificateError::NotValidYet, "not valid yet", "clock"),
            (CertificateError::NotValidForName, "other names than a.example", "upstream.endpoint"),
            (CertificateError::BadEncoding, "cannot be accepted", "issued"),
        ] {
            let diagnostic =
                found("https://a.example/x?secret=1", rustls::Error::InvalidCertificate(why));

            assert!(diagnostic.problem.contains(problem), "{diagnostic}");
            assert!(diagnostic.problem.contains("a.example:443"), "{diagnostic}");
            assert!(diagnostic.remedy.contains(remedy), "{diagnostic}");
            assert!(!diagnostic.to_string().contains("secret"), "{diagnostic}");
        }
    }

    #[test]
    fn a_server_that_speaks_something_else_is_told_as_that() {
        let error = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);

        let diagnostic = found("https://a.example:8080", error);

        assert_eq!(diagnostic.problem, "a.example:8080 does not speak TLS");
    }
}
