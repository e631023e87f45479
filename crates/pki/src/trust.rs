//! Whom a client believes to be the server that it called.

use crate::{Certificate, Error, checks};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Where systems keep the authorities that they believe, as Go looks for them (`crypto/x509/root_linux.go`).
const SYSTEM_FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Believes who is signed by one of some certificates, or shows one of them himself.
///
/// The second is Go's rule (`crypto/x509`, `Certificate.Verify`: a root may be the chain), by which a server's own
/// certificate can be its bundle, whether it is an authority's or not; webpki knows authorities only. Who is refused is
/// told why in Go's words ([`refusal`]).
#[derive(Clone, Debug)]
pub struct Trust {
    certificates: Arc<[CertificateDer<'static>]>,
    /// `None` if nobody can be signed by the certificates.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    /// The name that is to be shown, if it is not that of who is called.
    name: Option<ServerName<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    /// Believes by `certificates`: without any, nobody.
    pub fn new(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        let certificates: Arc<[_]> = certificates.into_iter().collect();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok();
        Self { certificates, authorities, name: None, algorithms }
    }

    /// Believes by the certificates of a PEM text.
    ///
    /// # Errors
    /// [`Error::Parse`]: it has none.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        let certificates: Vec<_> = certificates(pem);
        if certificates.is_empty() {
            return Err(Error::Parse("no valid certificate authority data seen".into()));
        }
        Ok(Self::new(certificates))
    }

    /// Believes whom this machine believes. What it has is read once.
    pub fn system() -> Self {
        static SYSTEM: OnceLock<Trust> = OnceLock::new();
        SYSTEM.get_or_init(|| Self::new(first_of(SYSTEM_FILES.map(Path::new)))).clone()
    }

    /// Believes under this name, whatever address is called.
    #[must_use]
    pub fn under(self, name: ServerName<'static>) -> Self {
        Self { name: Some(name), ..self }
    }
}

/// The certificates of the first file that has some.
fn first_of<'a>(files: impl IntoIterator<Item = &'a Path>) -> Vec<CertificateDer<'static>> {
    let read = files.into_iter().filter_map(|file| std::fs::read(file).ok());
    read.map(|pem| certificates(&pem)).find(|found| !found.is_empty()).unwrap_or_default()
}

/// Those that can be read, as Go's `AppendCertsFromPEM`.
fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    let all = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    all.filter(|der| Certificate::from_der(der).is_ok()).collect()
}

/// Why a certificate is not believed, in Go's words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Fault(String);

impl From<Fault> for rustls::Error {
    fn from(fault: Fault) -> Self {
        CertificateError::Other(OtherError(Arc::new(fault))).into()
    }
}

/// What was told of a certificate that is not believed; `None` for another trouble of TLS.
pub fn refusal(error: &rustls::Error) -> Option<String> {
    let rustls::Error::InvalidCertificate(error) = error else { return None };
    Some(match error {
        CertificateError::Other(told) => told.0.to_string(),
        other => format!("x509: {other}"),
    })
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let server_name = self.name.as_ref().unwrap_or(server_name);
        // Go looks at that first, and tells it though nobody is known who signed.
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        checks::server(end_entity, server_name, seconds).map_err(Fault)?;
        if self.certificates.contains(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let unknown = || Fault("x509: certificate signed by unknown authority".to_owned());
        let authorities = self.authorities.as_ref().ok_or_else(unknown)?;
        let judged =
            authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        judged.map_err(|error| match error {
            rustls::Error::InvalidCertificate(why) => match why {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => unknown().into(),
                // The certificate itself was looked at above: it is one of those between it and the authority.
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => {
                    Fault("x509: certificate has expired or is not yet valid".to_owned()).into()
                }
                other => Fault(format!("x509: {other}")).into(),
            },
            other => other,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, Name, Names, PrivateKey, Usage};
    use std::time::Duration;

    const NOW: i64 = 1_800_000_000;

    fn authority() -> Authority {
        Authority::create("localhost", PrivateKey::generate().unwrap(), NOW, 9_000).unwrap()
    }

    fn issue(authority: &Authority) -> Certificate {
        let names = Names { dns: vec!["localhost".into()], ..Names::default() };
        authority.issue(&Name::new("server", &[]), &names, Usage::Server, NOW, 600).unwrap().certificate
    }

    fn by(certificate: &Certificate) -> Trust {
        Trust::from_pem(certificate.to_pem().as_bytes()).unwrap()
    }

    fn check(trust: &Trust, shown: &Certificate, name: &'static str, now: i64) -> String {
        let name = ServerName::try_from(name).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.unsigned_abs()));
        match trust.verify_server_cert(shown.der(), &[], &name, &[], now) {
            Ok(_) => "believed".to_owned(),
            Err(error) => refusal(&error).expect("it is the certificate"),
        }
    }

    #[test]
    fn authorities_and_certificates_themselves_are_believed() {
        let authority = authority();
        let (leaf, other, root) = (issue(&authority), issue(&authority), authority.certificate());
        let other_name = "x509: certificate is valid for localhost, not elsewhere";
        let no_ip = "x509: cannot validate certificate for 192.0.2.1 because it doesn't contain any IP SANs";
        let unknown = "x509: certificate signed by unknown authority";
        let lapsed = |how| format!("x509: certificate has expired or is not yet valid: current time {how}");
        assert_eq!(check(&by(root), &leaf, "localhost", NOW), "believed");
        assert_eq!(check(&by(&leaf), &leaf, "localhost", NOW), "believed");
        assert_eq!(check(&by(root), root, "localhost", NOW), "believed", "it signed itself");
        assert_eq!(check(&by(&leaf), &leaf, "elsewhere", NOW), other_name);
        assert_eq!(check(&by(&other), &leaf, "192.0.2.1", NOW), no_ip, "the name is told first");
        let named = |name: &'static str| by(root).under(ServerName::try_from(name).unwrap());
        assert_eq!(check(&named("localhost"), &leaf, "elsewhere", NOW), "believed");
        assert_eq!(check(&named("elsewhere"), &leaf, "localhost", NOW), other_name);
        assert_eq!(
            check(&by(&leaf), &leaf, "localhost", NOW + 601),
            lapsed("2027-01-15T08:10:01Z is after 2027-01-15T08:10:00Z")
        );
        assert_eq!(
            check(&by(&leaf), &leaf, "localhost", NOW - 100_000),
            lapsed("2027-01-14T04:13:20Z is before 2027-01-15T07:55:00Z")
        );
        assert_eq!(check(&by(&leaf), &other, "localhost", NOW), unknown);
        assert_eq!(check(&Trust::new([]), &leaf, "localhost", NOW), unknown);
    }

    #[test]
    fn texts_without_a_certificate_are_refused() {
        for text in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(Trust::from_pem(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_first_file_that_has_certificates_counts() {
        let (first, second) = (authority(), authority());
        let folder = crate::tests::Folder::new();
        let dir = &folder.0;
        std::fs::create_dir_all(dir).unwrap();
        let file = |name: &str, text: String| {
            std::fs::write(dir.join(name), text).unwrap();
            dir.join(name)
        };
        let files = [
            dir.join("missing"),
            file("empty", String::new()),
            file("first", first.certificate().to_pem()),
            file("second", second.certificate().to_pem()),
        ];
        let found = first_of(files.iter().map(std::path::PathBuf::as_path));
        assert_eq!(found, [first.certificate().der().clone()]);
    }
}
