//! TLS of a listener: its certificate, its clients' certificates, and a reload of both.
//!
//! TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN. No part of a key is ever shown. A reload makes a new
//! configuration for later connections. Open connections keep theirs, and sessions of the old configuration
//! cannot be resumed.

use std::io;
use std::path::{Path, PathBuf};
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
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config::{Live, TlsConfig, ca_certificates_of, read_bounded};
use crate::http::metrics::{
    HANDSHAKE_COMPLETED, HANDSHAKE_FAILED, HANDSHAKE_TIMED_OUT, TlsMetrics,
};

const CERT_FILE: &str = "tls.cert_file";
const KEY_FILE: &str = "tls.key_file";
const CLIENT_CA_FILE: &str = "tls.client_ca_file";

/// The TLS of a listener, which may be off. Clones share it.
#[derive(Clone)]
pub struct Tls {
    serving: Live<Option<Arc<ServerConfig>>>,
    metrics: TlsMetrics,
    clock: Clock,
}

/// A prepared configuration for later connections; `None` without TLS.
pub struct TlsChange(Option<(Arc<ServerConfig>, Option<CertificateValidity>)>);

/// Why the files of `tls.*` cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{setting} {} cannot be used: {problem}", path.display())]
pub struct TlsError {
    setting: &'static str,
    path: PathBuf,
    problem: String,
}

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
    ) -> Result<Self, TlsError> {
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
    pub fn read(files: Option<&TlsConfig>) -> Result<Self, TlsError> {
        Ok(Self(files.map(read).transpose()?))
    }
}

impl TlsError {
    fn of(setting: &'static str, path: &Path) -> impl Fn(String) -> Self {
        move |problem| Self { setting, path: path.to_owned(), problem }
    }
}

/// Reads a configuration from files.
fn read(files: &TlsConfig) -> Result<(Arc<ServerConfig>, Option<CertificateValidity>), TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = chain(&files.cert_file).map_err(TlsError::of(CERT_FILE, &files.cert_file))?;
    let validity = CertificateValidity::of(&chain);
    let key = certified_key(chain, &files.key_file, &provider)
        .map_err(TlsError::of(KEY_FILE, &files.key_file))?;
    let verifier = match &files.client_ca_file {
        Some(file) => {
            client_verifier(file, &provider).map_err(TlsError::of(CLIENT_CA_FILE, file))?
        }
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
fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read_bounded(file).map_err(|error| unreadable(&error))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = read.map_err(|error| format!("it is no PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("it holds no certificate, which begins with -----BEGIN CERTIFICATE-----".into());
    }
    Ok(certificates)
}

/// Reads the key of a chain; the error is a clause that reveals nothing of the key.
fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    file: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let text = Zeroizing::new(read_bounded(file).map_err(|error| unreadable(&error))?);
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        PemError::NoItemsFound if is_encrypted(&text) => {
            "its key is encrypted: it has to be there without a password".to_owned()
        }
        PemError::NoItemsFound => "it holds no private key, which begins with -----BEGIN PRIVATE \
                                   KEY-----, -----BEGIN EC PRIVATE KEY----- or -----BEGIN RSA \
                                   PRIVATE KEY-----"
            .to_owned(),
        PemError::Io(_) | PemError::SectionTooLarge => "it is no PEM".to_owned(),
        // These errors quote lines of the file.
        _ => "it is no PEM: a section is cut off, or what is in it is no base64".to_owned(),
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            format!("it is not the key of the first certificate in {CERT_FILE}")
        }
        rustls::Error::InvalidCertificate(_) => {
            format!("the first certificate in {CERT_FILE} cannot be read: {error}")
        }
        _ => {
            "its key cannot be read, or is of a kind that is not supported: RSA from 2048 bits on, \
              ECDSA with P-256 or P-384, and Ed25519 are"
                .to_owned()
        }
    })
}

/// Reads the CAs of client certificates; the error is a clause.
fn client_verifier(
    file: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in ca_certificates_of(&read_bounded(file).map_err(|error| unreadable(&error))?)?
    {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| error.to_string())
}

fn unreadable(error: &io::Error) -> String {
    format!("it cannot be read: {error}")
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
