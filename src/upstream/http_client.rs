//! The HTTP clients: limits of connections, trusted certificates, proxies.

use std::time::Duration;

use http::header::{ACCEPT_ENCODING, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Url, retry};

use super::coding;
use super::connecting::Connecting;
use crate::config::UpstreamConfig;

/// Idle connections are kept this long: less than servers commonly keep theirs.
const POOL_IDLE: Duration = Duration::from_secs(55);
const AGENT: &str = concat!("screen-record-gateway/", env!("CARGO_PKG_VERSION"));

/// What every client here begins with.
pub(super) fn client_builder() -> ClientBuilder {
    // Fails only when a provider has been installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, coding::ACCEPTED)]);
    Client::builder()
        .default_headers(headers)
        .user_agent(AGENT)
        // The credentials would travel with a redirect.
        .redirect(Policy::none())
        .referer(false)
        // `exchange` sends a request again where that is safe, and knows when to stop. Without
        // a retry, the client need not copy each request.
        .retry(retry::never().max_retries_per_request(0))
        .pool_idle_timeout(POOL_IDLE)
        .connector_layer(Connecting::default())
}

/// A client for one address.
pub(super) fn http_client(address: &Url, config: &UpstreamConfig) -> reqwest::Result<Client> {
    let builder = client_builder().connect_timeout(config.connect_timeout);
    let builder = config.proxies.apply(builder, address)?;
    let builder = if address.scheme() == "http" {
        // Nothing will be verified, so a machine without root certificates will do.
        builder.tls_certs_only([])
    } else if config.ca_certificates.is_empty() {
        builder
    } else {
        builder.tls_certs_merge(ca_certificates(config)?)
    };
    builder.build()
}

/// The certificates of `upstream.ca_file`.
pub(super) fn ca_certificates(config: &UpstreamConfig) -> reqwest::Result<Vec<Certificate>> {
    config.ca_certificates.iter().map(|certificate| Certificate::from_der(certificate)).collect()
}
