//! TLS towards the outside: verified, by the authorities that the host trusts (RFC 8446, RFC 6125).

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::Refusal;

/// A client's configuration.
#[derive(Clone)]
pub struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Trusts these authorities (PEM, RFC 7468).
    pub fn new(authorities: &[u8]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authorities) {
            let certificate = certificate.map_err(|error| format!("authorities: {error}"))?;
            // Hosts have old ones among them that nothing can be verified by.
            let _unusable = roots.add(certificate);
        }
        if roots.is_empty() {
            return Err("authorities: there is none, so no TLS could be verified".to_owned());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("tls: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Speaks TLS with `host`, whose certificate must be for that name.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, Refusal> {
        let failed = |error: &dyn std::fmt::Display| Refusal::failed("tls", format!("{host}: {error}"));
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(&error))?;
        self.0.connect(name, stream).await.map_err(|error| failed(&error))
    }
}
