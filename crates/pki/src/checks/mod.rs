//! What Go's `crypto/x509` and `crypto/tls` say of requests, certificates and keys that somebody sends: the API server
//! shows these texts. Any bytes are safe.
//!
//! Upstream: `crypto/x509/parser.go`, `crypto/x509/x509.go` (`checkSignature`), `crypto/tls/tls.go` (`X509KeyPair`).

mod asn1;
mod server;

use crate::key::ecdsa_point;
use crate::{Certificate, oid};
use asn1::{Field, Type, element};
use aws_lc_rs::signature::{self as sig, Ed25519KeyPair, KeyPair, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

pub use server::server;

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `[0]`, around others.
const EXPLICIT_0: u8 = 0xa0;

const ALGORITHM: Type =
    Type::Struct("AlgorithmIdentifier", &[Field::of(Type::Oid), Field::optional(Type::Raw)]);
const PUBLIC_KEY: Type = Type::Struct("publicKeyInfo", &[Field::of(ALGORITHM), Field::of(Type::BitString)]);
const INFO: Type = Type::Struct(
    "tbsCertificateRequest",
    &[Field::of(Type::Int), Field::of(Type::Raw), Field::of(PUBLIC_KEY), Field::of(Type::Tagged(0))],
);
const REQUEST: Type =
    Type::Struct("certificateRequest", &[Field::of(INFO), Field::of(ALGORITHM), Field::of(Type::BitString)]);

/// Checks a PKCS #10 request and its signature.
///
/// # Errors
/// What is wrong with it.
pub fn request(der: &[u8]) -> Result<(), String> {
    let mut rest = der;
    asn1::read(&mut rest, Field::of(REQUEST))?;
    if !rest.is_empty() {
        return Err("asn1: syntax error: trailing data".into());
    }
    let (_, request) =
        X509CertificationRequest::from_der(der).map_err(|error| format!("asn1: structure error: {error}"))?;
    let info = &request.certification_request_info;
    let key = Key::of_certificate(&info.subject_pki)?;
    let algorithm: Vec<u64> =
        request.signature_algorithm.algorithm.iter().map(Iterator::collect).unwrap_or_default();
    key.verify(&algorithm, info.raw, &request.signature_value.data)
}

/// Checks one certificate, or several one after the other.
///
/// # Errors
/// What is wrong with the first that something is wrong with.
pub fn certificate(der: &[u8]) -> Result<(), String> {
    let mut rest = der;
    while !rest.is_empty() {
        let begin = rest;
        let fields = element(&mut rest, SEQUENCE).ok_or("x509: malformed certificate")?;
        certificate_fields(fields)?;
        let whole = &begin[..begin.len() - rest.len()];
        if Certificate::from_der(whole).is_err() {
            return Err("x509: malformed certificate".into());
        }
    }
    Ok(())
}

/// What Go looks at first.
fn certificate_fields(fields: &[u8]) -> Result<(), &'static str> {
    let mut outer = fields;
    let mut inner = element(&mut outer, SEQUENCE).ok_or("x509: malformed tbs certificate")?;
    if let Some(mut version) = element(&mut inner, EXPLICIT_0) {
        match element(&mut version, INTEGER) {
            Some([0..=2]) => {}
            Some([0x80..=0xff, ..]) | None => return Err("x509: malformed version"),
            Some(_) => return Err("x509: invalid version"),
        }
    }
    match element(&mut inner, INTEGER) {
        None | Some([]) => return Err("x509: malformed serial number"),
        Some([0x80..=0xff, ..]) => return Err("x509: negative serial number"),
        Some(_) => {}
    }
    let algorithm = element(&mut inner, SEQUENCE).ok_or("x509: malformed signature algorithm identifier")?;
    let outer_algorithm = element(&mut outer, SEQUENCE).ok_or("x509: malformed algorithm identifier")?;
    if algorithm != outer_algorithm {
        return Err("x509: inner and outer signature algorithm identifiers don't match");
    }
    element(&mut inner, SEQUENCE).ok_or("x509: malformed issuer")?;
    element(&mut inner, SEQUENCE).ok_or("x509: malformed validity")?;
    element(&mut inner, SEQUENCE).ok_or("x509: malformed issuer")?;
    element(&mut inner, SEQUENCE).ok_or("x509: malformed spki")?;
    element(&mut outer, BITS).ok_or("x509: malformed signature")?;
    Ok(())
}

