//! `tls.*`: the certificate that the GraphQL listener shows, and who may connect to it.

use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::form::Parsed;
use super::secret_file::PATH;
use super::setting::{Role, Row, Setting};
use super::values::Values;

/// The demo is for this machine alone.
const ROLES: &[Role] = &[Role::Serve];

static CERT_FILE: Setting<Parsed<PathBuf>> = Setting::new(
    "tls.cert_file",
    PATH,
    "the certificate of the GraphQL listener, as PEM, with those between it and its CA behind it; \
     read again when it changes. With it and tls.key_file the listener speaks TLS",
)
.or_unset("none: the listener speaks HTTP without TLS")
.only_for(ROLES)
.changeable();
static KEY_FILE: Setting<Parsed<PathBuf>> = Setting::new(
    "tls.key_file",
    PATH,
    "the key of tls.cert_file, as PEM, not encrypted; read again when it changes",
)
.only_for(ROLES)
.changeable();
static CLIENT_CA_FILE: Setting<Parsed<PathBuf>> = Setting::new(
    "tls.client_ca_file",
    PATH,
    "certificates of CAs, as PEM: who connects to the GraphQL listener has to show a certificate of \
     one of them; read again when it changes",
)
.or_unset("none: nobody is asked for a certificate")
.only_for(ROLES)
.changeable();

pub(super) static ROWS: &[&dyn Row] = &[&CERT_FILE, &KEY_FILE, &CLIENT_CA_FILE];

/// The files of the GraphQL listener's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// `tls.cert_file`: PEM, the listener's own certificate first.
    pub cert_file: PathBuf,
    /// `tls.key_file`: PEM, not encrypted.
    pub key_file: PathBuf,
    /// `tls.client_ca_file`: PEM; where set, clients have to show a certificate of one of these.
    pub client_ca_file: Option<PathBuf>,
}

impl TlsConfig {
    /// Reads the settings; nothing where the listener is to speak HTTP without TLS.
    pub(super) fn read(values: &mut Values<'_>) -> Option<Self> {
        let (cert_file, key_file) = (values.read(&CERT_FILE), values.read(&KEY_FILE));
        let client_ca_file = values.read(&CLIENT_CA_FILE);
        if values.are_sound(&[&CERT_FILE, &KEY_FILE, &CLIENT_CA_FILE]) {
            match (&cert_file, &key_file) {
                (Some(_), None) => values.refuse(&KEY_FILE, "must be set beside tls.cert_file"),
                (None, Some(_)) => values.refuse(&CERT_FILE, "must be set beside tls.key_file"),
                (None, None) if client_ca_file.is_some() => {
                    let problem = "does nothing without tls.cert_file and tls.key_file: set both, \
                                   or leave this out";
                    values.refuse(&CLIENT_CA_FILE, problem);
                }
                (None, None) | (Some(_), Some(_)) => {}
            }
        }
        Some(Self { cert_file: cert_file?, key_file: key_file?, client_ca_file })
    }
}

/// Reads certificates of CAs, as PEM; the error is a clause.
///
/// # Errors
/// When there is none, or one that no chain can end in.
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
