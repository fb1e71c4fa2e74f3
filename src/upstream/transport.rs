//! How a request gets to the upstream and its answer back.
//!
//! Straight to the upstream, calls are made by the client that reqwest is built on, hyper-util's: reqwest
//! reads each address twice more for redirects, which are never followed here, and for the answer's, which
//! nobody asks for, and that was a third of what a miss cost. Through a proxy, which has ways of its
//! own, they are made by reqwest. Both have the same limits, headers, codings and trusted certificates.
//!
//! Proxies: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are honoured as by curl, except for an
//! upstream on a loopback address, which is always called directly. Redirects are never followed:
//! the credentials would travel with them.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue, USER_AGENT};
use http::uri::{InvalidUri, Uri};
use http_body_util::Full;
use hyper::body::Body as HttpBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Url};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use tower::Service;
use tower::timeout::Timeout;
use tower::timeout::error::Elapsed;
use tower::timeout::future::ResponseFuture;
use tower::util::MapFuture;
use tower_http::decompression::Decompression;

use super::client::malformed;
use crate::body_limit::{BodyError, read_body};
use crate::config::UpstreamConfig;
use crate::domain::{Failure, TimeLimit, Unreachable};
use crate::error_chain::chain;

/// Idle connections are kept this long: less than servers commonly keep theirs.
const POOL_IDLE: Duration = Duration::from_secs(55);
/// Connections that say nothing are asked whether they are there as often as by reqwest, and given up
/// like there.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
const AGENT: &str = concat!("screen-record-gateway/", env!("CARGO_PKG_VERSION"));

type BoxError = Box<dyn StdError + Send + Sync>;
type Connecting = ResponseFuture<<HttpsConnector<HttpConnector> as Service<Uri>>::Future>;
/// With the handshake of TLS within the time limit, and boxed as the client wants it.
type Connector =
    MapFuture<Timeout<HttpsConnector<HttpConnector>>, fn(Connecting) -> Pin<Box<Connecting>>>;
type Straight = HyperClient<Connector, Full<Bytes>>;

/// A client for the upstream. Clones share its connections.
#[derive(Clone)]
pub(super) enum Transport {
    /// To the upstream itself.
    Straight(Box<Straight>),
    /// Through a proxy.
    Proxied(Client),
}

/// An answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there can be no client for the upstream.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// One for calls through a proxy, or of credentials, cannot be set up.
    #[error(transparent)]
    Client(#[from] reqwest::Error),
    /// The address cannot be called.
    #[error("upstream.endpoint cannot be called")]
    Address(#[source] InvalidUri),
    /// The certificates that this machine trusts, or those of `upstream.ca_file`, cannot be used.
    #[error("the trusted certificates cannot be used")]
    Trust(#[from] rustls::Error),
}

impl Transport {
    /// A client for the configured upstream. Connects to nothing yet.
    pub(super) fn new(config: &UpstreamConfig) -> Result<Self, TransportError> {
        if proxy_of(&config.endpoint).is_some() {
            return Ok(Self::Proxied(http_client(&config.endpoint, config)?));
        }
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        // Of several addresses of one name, each gets a share of the time.
        connector.set_connect_timeout(Some(config.connect_timeout));
        connector.set_keepalive(Some(KEEPALIVE));
        connector.set_keepalive_interval(Some(KEEPALIVE));
        connector.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
        #[cfg(target_os = "linux")]
        connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(config)?)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(connector);
        let connector = Timeout::new(connector, config.connect_timeout);
        let client = HyperClient::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .build(MapFuture::new(connector, Box::pin as fn(_) -> _));
        Ok(Self::Straight(Box::new(client)))
    }

    /// Sends a request and takes in the answer, of whose body no more than `most` bytes are allowed, as
    /// counted after decompression.
    pub(super) async fn send(
        &self,
        mut request: http::Request<Bytes>,
        most: usize,
    ) -> Result<Answer, Failure> {
        match self {
            Self::Straight(client) => {
                request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
                // A client of hyper's is always ready.
                let sent = Decompression::new(&**client).call(request.map(Full::new)).await;
                let response = sent.map_err(|error| unanswered(&error, error.is_connect()))?;
                taken_in(response, most).await
            }
            Self::Proxied(client) => {
                let request = reqwest::Request::try_from(request).map_err(|e| no_answer(&e))?;
                let response = client.execute(request).await.map_err(|e| no_answer(&e))?;
                taken_in(http::Response::<reqwest::Body>::from(response), most).await
            }
        }
    }
}

async fn taken_in<B>(response: http::Response<B>, most: usize) -> Result<Answer, Failure>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
{
    let (head, body) = response.into_parts();
    let status = head.status.as_u16();
    let body = read_body(body, most).await.map_err(|error| match error {
        BodyError::TooLarge => malformed(format!("is larger than {most} bytes"), status),
        BodyError::Broken(error) => broken_body(&*error.into(), status),
    })?;
    Ok(Answer { status, headers: head.headers, body })
}

/// The certificates that the upstream is trusted by: this machine's and those of `upstream.ca_file`.
fn tls(config: &UpstreamConfig) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    if config.endpoint.scheme() == "http" {
        // Nothing will be verified, so a machine without root certificates will do.
        let nobody = RootCertStore::empty();
        return Ok(builder.with_root_certificates(nobody).with_no_client_auth());
    }
    let own = config.ca_certificates.iter().cloned();
    let verifier = Verifier::new_with_extra_roots(own, provider)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(builder.with_no_client_auth())
}