/// Whether a certificate is of a version before 3, without extensions. Go takes them, and so simple a certificate is
/// what `openssl x509 -req` makes of a request; webpki refuses them.
pub(crate) fn is_plain(mut der: &[u8]) -> bool {
    let Some(mut fields) = element(&mut der, SEQUENCE) else { return false };
    let Some(mut inner) = element(&mut fields, SEQUENCE) else { return false };
    match element(&mut inner, EXPLICIT_0) {
        None => element(&mut inner, INTEGER).is_some(),
        Some(mut version) => matches!(element(&mut version, INTEGER), Some([0..=1])),
    }
}

/// Checks that a certificate is of a private key: PKCS #8, PKCS #1 or SEC 1.
///
/// # Errors
/// What is wrong with either, or that they do not belong together.
pub fn key_pair(certificate: &[u8], key: &[u8]) -> Result<(), String> {
    let mut rest = certificate;
    if element(&mut rest, SEQUENCE).is_some() && !rest.is_empty() {
        return Err("x509: trailing data".into());
    }
    self::certificate(certificate)?;
    let parsed = Certificate::from_der(certificate).map_err(|_| "x509: malformed certificate")?;
    let (_, spki) = SubjectPublicKeyInfo::from_der(parsed.spki()).map_err(|_| "x509: malformed spki")?;
    let public = Key::of_certificate(&spki)?;
    let own = Key::of_private(key)?;
    match (&public, &own) {
        (Key::Rsa { modulus: public, .. }, Key::Rsa { modulus: own, .. }) if public == own => Ok(()),
        (Key::Ecdsa { point: public, .. }, Key::Ecdsa { point: own, .. }) if public == own => Ok(()),
        (Key::Ed25519(public), Key::Ed25519(own)) if public == own => Ok(()),
        (Key::Rsa { .. }, Key::Rsa { .. })
        | (Key::Ecdsa { .. }, Key::Ecdsa { .. })
        | (Key::Ed25519(_), Key::Ed25519(_)) => Err("tls: private key does not match public key".into()),
        (Key::Other, _) => Err("tls: unknown public key algorithm".into()),
        _ => Err("tls: private key type does not match public key type".into()),
    }
}

/// A public key.
enum Key {
    Rsa { modulus: Vec<u8>, der: Vec<u8> },
    Ecdsa { curve: Vec<u64>, point: Vec<u8> },
    Ed25519(Vec<u8>),
    Other,
}

