//! Whom this server believes when it calls webhooks and other API servers: who is signed by a certificate of the
//! bundle, or shows one of them himself; or anybody.
//!
//! The second is Go's rule (`crypto/x509`, `Certificate.Verify`: a root may be the chain), by which a server's own
//! certificate can be its bundle, whether it is an authority's or not; webpki knows authorities only.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// The certificates of a `caBundle`.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    certificates: Arc<[CertificateDer<'static>]>,
    /// `None` for a bundle that nobody can be signed by.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    /// The name that is to be shown, if it is not that of who is called.
    name: Option<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Bundle {
    /// Reads base64 of PEM. Without a certificate, nobody is believed.
    ///
    /// # Errors
    /// It is no base64.
    pub(crate) fn read(bundle: &str) -> Result<Self, String> {
        let pem = STANDARD.decode(bundle).map_err(|e| format!("unable to load root certificates: {e}"))?;
        let certificates: Arc<[_]> = CertificateDer::pem_slice_iter(&pem)
            .filter_map(Result::ok)
            .map(CertificateDer::into_owned)
            .collect();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        Ok(Self { certificates, authorities: authorities.build().ok(), name: None, provider })
    }

    /// Believes under this name, whatever address is called.
    pub(crate) fn under(self, name: ServerName<'static>) -> Self {
        Self { name: Some(name), ..self }
    }
}

impl ServerCertVerifier for Bundle {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let server_name = self.name.as_ref().unwrap_or(server_name);
        pki::check_server(end_entity, server_name, now)?;
        if self.certificates.contains(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let Some(authorities) = &self.authorities else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
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

#[cfg(test)]
mod tests {
    use super::*;
    use pki::{Authority, Name, Names, PrivateKey, Usage};
    use std::time::Duration;

    #[test]
    fn a_bundle_believes_its_authorities_and_its_own_certificates() {
        const NOW: i64 = 1_800_000_000;
        let authority = Authority::create("localhost", PrivateKey::generate().unwrap(), NOW, 9_000).unwrap();
        let names = Names { dns: vec!["localhost".into()], ..Names::default() };
        let issue = || {
            let subject = Name::new("server", &[]);
            authority.issue(&subject, &names, Usage::Server, NOW, 600).unwrap().certificate
        };
        let (leaf, other, root) = (issue(), issue(), authority.certificate());
        let bundle = |c: &pki::Certificate| Bundle::read(&STANDARD.encode(c.to_pem())).unwrap();
        let check = |bundle: &Bundle, shown: &pki::Certificate, name: &'static str, now: i64| {
            let name = ServerName::try_from(name).unwrap();
            let now = UnixTime::since_unix_epoch(Duration::from_secs(now.unsigned_abs()));
            match bundle.verify_server_cert(shown.der(), &[], &name, &[], now) {
                Ok(_) => "believed".to_owned(),
                Err(rustls::Error::InvalidCertificate(error)) => pki::checks::refusal(&error),
                Err(error) => error.to_string(),
            }
        };
        let other_name = "x509: certificate is valid for localhost, not elsewhere";
        let no_ip = "x509: cannot validate certificate for 192.0.2.1 because it doesn't contain any IP SANs";
        let unknown = "x509: certificate signed by unknown authority";
        let lapsed = |how| format!("x509: certificate has expired or is not yet valid: current time {how}");
        assert_eq!(check(&bundle(root), &leaf, "localhost", NOW), "believed");
        assert_eq!(check(&bundle(&leaf), &leaf, "localhost", NOW), "believed");
        assert_eq!(check(&bundle(root), root, "localhost", NOW), "believed", "it signed itself");
        assert_eq!(check(&bundle(&leaf), &leaf, "elsewhere", NOW), other_name);
        assert_eq!(check(&bundle(&other), &leaf, "192.0.2.1", NOW), no_ip, "the name is told first");
        let named = |name: &'static str| bundle(root).under(ServerName::try_from(name).unwrap());
        assert_eq!(check(&named("localhost"), &leaf, "elsewhere", NOW), "believed");
        assert_eq!(check(&named("elsewhere"), &leaf, "localhost", NOW), other_name);
        assert_eq!(
            check(&bundle(&leaf), &leaf, "localhost", NOW + 601),
            lapsed("2027-01-15T08:10:01Z is after 2027-01-15T08:10:00Z")
        );
        assert_eq!(
            check(&bundle(&leaf), &leaf, "localhost", NOW - 100_000),
            lapsed("2027-01-14T04:13:20Z is before 2027-01-15T07:55:00Z")
        );
        assert_eq!(check(&bundle(&leaf), &other, "localhost", NOW), unknown);
        assert_eq!(check(&Bundle::read("").unwrap(), &leaf, "localhost", NOW), unknown);
    }
}
