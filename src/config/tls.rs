//! `tls.*`: the certificate of the GraphQL listener, and which clients may connect to it.

use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::settings::{SERVE, SettingsLoader, file_path, settings};

settings! {
    /// The settings that [`TlsConfig`] is made of.
    #[expect(clippy::struct_field_names, reason = "a field is named like its setting")]
    pub(super) struct TlsSettings in "tls." for SERVE {
        /// file with the certificate of the GraphQL listener, as PEM, followed by its intermediates; read again
        /// when it changes. With it and `tls.key_file` the listener speaks TLS
        cert_file: Option<PathBuf> = file_path()
            .shown_when_unset("none: the listener speaks HTTP without TLS")
            .reloadable(),
        /// file with the key of that certificate, as PEM, not encrypted; read again when it changes
        key_file: Option<PathBuf> = file_path().reloadable(),
        /// file with CA certificates, as PEM; clients of the GraphQL listener must present a certificate of one
        /// of them. Read again when it changes
        client_ca_file: Option<PathBuf> = file_path()
            .shown_when_unset("none: clients need no certificate")
            .reloadable(),
    }
}

/// The files of the GraphQL listener's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// `tls.cert_file`: PEM, the listener's own certificate first.
    pub cert_file: PathBuf,
    /// `tls.key_file`: PEM, not encrypted.
    pub key_file: PathBuf,
    /// `tls.client_ca_file`: PEM; if set, clients have to show a certificate of one of these CAs.
    pub client_ca_file: Option<PathBuf>,
}

impl TlsConfig {
    /// Reads the settings; `None` for HTTP without TLS.
    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Option<Self> {
        let TlsSettings { cert_file, key_file, client_ca_file } = TlsSettings::read(loader);
        if cert_file.is_none() && key_file.is_none() && client_ca_file.is_none() {
            return None;
        }
        let others = "the other settings of tls, which do nothing without it";
        let cert_file = loader.required(&TlsSettings::cert_file(), cert_file, others);
        let key_file = loader.required(&TlsSettings::key_file(), key_file, others);
        Some(Self { cert_file: cert_file?, key_file: key_file?, client_ca_file })
    }
}

/// Reads certificates, as PEM; the error is a clause.
///
/// # Errors
/// When there is no certificate, or one that cannot be read.
pub fn certificates_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = read.map_err(|error| format!("it is no PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("it holds no certificate, which begins with -----BEGIN CERTIFICATE-----".into());
    }
    for (at, certificate) in certificates.iter().enumerate() {
        if let Err(error) = RootCertStore::empty().add(certificate.clone()) {
            return Err(format!("certificate {} of it cannot be read: {error}", at + 1));
        }
    }
    Ok(certificates)
}
