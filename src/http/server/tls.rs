//! TLS of a listener: its certificate, its clients' certificates, and a reload of both.
//!
//! TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN. No part of a key is ever shown. A reload makes a new
//! configuration for later connections. Open connections keep theirs, and sessions of the old configuration
//! cannot be resumed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::clock::Clock;
use crate::config::{Live, TlsConfig, certificates_of, read_bounded};
use crate::counters::LabelledCounter;
use crate::http::setting_file::{FileError, read_file};

const CERT_FILE: &str = "tls.cert_file";
const KEY_FILE: &str = "tls.key_file";
/// The outcomes of handshakes, as the metric names them.
const COMPLETED: &str = "completed";
const FAILED: &str = "failed";
const TIMED_OUT: &str = "timeout";

/// The TLS of a listener, which may be off. Clones share it.
#[derive(Clone)]
pub struct Tls {
    acceptor: Live<Option<TlsAcceptor>>,
    handshakes: LabelledCounter,
    /// When the certificate ends, in seconds of Unix time.
    expiry: Gauge,
    clock: Clock,
}

/// What was read from the files, for later connections. The default is no TLS.
#[derive(Default)]
pub struct TlsChange {
    acceptor: Option<TlsAcceptor>,
    /// When the first certificate of the chain ends.
    end: Option<Timestamp>,
}

impl Tls {
    /// Reads the files; without files the listener speaks HTTP without TLS.
    ///
    /// # Errors
    /// When a file cannot be read, holds something else, or does not match the others.
    pub fn load(files: Option<&TlsConfig>, clock: Clock) -> Result<Self, FileError> {
        let handshakes = LabelledCounter::new("outcome", &[COMPLETED, FAILED, TIMED_OUT]);
        let tls = Self { acceptor: Live::new(None), handshakes, expiry: Gauge::default(), clock };
        tls.change(TlsChange::read(files)?);
        Ok(tls)
    }

    /// Adds the metrics to the metrics page.
    pub fn register(&self, registry: &mut Registry) {
        let tls = registry.sub_registry_with_prefix("gateway_tls");
        tls.register(
            "handshakes",
            "TLS handshakes of the GraphQL listener, by outcome",
            self.handshakes.family(),
        );
        tls.register_with_unit(
            "certificate_expiry_timestamp",
            "When the listener's certificate expires, as Unix time; 0 without TLS",
            Unit::Seconds,
            self.expiry.clone(),
        );
    }

    /// Uses the configuration for later connections. Open connections keep theirs.
    pub fn change(&self, TlsChange { acceptor, end }: TlsChange) {
        if let Some(ended) = end.filter(|end| *end <= self.clock.timestamp()) {
            tracing::warn!(%ended, "the certificate of the listener has ended");
        }
        self.expiry.set(end.map_or(0, Timestamp::as_second));
        self.acceptor.set(acceptor);
    }

    /// What does the handshake of a new connection; `None` without TLS.
    pub(super) fn acceptor(&self) -> Option<TlsAcceptor> {
        Option::clone(&self.acceptor.load())
    }

    /// Does the handshake of a connection. `None` if it fails or takes too long.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        acceptor: TlsAcceptor,
        stream: S,
        within: Duration,
    ) -> Option<TlsStream<S>> {
        let (outcome, accepted) = match timeout(within, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => (COMPLETED, Some(stream)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                (FAILED, None)
            }
            Err(_) => (TIMED_OUT, None),
        };
        self.handshakes.inc(outcome);
        accepted
    }
}

impl TlsChange {
    /// Reads the files, for [`Tls::change`].
    ///
    /// # Errors
    /// As [`Tls::load`].
    pub fn read(files: Option<&TlsConfig>) -> Result<Self, FileError> {
        let Some(files) = files else { return Ok(Self::default()) };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = read_file(CERT_FILE, &files.cert_file, read_bounded, certificates_of)?;
        let end = chain.iter().filter_map(end_of).min();
        let key = read_file(KEY_FILE, &files.key_file, read_bounded, private_key)?;
        let verifier = match &files.client_ca_file {
            Some(file) => read_file("tls.client_ca_file", file, read_bounded, |pem| {
                client_verifier(pem, &provider)
            })?,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .expect("ring has what both versions need")
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key);
        let mut config = config.map_err(|error| {
            let problem =
                format!("it cannot be used with the first certificate in {CERT_FILE}: {error}");
            FileError::new(KEY_FILE, &files.key_file, problem)
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: Some(Arc::new(config).into()), end })
    }
}

/// Reads a private key; the error is a clause that reveals nothing of the key.
fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        PemError::NoItemsFound => {
            "it holds no private key without a password, which begins with -----BEGIN PRIVATE \
             KEY-----, -----BEGIN EC PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----"
        }
        // Other errors quote lines of the file.
        _ => "it is no PEM",
    });
    key.map_err(str::to_owned)
}

/// Reads the CAs of client certificates; the error is a clause.
fn client_verifier(
    pem: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_of(pem)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| error.to_string())
}

/// When a certificate ends.
fn end_of(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let end = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    Timestamp::from_second(i64::try_from(end.as_secs()).ok()?).ok()
}
