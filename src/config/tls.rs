//! `tls.*`: the certificate of the GraphQL listener, and which clients may connect to it.

use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::settings::{FILE_PATH, Role, SettingsLoader, setting, settings};

/// The demo serves this machine alone.
const SERVE: &[Role] = &[Role::Serve];

settings! {
    /// The settings that [`TlsConfig`] is made of.
    #[expect(clippy::struct_field_names, reason = "a field is named like its setting")]
    pub(super) struct TlsSettings in "tls." for SERVE {
        /// file with the certificate of the GraphQL listener, as PEM, followed by its intermediates; read again
        /// when it changes. With it and `tls.key_file` the listener speaks TLS
        cert_file: Option<PathBuf> = setting(&FILE_PATH)
            .shown_when_unset("none: the listener speaks HTTP without TLS")
            .reloadable(),
        /// file with the key of that certificate, as PEM, not encrypted; read again when it changes
        key_file: Option<PathBuf> = setting(&FILE_PATH).reloadable(),
        /// file with CA certificates, as PEM; clients of the GraphQL listener must present a certificate of one
        /// of them. Read again when it changes
        client_ca_file: Option<PathBuf> = setting(&FILE_PATH)
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
        let files = TlsSettings::read(loader);
        files.check(loader);
        let TlsSettings { cert_file, key_file, client_ca_file } = files;
        Some(Self { cert_file: cert_file?, key_file: key_file?, client_ca_file })
    }
}

impl TlsSettings {
    fn check(&self, loader: &mut SettingsLoader<'_>) {
        if !loader.are_valid(Self::SPECS) {
            return;
        }
        match (&self.cert_file, &self.key_file) {
            (Some(_), None) => loader.refuse(&Self::key_file, "must be set beside tls.cert_file"),
            (None, Some(_)) => loader.refuse(&Self::cert_file, "must be set beside tls.key_file"),
            (None, None) if self.client_ca_file.is_some() => {
                let problem = "does nothing without tls.cert_file and tls.key_file: set both, or \
                               leave this out";
                loader.refuse(&Self::client_ca_file, problem);
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
    }
}

/// Reads certificates of CAs, as PEM; the error is a clause.
///
/// # Errors
/// When there is no certificate, or one that cannot be a trust anchor.
pub fn ca_certificates_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
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
