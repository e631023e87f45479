//! How the other servers are believed: by the bundle of their APIService, under the name of their Service,
//! whatever address they are reached at.

use super::Service;
use crate::trust::Bundle;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::sync::Arc;
use value::Value;

/// The identity of the front proxy.
pub(super) struct FrontProxy {
    /// Trusts nobody yet; each remote brings its own verifier.
    base: Option<ClientConfig>,
}

impl std::fmt::Debug for FrontProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FrontProxy")
    }
}

impl FrontProxy {
    pub(super) fn new(identity: &pki::Identity) -> Self {
        Self { base: pki::client_config(&[], Some(identity)).ok() }
    }

    /// TLS to the server of an APIService.
    ///
    /// # Errors
    /// The bundle makes no sense.
    pub(super) fn config(&self, spec: &Value, service: &Service) -> Result<Arc<ClientConfig>, String> {
        let mut config = self.base.clone().ok_or("this server has no certificate of a front proxy")?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let believed = if spec.at("insecureSkipTLSVerify").bool() {
            None
        } else {
            let bundle = Bundle::read(spec.at("caBundle").str())?;
            if bundle.is_empty() {
                return Err("unable to load root certificates: the bundle holds none".into());
            }
            Some((bundle, ServerName::try_from(service.host()).map_err(|e| e.to_string())?))
        };
        config.dangerous().set_certificate_verifier(Arc::new(Named { believed, provider }));
        Ok(streaming::backend::http1_only(config))
    }
}

/// Believes certificates for one name, or any.
#[derive(Debug)]
struct Named {
    believed: Option<(Bundle, ServerName<'static>)>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.believed {
            Some((bundle, name)) => {
                bundle.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
            }
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
