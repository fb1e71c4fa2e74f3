//! TLS of a listener: its certificate, its clients' certificates, and a reload of both.
//!
//! TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN. No part of a key is ever shown. A reload makes a new
//! configuration for later connections. Open connections keep theirs, and sessions of the old configuration
//! cannot be resumed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::clock::Clock;
use crate::config::{Live, TlsConfig, ca_certificates_of, read_bounded};
use crate::http::metrics::{
    HANDSHAKE_COMPLETED, HANDSHAKE_FAILED, HANDSHAKE_TIMED_OUT, TlsMetrics,
};
use crate::http::setting_file::{FileError, read_file};

const CERT_FILE: &str = "tls.cert_file";
const KEY_FILE: &str = "tls.key_file";

/// The TLS of a listener, which may be off. Clones share it.
#[derive(Clone)]
pub struct Tls {
    serving: Live<Option<Arc<ServerConfig>>>,
    metrics: TlsMetrics,
    clock: Clock,
}

/// A prepared configuration for later connections; `None` without TLS.
pub struct TlsChange(Option<(Arc<ServerConfig>, Option<CertificateValidity>)>);

/// The time in which all certificates of a chain are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CertificateValidity {
    from: Timestamp,
    until: Timestamp,
}

impl Tls {
    /// Reads the files; without files the listener speaks HTTP without TLS.
    ///
    /// # Errors
    /// When a file cannot be read, holds something else, or does not match the others.
    pub fn load(
        files: Option<&TlsConfig>,
        metrics: TlsMetrics,
        clock: Clock,
    ) -> Result<Self, FileError> {
        let change = TlsChange::read(files)?;
        let tls = Self { serving: Live::new(None), metrics, clock };
        tls.change(change);
        Ok(tls)
    }

    /// Uses the configuration for later connections. Open connections keep theirs.
    pub fn change(&self, TlsChange(change): TlsChange) {
        let (serving, validity) = change.unzip();
        self.serving.set(serving);
        match validity {
            Some(validity) => self.tell(validity),
            None => self.metrics.ends(0),
        }
    }

    /// What does the handshake of a new connection; `None` without TLS.
    pub(super) fn acceptor(&self) -> Option<TlsAcceptor> {
        Option::clone(&self.serving.load()).map(TlsAcceptor::from)
    }

    /// Does the handshake of a connection. `None` if it fails or takes too long.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        acceptor: TlsAcceptor,
        stream: S,
        within: Duration,
    ) -> Option<TlsStream<S>> {
        match timeout(within, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                self.metrics.count(HANDSHAKE_COMPLETED);
                return Some(stream);
            }
            Ok(Err(error)) => {
                self.metrics.count(HANDSHAKE_FAILED);
                tracing::debug!(%error, "a TLS handshake failed");
            }
            Err(_) => {
                self.metrics.count(HANDSHAKE_TIMED_OUT);
                tracing::debug!("a TLS handshake took too long");
            }
        }
        None
    }

    /// Shows how long the certificate is valid, and warns if it is not.
    fn tell(&self, validity: Option<CertificateValidity>) {
        let Some(CertificateValidity { from, until }) = validity else {
            tracing::warn!("when the certificate of the listener ends cannot be read");
            self.metrics.ends(0);
            return;
        };
        let now = self.clock.timestamp();
        if until <= now {
            tracing::warn!(ended = %until, "the certificate of the listener has ended");
        } else if from > now {
            tracing::warn!(begins = %from, "the certificate of the listener is not good yet");
        }
        self.metrics.ends(until.as_second());
    }
}

impl TlsChange {
    /// Reads the files, for [`Tls::change`].
    ///
    /// # Errors
    /// As [`Tls::load`].
    pub fn read(files: Option<&TlsConfig>) -> Result<Self, FileError> {
        Ok(Self(files.map(read).transpose()?))
    }
}

/// Reads a configuration from files.
fn read(files: &TlsConfig) -> Result<(Arc<ServerConfig>, Option<CertificateValidity>), FileError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = read_file(CERT_FILE, &files.cert_file, read_bounded, chain)?;
    let validity = CertificateValidity::of(&chain);
    let key = read_file(KEY_FILE, &files.key_file, read_bounded, |pem| {
        certified_key(chain, pem, &provider)
    })?;
    let verifier = match &files.client_ca_file {
        Some(file) => read_file("tls.client_ca_file", file, read_bounded, |pem| {
            client_verifier(pem, &provider)
        })?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("ring has what both versions need")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((Arc::new(config), validity))
}

/// Reads the certificate chain; the error is a clause.
fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = read.map_err(|error| format!("it is no PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("it holds no certificate, which begins with -----BEGIN CERTIFICATE-----".into());
    }
    Ok(certificates)
}

/// Reads the key of a chain; the error is a clause that reveals nothing of the key.
fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    pem: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        PemError::NoItemsFound if is_encrypted(pem) => {
            "its key is encrypted: it has to be there without a password"
        }
        PemError::NoItemsFound => {
            "it holds no private key, which begins with -----BEGIN PRIVATE KEY-----, -----BEGIN EC \
             PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----"
        }
        // Other errors quote lines of the file.
        _ => "it is no PEM",
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            format!("it is not the key of the first certificate in {CERT_FILE}")
        }
        _ => format!("its key, or the first certificate in {CERT_FILE}, is not supported: {error}"),
    })
}

/// Reads the CAs of client certificates; the error is a clause.
fn client_verifier(
    pem: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in ca_certificates_of(pem)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| error.to_string())
}

fn is_encrypted(pem: &[u8]) -> bool {
    String::from_utf8_lossy(pem).contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
}

impl CertificateValidity {
    /// `None` if a certificate cannot be read.
    fn of(certificates: &[CertificateDer<'_>]) -> Option<Self> {
        let each = |certificate: &CertificateDer<'_>| {
            let validity = *Certificate::from_der(certificate).ok()?.tbs_certificate().validity();
            let instant = |time: x509_cert::time::Time| {
                Timestamp::from_second(i64::try_from(time.to_unix_duration().as_secs()).ok()?).ok()
            };
            Some(Self { from: instant(validity.not_before)?, until: instant(validity.not_after)? })
        };
        let all: Vec<Self> = certificates.iter().map(each).collect::<Option<_>>()?;
        all.into_iter().reduce(|one, other| Self {
            from: one.from.max(other.from),
            until: one.until.min(other.until),
        })
    }
}
