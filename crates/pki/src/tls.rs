//! TLS with certificates that change while the server runs, and client certificates that are judged later.

use crate::{Certificate, Error, Identity, Trust, certificate, checks};
use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs as provider;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
};
use std::sync::Arc;
use std::time::Duration;

/// A server certificate that can be replaced; connections made afterwards see the new one.
#[derive(Debug)]
pub struct HotCertificate {
    current: ArcSwap<CertifiedKey>,
}

impl HotCertificate {
    /// Serves `identity`.
    ///
    /// # Errors
    /// [`Error::Tls`] if the key cannot be used for TLS.
    pub fn new(identity: &Identity) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self { current: ArcSwap::from_pointee(certified(identity)?) }))
    }

    /// Serves `identity` from now on.
    ///
    /// # Errors
    /// [`Error::Tls`]; the old certificate stays.
    pub fn replace(&self, identity: &Identity) -> Result<(), Error> {
        self.current.store(Arc::new(certified(identity)?));
        Ok(())
    }
}

fn certified(identity: &Identity) -> Result<CertifiedKey, Error> {
    let key =
        provider::sign::any_supported_type(&identity.key.to_tls()).map_err(|e| Error::Tls(e.to_string()))?;
    Ok(CertifiedKey::new(vec![identity.certificate.der().clone()], key))
}