/// What every client of reqwest's here begins with.
pub(super) fn client_builder() -> ClientBuilder {
    // Fails only when a provider has been installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().redirect(Policy::none())
}

/// A client of reqwest's for one address.
pub(super) fn http_client(
    endpoint: &Url,
    config: &UpstreamConfig,
) -> Result<Client, reqwest::Error> {
    let mut builder = client_builder()
        .referer(false)
        .connect_timeout(config.connect_timeout)
        .pool_idle_timeout(POOL_IDLE)
        .user_agent(AGENT);
    if is_loopback(endpoint) {
        builder = builder.no_proxy();
    }
    if endpoint.scheme() == "http" {
        // Nothing will be verified, so a machine without root certificates will do.
        builder = builder.tls_certs_only([]);
    } else if !config.ca_certificates.is_empty() {
        builder = builder.tls_certs_merge(ca_certificates(config)?);
    }
    builder.build()
}

/// What `upstream.ca_file` holds.
pub(super) fn ca_certificates(config: &UpstreamConfig) -> Result<Vec<Certificate>, reqwest::Error> {
    config.ca_certificates.iter().map(|certificate| Certificate::from_der(certificate)).collect()
}

/// The proxy that calls to an address go through, without what it is logged in to with.
pub(super) fn proxy_of(url: &Url) -> Option<String> {
    if is_loopback(url) {
        return None;
    }
    let intercept = Matcher::from_env().intercept(&url.as_str().parse().ok()?)?;
    let proxy = intercept.uri();
    let authority = proxy.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    Some(format!("{}://{host}", proxy.scheme_str().unwrap_or("http")))
}

