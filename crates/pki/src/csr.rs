//! Certificate signing requests (PKCS #10, RFC 2986). Any bytes are safe.

use crate::authority::extension;
use crate::key::pem;
use crate::{Error, Name, Names, PrivateKey, PublicKey, der, oid};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::{PemObject, SectionKind};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;

/// The largest request read: far above what any key and any list of names needs.
const REQUEST_BYTES_MAX: usize = 256 * 1024;

/// A request whose form was checked, but not yet what it asks for.
#[derive(Clone, Debug)]
pub struct CertificateRequest {
    /// The subject asked for.
    pub subject: Name,
    /// The alternative names asked for.
    pub names: Names,
    pub(crate) spki: Vec<u8>,
    signed: bool,
}

impl CertificateRequest {
    /// Reads `spec.request` of a CertificateSigningRequest: the first PEM block, which must be a
    /// `CERTIFICATE REQUEST`.
    ///
    /// # Errors
    /// [`Error::Parse`] with upstream's text where it has one.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        const WRONG: &str = "PEM block type must be CERTIFICATE REQUEST";
        if pem.len() > REQUEST_BYTES_MAX {
            return Err(Error::Parse("certificate request is too large".into()));
        }
        match <(SectionKind, Vec<u8>) as PemObject>::from_pem_slice(pem) {
            Ok((SectionKind::Csr, der)) => Self::from_der(&CertificateSigningRequestDer::from(der)),
            _ => Err(Error::Parse(WRONG.into())),
        }
    }

    /// Reads DER.
    ///
    /// # Errors
    /// [`Error::Parse`].
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let bad =
            |e: &dyn std::fmt::Display| Error::Parse(format!("asn1: malformed certificate request: {e}"));
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|e| bad(&e))?;
        if !rest.is_empty() {
            return Err(bad(&"trailing data"));
        }
        let info = &request.certification_request_info;
        let mut names = Names::default();
        for extension in request.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(san) = extension {
                names = Names::read(&san.general_names)?;
            }
        }
        let spki = info.subject_pki.raw.to_vec();
        let by_p521 = |key: PublicKey| key.verifies_p521(info.raw, &request.signature_value.data);
        // x509-parser knows no P-521.
        let signed = request.verify_signature().is_ok() || PublicKey::from_spki(&spki).is_ok_and(by_p521);
        Ok(Self { subject: Name::read(&info.subject), names, spki, signed })
    }

    /// A request for a certificate of `key` with this subject and these names, as PEM.
    ///
    /// # Errors
    /// [`Error::Key`] when signing fails.
    pub fn create(subject: &Name, names: &Names, key: &PrivateKey) -> Result<String, Error> {
        let mut attributes = Vec::new();
        if !names.is_empty() {
            let extensions = der::sequence(&[extension(oid::SUBJECT_ALT_NAME, false, &names.to_der())]);
            attributes = der::sequence(&[der::oid(oid::EXTENSION_REQUEST), der::set_of(vec![extensions])]);
        }
        let info = der::sequence(&[
            der::integer(&[0]), // version 1
            subject.to_der(),
            key.public().spki().to_vec(),
            der::explicit(0, &attributes),
        ]);
        let signature = key.sign_x509(&info)?;
        let algorithm = key.public().algorithm().identifier();
        Ok(pem("CERTIFICATE REQUEST", &der::sequence(&[info, algorithm, der::bits(&signature)])))
    }

    /// Whether the request is signed by the key it asks a certificate for.
    pub const fn proves_possession(&self) -> bool {
        self.signed
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_made_is_read() {
        let key = PrivateKey::generate().unwrap();
        let subject = Name::new("system:node:n1", &["system:nodes"]);
        let names =
            Names { dns: vec!["n1".into()], ips: vec!["10.0.0.1".parse().unwrap()], ..Names::default() };
        for names in [names, Names::default()] {
            let text = CertificateRequest::create(&subject, &names, &key).unwrap();
            let read = CertificateRequest::from_pem(text.as_bytes()).unwrap();
            assert!(read.proves_possession());
            assert_eq!(
                (read.subject, read.names, read.spki),
                (subject.clone(), names, key.public().spki().to_vec())
            );
        }
    }
}