impl ResolvesServerCert for HotCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// Asks for a client certificate and accepts any whose key the client holds (the handshake's signature is
/// verified), or none. Whom it names, and whether by a trusted authority, is judged per request by
/// [`ClientAuthorities`]: as upstream's `tls.RequestClientCert`, so that a bad certificate is answered by
/// 401 and not by a broken connection, and so that several authorities with several meanings can be tried.
#[derive(Debug)]
pub struct AnyClientCertificate {
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyClientCertificate {
    /// Tells clients that certificates of `authorities` are welcome.
    pub fn new(authorities: &[&Certificate]) -> Arc<Self> {
        let hints = authorities.iter().map(|c| DistinguishedName::from(c.subject_der().to_vec())).collect();
        let algorithms = provider::default_provider().signature_verification_algorithms;
        Arc::new(Self { hints, algorithms })
    }
}

impl ClientCertVerifier for AnyClientCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if checks::is_plain(cert) {
            return verify_tls12_signature_with_raw_key(message, cert, dss, &self.algorithms);
        }
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if checks::is_plain(cert) {
            return verify_tls13_signature_with_raw_key(message, &public_key(cert)?, dss, &self.algorithms);
        }
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Takes any certificate whose key the server holds: Go's `InsecureSkipVerify`. Of the certificate, nothing but the key
/// is looked at.
#[derive(Debug)]
pub struct AnyServer(WebPkiSupportedAlgorithms);

impl AnyServer {
    /// A judge who takes anybody.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(provider::default_provider().signature_verification_algorithms))
    }
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature_with_raw_key(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature_with_raw_key(message, &public_key(cert)?, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

fn public_key(cert: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, CertificateError> {
    let cert = Certificate::from_der(cert).map_err(|_| CertificateError::BadEncoding)?;
    Ok(SubjectPublicKeyInfoDer::from(cert.spki().to_vec()))
}

/// As rustls does it for TLS 1.3: any algorithm of the scheme that is one of the key.
fn verify_tls12_signature_with_raw_key(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let spki = public_key(cert)?;
    let key = webpki::RawPublicKeyEntity::try_from(&spki)
        .map_err(|_| rustls::Error::from(CertificateError::BadEncoding))?;
    let of_scheme = algorithms.mapping.iter().filter(|(scheme, _)| *scheme == dss.scheme);
    let is_good = of_scheme
        .flat_map(|(_, algorithms)| *algorithms)
        .any(|algorithm| key.verify_signature(*algorithm, message, dss.signature()).is_ok());
    if is_good {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(CertificateError::BadSignature.into())
    }
}

/// Authorities whose client certificates are believed.
#[derive(Debug, Default)]
pub struct ClientAuthorities {
    anchors: Vec<TrustAnchor<'static>>,
    authorities: Vec<Certificate>,
}

impl ClientAuthorities {
    /// Believes `authorities`.
    ///
    /// # Errors
    /// [`Error::Parse`] for one that cannot be an anchor.
    pub fn new(authorities: &[&Certificate]) -> Result<Self, Error> {
        let anchor = |c: &&Certificate| {
            webpki::anchor_from_trusted_cert(c.der())
                .map(|a| a.to_owned())
                .map_err(|e| Error::Parse(format!("x509: cannot trust this authority: {e}")))
        };
        let anchors = authorities.iter().map(anchor).collect::<Result<_, _>>()?;
        Ok(Self { anchors, authorities: authorities.iter().map(|c| (*c).clone()).collect() })
    }

    /// Whether a chain (leaf first, as it came in the handshake) leads to one of the authorities, is valid
    /// now and good for a client; gives back the leaf. Any bytes are safe. A leaf without extensions must be signed by
    /// one of the authorities itself.
    ///
    /// # Errors
    /// [`Error::Untrusted`] or [`Error::Parse`].
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: i64) -> Result<Certificate, Error> {
        let untrusted = |e: webpki::Error| Error::Untrusted(format!("verifying certificate failed: {e}"));
        let (leaf, intermediates) =
            chain.split_first().ok_or_else(|| Error::Untrusted("no certificate".into()))?;
        if checks::is_plain(leaf) {
            return self.verify_plain(leaf, now);
        }
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or(0)));
        webpki::EndEntityCert::try_from(leaf)
            .and_then(|entity| {
                entity.verify_for_usage(
                    webpki::ALL_VERIFICATION_ALGS,
                    &self.anchors,
                    intermediates,
                    now,
                    ClientUsage,
                    None,
                    None,
                )?;
                Ok(())
            })
            .map_err(untrusted)?;
        Certificate::from_der(leaf)
    }

    /// What has no extensions says nothing of usages, and is good for clients as it is for Go.
    fn verify_plain(&self, leaf: &CertificateDer<'_>, now: i64) -> Result<Certificate, Error> {
        let untrusted = |why| Err(Error::Untrusted(format!("verifying certificate failed: {why}")));
        let leaf = Certificate::from_der(leaf)?;
        let signs = |issuer: &&Certificate| {
            issuer.subject_der() == leaf.issuer_der() && certificate::signed_by(&leaf, issuer)
        };
        match self.authorities.iter().find(signs) {
            None => untrusted("UnknownIssuer"),
            Some(_) if now < leaf.not_before => untrusted("CertNotValidYet"),
            Some(_) if now > leaf.not_after => untrusted("CertExpired"),
            Some(_) => Ok(leaf),
        }
    }
}

/// Good for clients: no extended key usage at all, or one for clients, or the one for everything (which
/// webpki's own check does not take).
struct ClientUsage;

impl webpki::ExtendedKeyUsageValidator for ClientUsage {
    fn validate(&self, usages: webpki::KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        // Contents of the object identifiers 1.3.6.1.5.5.7.3.2 and 2.5.29.37.0.
        let client = webpki::KeyPurposeId::new(&[0x2b, 6, 1, 5, 5, 7, 3, 2]);
        let any = webpki::KeyPurposeId::new(&[0x55, 0x1d, 0x25, 0]);
        let mut present = Vec::new();
        for usage in usages {
            let usage = usage?;
            if usage == client || usage == any {
                return Ok(());
            }
            present.push(usage.to_decoded_oid());
        }
        if present.is_empty() {
            return Ok(());
        }
        let required = webpki::KeyUsage::client_auth();
        let context = webpki::RequiredEkuNotFoundContext { required, present };
        Err(webpki::Error::RequiredEkuNotFoundContext(context))
    }
}

/// The TLS side of a client that trusts servers of `authorities` and shows `identity`, if it has one.
///
/// # Errors
/// [`Error::Tls`].
pub fn client_config(
    authorities: &[&Certificate],
    identity: Option<&Identity>,
) -> Result<ClientConfig, Error> {
    let trust = Trust::new(authorities.iter().map(|authority| authority.der().clone()));
    let builder = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Tls(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust));
    let mut config = match identity {
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified(identity)?)))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The TLS side of a server: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN.
///
/// # Errors
/// [`Error::Tls`].
pub fn server_config(
    certificate: Arc<HotCertificate>,
    clients: Arc<AnyClientCertificate>,
) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Tls(e.to_string()))?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
