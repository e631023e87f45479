//! How the other servers are believed: by the bundle of their APIService, under the name of their Service,
//! whatever address they are reached at.

use super::Service;
use crate::trust;
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::ServerName;
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
        let verifier: Arc<dyn ServerCertVerifier> = if spec.at("insecureSkipTLSVerify").bool() {
            pki::AnyServer::new()
        } else {
            let trust = trust::of_bundle(spec.at("caBundle").str())?;
            Arc::new(trust.under(ServerName::try_from(service.host()).map_err(|e| e.to_string())?))
        };
        config.dangerous().set_certificate_verifier(verifier);
        Ok(streaming::backend::http1_only(config))
    }
}
