//! `tls.*`: the certificate of the GraphQL listener, and which clients may connect to it.

use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::settings::{SERVE, SettingsLoader, path, settings};

settings! {
    /// The files of the GraphQL listener's TLS.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct TlsConfig in "tls." for SERVE {
        /// file with the certificate of the GraphQL listener, as PEM, followed by its intermediates; read again
        /// when it changes. With it and `tls.key_file` the listener speaks TLS
        pub cert_file: PathBuf = path()
            .when_unset(PathBuf::new)
            .shown_when_unset("none: the listener speaks HTTP without TLS"),
        /// file with the key of that certificate, as PEM, not encrypted; read again when it changes
        pub key_file: PathBuf = path().when_unset(PathBuf::new),
        /// file with CA certificates, as PEM; clients of the GraphQL listener must present a certificate of one
        /// of them. Read again when it changes
        pub client_ca_file: Option<PathBuf> =
            path().optional().shown_when_unset("none: clients need no certificate"),
    }
}

impl TlsConfig {
    /// Reads the settings; `None` for HTTP without TLS.
    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Option<Self> {
        let tls = Self::read(loader);
        if !Self::specs().iter().any(|setting| loader.is_set(setting)) {
            return None;
        }
        let others = "the other settings of tls, which do nothing without it";
        loader.require(&[&Self::cert_file(), &Self::key_file()], others);
        Some(tls)
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
