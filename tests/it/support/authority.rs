//! A certificate authority, made for one test.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use screen_record_gateway::config::TlsConfig;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::TestFile;

/// The authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate of an authority, and its key.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Certificate and key in files, which a gateway may follow.
pub(crate) struct IdentityFiles {
    pub(crate) certificate: TestFile,
    pub(crate) key: TestFile,
}

/// A proxy that ends TLS.
pub(crate) struct TlsWay {
    pub(crate) url: url::Url,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for servers and clients on this machine.
    pub(crate) fn issue(&self) -> Identity {
        self.issue_until(2100)
    }

    /// As `issue`, valid until the beginning of a year.
    pub(crate) fn issue_until(&self, year: i32) -> Identity {
        self.issue_for(&["localhost", "127.0.0.1"], year)
    }

    /// As `issue_until`, for other names.
    pub(crate) fn issue_for(&self, names: &[&str], year: i32) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// An HTTP client that trusts only this authority.
    pub(crate) fn client(&self) -> reqwest::ClientBuilder {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority = reqwest::Certificate::from_pem(self.pem().as_bytes()).unwrap();
        reqwest::Client::builder().no_proxy().tls_certs_only([authority])
    }

    /// A connection to a server with a certificate of this authority.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await?;
        let name = "localhost".try_into().unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

impl Identity {
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }

    pub(crate) fn files(&self) -> IdentityFiles {
        let (certificate, key) = (TestFile::of(&self.certificate), TestFile::of(&self.key));
        IdentityFiles { certificate, key }
    }

    /// Speaks TLS with this certificate, and offers these protocols, if any are named.
    pub(crate) fn acceptor(&self, protocols: &[&str]) -> TlsAcceptor {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.der()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// As a client shows it.
    pub(crate) fn shown(&self) -> reqwest::Identity {
        reqwest::Identity::from_pem(format!("{}{}", self.key, self.certificate).as_bytes()).unwrap()
    }
}

impl IdentityFiles {
    pub(crate) fn config(&self) -> TlsConfig {
        let (cert_file, key_file) = (self.certificate.0.clone(), self.key.0.clone());
        TlsConfig { cert_file, key_file, client_ca_file: None }
    }

    /// Replaces the files with those of another identity.
    pub(crate) fn replace(&self, identity: &Identity) {
        self.certificate.write(&identity.certificate);
        self.key.write(&identity.key);
    }
}

impl TlsWay {
    /// To a server on this machine, with a certificate of an authority.
    pub(crate) async fn to(server: SocketAddr, authority: &Authority) -> Self {
        Self::showing(&authority.issue(), server).await
    }

    /// As `to`, with this certificate.
    pub(crate) async fn showing(identity: &Identity, server: SocketAddr) -> Self {
        Self::offering(&[], identity, server).await
    }

    /// As `showing`, for those who speak one of these protocols, if any are named.
    pub(crate) async fn offering(
        protocols: &[&str],
        identity: &Identity,
        server: SocketAddr,
    ) -> Self {
        let acceptor = identity.acceptor(protocols);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let Ok(mut server) = TcpStream::connect(server).await else { return };
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { url: format!("https://localhost:{port}").parse().unwrap() }
    }
}
