//! TLS with HTTP/2, for listeners and for the pass-through's client.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::Error;

pub const CERTIFICATE: &str = "certificate.pem";
pub const KEY: &str = "key.pem";

pub struct Listener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener {
    pub fn new(tcp: TcpListener, directory: &Path) -> Result<Self, Error> {
        let certificate = CertificateDer::from_pem_file(directory.join(CERTIFICATE))?;
        let key = PrivateKeyDer::from_pem_file(directory.join(KEY))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth();
        let mut config = config.with_single_cert(vec![certificate], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { tcp, acceptor: Arc::new(config).into() })
    }
}

impl axum::serve::Listener for Listener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = axum::serve::Listener::accept(&mut self.tcp).await;
            if stream.set_nodelay(true).is_ok()
                && let Ok(stream) = self.acceptor.accept(stream).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// A client that trusts the certificate of a directory, and no other.
pub fn client(trusted: Option<&Path>) -> Result<reqwest::Client, Error> {
    // Fails only when a provider has been installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut certificates = Vec::new();
    if let Some(directory) = trusted {
        let pem = std::fs::read(directory.join(CERTIFICATE))?;
        certificates.push(reqwest::Certificate::from_pem(&pem)?);
    }
    Ok(reqwest::Client::builder().tls_certs_only(certificates).build()?)
}