/// Signature algorithms by identifier, those of RSA. SHA-1 and older are refused by Go, too.
static RSA: [(&[u64], &dyn VerificationAlgorithm); 3] = [
    (oid::RSA_SHA256, &sig::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
    (oid::RSA_SHA384, &sig::RSA_PKCS1_2048_8192_SHA384),
    (oid::RSA_SHA512, &sig::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY),
];

/// Those of ECDSA, by curve and identifier.
static ECDSA: [(&[u64], &[u64], &dyn VerificationAlgorithm); 9] = [
    (oid::P256, oid::ECDSA_SHA256, &sig::ECDSA_P256_SHA256_ASN1),
    (oid::P256, oid::ECDSA_SHA384, &sig::ECDSA_P256_SHA384_ASN1),
    (oid::P256, oid::ECDSA_SHA512, &sig::ECDSA_P256_SHA512_ASN1),
    (oid::P384, oid::ECDSA_SHA256, &sig::ECDSA_P384_SHA256_ASN1),
    (oid::P384, oid::ECDSA_SHA384, &sig::ECDSA_P384_SHA384_ASN1),
    (oid::P384, oid::ECDSA_SHA512, &sig::ECDSA_P384_SHA512_ASN1),
    (oid::P521, oid::ECDSA_SHA256, &sig::ECDSA_P521_SHA256_ASN1),
    (oid::P521, oid::ECDSA_SHA384, &sig::ECDSA_P521_SHA384_ASN1),
    (oid::P521, oid::ECDSA_SHA512, &sig::ECDSA_P521_SHA512_ASN1),
];

impl Key {
    fn of_certificate(spki: &SubjectPublicKeyInfo<'_>) -> Result<Self, String> {
        let algorithm: Vec<u64> = spki.algorithm.algorithm.iter().map(Iterator::collect).unwrap_or_default();
        let bytes = &spki.subject_public_key.data;
        match algorithm.as_slice() {
            oid::RSA => {
                let modulus = rsa_modulus(bytes, false).ok_or("x509: invalid RSA public key")?;
                Ok(Self::Rsa { modulus, der: bytes.to_vec() })
            }
            oid::EC => {
                let curve = spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
                let curve: Vec<u64> = curve
                    .and_then(|curve| curve.iter().map(Iterator::collect))
                    .ok_or("x509: invalid ECDSA parameters")?;
                if ![oid::P224, oid::P256, oid::P384, oid::P521].contains(&curve.as_slice()) {
                    return Err("x509: unsupported elliptic curve".into());
                }
                Ok(Self::Ecdsa { curve, point: bytes.to_vec() })
            }
            oid::ED25519 if bytes.len() == sig::ED25519_PUBLIC_KEY_LEN => Ok(Self::Ed25519(bytes.to_vec())),
            oid::ED25519 => Err("x509: wrong Ed25519 public key size".into()),
            _ => Ok(Self::Other),
        }
    }

    /// The public half of a private key.
    fn of_private(der: &[u8]) -> Result<Self, String> {
        const FAILED: &str = "tls: failed to parse private key";
        if let Some(modulus) = rsa_modulus(der, true) {
            return Ok(Self::Rsa { modulus, der: Vec::new() });
        }
        let ecdsa = |der| ecdsa_point(der).map(|point| Self::Ecdsa { curve: Vec::new(), point });
        let Some((algorithm, inner)) = pkcs8(der) else { return ecdsa(der).ok_or_else(|| FAILED.to_owned()) };
        let key = match algorithm.as_slice() {
            oid::RSA => rsa_modulus(inner, true).map(|modulus| Self::Rsa { modulus, der: Vec::new() }),
            oid::EC => ecdsa(der),
            oid::ED25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                .ok()
                .map(|pair| Self::Ed25519(pair.public_key().as_ref().to_vec())),
            _ => return Err(FAILED.into()),
        };
        key.ok_or_else(|| FAILED.to_owned())
    }

    /// Checks a signature of this key.
    fn verify(&self, algorithm: &[u64], message: &[u8], signature: &[u8]) -> Result<(), String> {
        const UNKNOWN: &str = "x509: cannot verify signature: algorithm unimplemented";
        let (verifier, bytes, failed): (&dyn VerificationAlgorithm, &[u8], &str) = match self {
            Self::Rsa { der, .. } => {
                let known = RSA.iter().find(|(oid, _)| *oid == algorithm);
                (known.ok_or(UNKNOWN)?.1, der, "crypto/rsa: verification error")
            }
            Self::Ecdsa { curve, point } => {
                let known = ECDSA.iter().find(|(of, oid, _)| *of == curve.as_slice() && *oid == algorithm);
                (known.ok_or(UNKNOWN)?.2, point, "x509: ECDSA verification failure")
            }
            Self::Ed25519(key) if algorithm == oid::ED25519 => {
                (&sig::ED25519, key, "x509: Ed25519 verification failure")
            }
            _ => return Err(UNKNOWN.into()),
        };
        let key = UnparsedPublicKey::new(verifier, bytes);
        key.verify(message, signature).map_err(|_| failed.to_owned())
    }
}

/// The modulus of an RSA key in PKCS #1: of a public key, or of a private one, which begins with a version.
fn rsa_modulus(der: &[u8], is_private: bool) -> Option<Vec<u8>> {
    let mut rest = der;
    let mut fields = element(&mut rest, SEQUENCE).filter(|_| rest.is_empty())?;
    if is_private {
        element(&mut fields, INTEGER).filter(|version| version.len() == 1)?;
    }
    let modulus = element(&mut fields, INTEGER).filter(|modulus| modulus.len() > 1)?;
    element(&mut fields, INTEGER)?;
    Some(modulus.iter().copied().skip_while(|byte| *byte == 0).collect())
}

/// The algorithm of a key in PKCS #8 (RFC 5958), and the key.
fn pkcs8(der: &[u8]) -> Option<(Vec<u64>, &[u8])> {
    let mut rest = der;
    let mut fields = element(&mut rest, SEQUENCE)?;
    element(&mut fields, INTEGER)?;
    let mut algorithm = element(&mut fields, SEQUENCE)?;
    let oid = x509_parser::der_parser::oid::Oid::new(element(&mut algorithm, OID)?.into());
    Some((oid.iter()?.collect(), element(&mut fields, OCTETS)?))
}

#[cfg(test)]
mod tests;