pub(super) fn is_loopback(endpoint: &Url) -> bool {
    match endpoint.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

pub(super) fn no_answer(error: &reqwest::Error) -> Failure {
    unanswered(error, error.is_connect())
}

/// Why a request got no answer, which it did before it was sent or afterwards.
fn unanswered(error: &(dyn StdError + 'static), on_connecting: bool) -> Failure {
    match (on_connecting, chain(error).any(is_timeout)) {
        (true, true) => Failure::TimedOut(TimeLimit::Connect),
        (true, false) => Failure::Unreachable(Unreachable::Connect),
        (false, true) => Failure::TimedOut(TimeLimit::Attempt),
        (false, false) => Failure::Unreachable(Unreachable::Cut),
    }
}

fn is_timeout(error: &(dyn StdError + 'static)) -> bool {
    let is_slow = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    error.is::<Elapsed>()
        || error.downcast_ref().is_some_and(is_slow)
        || error.downcast_ref().is_some_and(hyper::Error::is_timeout)
        || error.downcast_ref().is_some_and(reqwest::Error::is_timeout)
}

/// A body that broke off, or that does not decompress.
fn broken_body(error: &(dyn StdError + 'static), status: u16) -> Failure {
    if chain(error).any(<dyn StdError>::is::<hyper::Error>) {
        return Failure::Unreachable(Unreachable::Cut);
    }
    malformed("cannot be decompressed".to_owned(), status)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::Ipv4Addr;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_util::task::TaskTracker;

    use super::*;

    /// Takes connections, and answers the first request of each with some bytes, and nothing more.
    async fn server(answer: &'static [u8]) -> Url {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        TaskTracker::new().spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(answer).await.unwrap();
            }
        });
        url
    }

    /// Straight to an address, and through a proxy that is there.
    fn both_ways(url: &Url) -> [Transport; 2] {
        let straight = Transport::new(&UpstreamConfig::at(url.clone())).unwrap();
        let proxy = reqwest::Proxy::all(url.as_str()).unwrap();
        let proxied = client_builder().tls_certs_only([]).proxy(proxy).build().unwrap();
        assert!(matches!(straight, Transport::Straight(_)));
        [straight, Transport::Proxied(proxied)]
    }

    async fn asked(transport: &Transport, url: &Url) -> Result<Answer, Failure> {
        let mut request = http::Request::new(Bytes::new());
        *request.uri_mut() = url.as_str().parse().unwrap();
        transport.send(request, 100).await
    }

    /// What comes of an answer, which has to be the same both ways.
    async fn outcome(answer: Vec<u8>) -> Result<(u16, HeaderMap, Bytes), Failure> {
        let url = server(answer.leak()).await;
        let [straight, proxied] = both_ways(&url);
        let told = |answer: Answer| (answer.status, answer.headers, answer.body);
        let straight = asked(&straight, &url).await.map(told);
        assert_eq!(straight, asked(&proxied, &url).await.map(told));
        straight
    }

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn with_body(head: &str, body: &[u8]) -> Vec<u8> {
        let length = body.len();
        let head = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    #[tokio::test]
    async fn a_body_is_decompressed() {
        let answer = with_body("200 OK\r\ncontent-encoding: gzip", &gzipped(b"so it is"));

        let (status, headers, body) = outcome(answer).await.unwrap();

        assert_eq!((status, &*body), (200, &b"so it is"[..]));
        assert!(!headers.contains_key("content-encoding"));
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_like_any_other() {
        let answer = with_body("302 Found\r\nlocation: /elsewhere", b"");

        let (status, headers, _) = outcome(answer).await.unwrap();

        assert_eq!(
            (status, headers.get("location").unwrap().as_bytes()),
            (302, &b"/elsewhere"[..])
        );
    }

    #[tokio::test]
    async fn a_body_is_counted_after_decompression() {
        let small = with_body("200 OK\r\ncontent-encoding: gzip", &gzipped(&[b' '; 100]));
        let large = with_body("200 OK\r\ncontent-encoding: gzip", &gzipped(&[b' '; 101]));

        assert_eq!(outcome(small).await.unwrap().2.len(), 100);
        assert_eq!(
            outcome(large).await.unwrap_err(),
            malformed("is larger than 100 bytes".to_owned(), 200)
        );
    }

    #[tokio::test]
    async fn what_does_not_decompress_is_malformed() {
        let answer = with_body("200 OK\r\ncontent-encoding: gzip", b"not gzip at all");

        let failure = outcome(answer).await.unwrap_err();

        assert_eq!(failure, malformed("cannot be decompressed".to_owned(), 200));
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_cut() {
        let cut = Failure::Unreachable(Unreachable::Cut);
        for answer in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhalf"] {
            assert_eq!(outcome(answer.into()).await.unwrap_err(), cut, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        drop(listener);

        for transport in both_ways(&url) {
            let failure = asked(&transport, &url).await.err();
            assert_eq!(failure, Some(Failure::Unreachable(Unreachable::Connect)));
        }
    }

    #[tokio::test]
    async fn a_handshake_that_does_not_end_is_a_connection_that_is_not_made() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = Url::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
        let connect_timeout = Duration::from_millis(50);
        let config = UpstreamConfig { connect_timeout, ..UpstreamConfig::at(url.clone()) };
        let transport = Transport::new(&config).unwrap();

        let failure = asked(&transport, &url).await.err();

        assert_eq!(failure, Some(Failure::TimedOut(TimeLimit::Connect)));
    }
}
