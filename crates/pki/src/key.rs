//! Private and public keys: made as ECDSA P-256, read as P-256, P-384, P-521 or RSA.

use crate::{Error, Secret, der, oid};
use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self as sig, EcdsaKeyPair, KeyPair, RsaKeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use std::fmt;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

/// What kind of key it is, named as JOSE names the signatures made with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// RSA with PKCS #1 v1.5 padding and SHA-256.
    Rs256,
}

/// The curves, for trying one after the other: algorithm, X.509 signing, JOSE signing.
static CURVES: [(Algorithm, &sig::EcdsaSigningAlgorithm, &sig::EcdsaSigningAlgorithm); 3] = [
    (Algorithm::Es256, &sig::ECDSA_P256_SHA256_ASN1_SIGNING, &sig::ECDSA_P256_SHA256_FIXED_SIGNING),
    (Algorithm::Es384, &sig::ECDSA_P384_SHA384_ASN1_SIGNING, &sig::ECDSA_P384_SHA384_FIXED_SIGNING),
    (Algorithm::Es512, &sig::ECDSA_P521_SHA512_ASN1_SIGNING, &sig::ECDSA_P521_SHA512_FIXED_SIGNING),
];

impl Algorithm {
    /// The name in a JWT's `alg`.
    pub const fn jose(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Rs256 => "RS256",
        }
    }

    /// The AlgorithmIdentifier of X.509 signatures made with such a key.
    pub(crate) fn identifier(self) -> Vec<u8> {
        match self {
            Self::Es256 => der::sequence(&[der::oid(oid::ECDSA_SHA256)]),
            Self::Es384 => der::sequence(&[der::oid(oid::ECDSA_SHA384)]),
            Self::Es512 => der::sequence(&[der::oid(oid::ECDSA_SHA512)]),
            Self::Rs256 => der::sequence(&[der::oid(oid::RSA_SHA256), der::null()]),
        }
    }
}

enum Pair {
    /// One key held twice: signatures in X.509's and in JOSE's form.
    Ecdsa {
        asn1: EcdsaKeyPair,
        fixed: EcdsaKeyPair,
    },
    Rsa(RsaKeyPair),
}

/// A private key that can sign certificates and tokens.
pub struct PrivateKey {
    pair: Pair,
    public: PublicKey,
    pkcs8: Secret,
    pem: Secret,
}

impl PrivateKey {
    /// A new P-256 key.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> Result<Self, Error> {
        const FAILED: Error = Error::Key("generating a key failed");
        let pair = EcdsaKeyPair::generate(&sig::ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| FAILED)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| FAILED)?;
        Self::from_der(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec())))
    }

    /// A new RSA key of 2048 bits, for tests and for verifiers that know no ECDSA.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate_rsa() -> Result<Self, Error> {
        const FAILED: Error = Error::Key("generating a key failed");
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| FAILED)?;
        let pkcs8 = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| FAILED)?;
        Self::from_der(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec())))
    }

    /// The first private key in a PEM text: PKCS #8, SEC 1 (`EC PRIVATE KEY`) or PKCS #1
    /// (`RSA PRIVATE KEY`), as `keyutil.ParsePrivateKeyPEM` accepts them.
    ///
    /// # Errors
    /// [`Error::Key`] if there is none or its kind is not supported.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| Error::Key("data does not contain a valid RSA or ECDSA private key"))?;
        Self::from_der(&der)
    }

    fn from_der(key: &PrivateKeyDer<'_>) -> Result<Self, Error> {
        const UNSUPPORTED: Error = Error::Key("data does not contain a valid RSA or ECDSA private key");
        let der = key.secret_der();
        for (algorithm, asn1, fixed) in &CURVES {
            let Ok(pair) = EcdsaKeyPair::from_private_key_der(asn1, der) else { continue };
            let fixed = EcdsaKeyPair::from_private_key_der(fixed, der).map_err(|_| UNSUPPORTED)?;
            let spki = pair.public_key().as_der().map_err(|_| UNSUPPORTED)?;
            let pkcs8 = pair.to_pkcs8v1().map_err(|_| UNSUPPORTED)?;
            let sec1: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().map_err(|_| UNSUPPORTED)?;
            return Ok(Self {
                public: PublicKey::new(
                    *algorithm,
                    spki.as_ref().to_vec(),
                    pair.public_key().as_ref().to_vec(),
                ),
                pkcs8: Secret::new(pkcs8.as_ref()),
                pem: Secret::new(pem("EC PRIVATE KEY", sec1.as_ref())),
                pair: Pair::Ecdsa { asn1: pair, fixed },
            });
        }
        let pair =
            RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)).map_err(|_| UNSUPPORTED)?;
        let spki = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key())
            .map_err(|_| UNSUPPORTED)?;
        let pkcs8 = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| UNSUPPORTED)?;
        Ok(Self {
            public: PublicKey::new(
                Algorithm::Rs256,
                spki.as_ref().to_vec(),
                pair.public_key().as_ref().to_vec(),
            ),
            pkcs8: Secret::new(pkcs8.as_ref()),
            pem: Secret::new(pem("PRIVATE KEY", pkcs8.as_ref())),
            pair: Pair::Rsa(pair),
        })
    }

    /// Its public half.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The key as PEM: an ECDSA key as `EC PRIVATE KEY` (SEC 1), as upstream's `keyutil.MarshalPrivateKeyToPEM` writes
    /// it. Clients that tell its kind by that line, such as fabric8's of Java, take PKCS #8 for RSA and fail.
    pub fn to_pem(&self) -> Secret {
        self.pem.clone()
    }

    /// The key as PKCS #8, for TLS.
    pub(crate) fn to_tls(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.expose().to_vec()))
    }

    /// A signature as X.509 wants it.
    pub(crate) fn sign_x509(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.pair {
            Pair::Ecdsa { asn1, .. } => sign_ecdsa(asn1, message),
            Pair::Rsa(pair) => sign_rsa(pair, message),
        }
    }

    /// A signature as JOSE wants it (RFC 7518 3.3, 3.4).
    pub(crate) fn sign_jose(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.pair {
            Pair::Ecdsa { fixed, .. } => sign_ecdsa(fixed, message),
            Pair::Rsa(pair) => sign_rsa(pair, message),
        }
    }
}

/// The uncompressed point of the public half of an ECDSA key (PKCS #8 or SEC 1).
pub(crate) fn ecdsa_point(der: &[u8]) -> Option<Vec<u8>> {
    let read = |(_, asn1, _): &(Algorithm, &'static sig::EcdsaSigningAlgorithm, _)| {
        EcdsaKeyPair::from_private_key_der(asn1, der).ok()
    };
    CURVES.iter().find_map(read).map(|pair| pair.public_key().as_ref().to_vec())
}

fn sign_ecdsa(pair: &EcdsaKeyPair, message: &[u8]) -> Result<Vec<u8>, Error> {
    let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| Error::Key("signing failed"))?;
    Ok(signature.as_ref().to_vec())
}

fn sign_rsa(pair: &RsaKeyPair, message: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = vec![0; pair.public_modulus_len()];
    pair.sign(&sig::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut out)
        .map_err(|_| Error::Key("signing failed"))?;
    Ok(out)
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, id {})", self.public.algorithm.jose(), self.public.id)
    }
}

/// A public key that can verify tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    spki: Vec<u8>,
    /// The bare key: an uncompressed point, or PKCS #1.
    raw: Vec<u8>,
    id: String,
}

impl PublicKey {
    fn new(algorithm: Algorithm, spki: Vec<u8>, raw: Vec<u8>) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &spki);
        Self { algorithm, id: URL_SAFE_NO_PAD.encode(digest.as_ref()), spki, raw }
    }

    /// All public keys in a PEM text (`PUBLIC KEY` blocks; the public halves of private keys and
    /// certificates' keys count too, as in `keyutil.ParsePublicKeysPEM`).
    ///
    /// # Errors
    /// [`Error::Key`] if there is none, or one cannot be read.
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>, Error> {
        const NONE: Error = Error::Key("data does not contain any valid RSA or ECDSA public keys");
        let mut keys = Vec::new();
        for spki in SubjectPublicKeyInfoDer::pem_slice_iter(text.as_bytes()) {
            keys.push(Self::from_spki(&spki.map_err(|_| NONE)?)?);
        }
        for private in PrivateKeyDer::pem_slice_iter(text.as_bytes()) {
            keys.push(PrivateKey::from_der(&private.map_err(|_| NONE)?)?.public);
        }
        for cert in crate::Certificate::all_from_pem(text)? {
            keys.push(Self::from_spki(cert.spki())?);
        }
        if keys.is_empty() { Err(NONE) } else { Ok(keys) }
    }

    /// Reads a SubjectPublicKeyInfo (DER).
    ///
    /// # Errors
    /// [`Error::Key`] for a malformed one or an unsupported kind.
    pub fn from_spki(spki: &[u8]) -> Result<Self, Error> {
        const BAD: Error = Error::Key("malformed or unsupported public key");
        let (rest, info) = SubjectPublicKeyInfo::from_der(spki).map_err(|_| BAD)?;
        if !rest.is_empty() {
            return Err(BAD);
        }
        let raw = info.subject_public_key.data.to_vec();
        let algorithm = match info.parsed() {
            Ok(Parsed::RSA(_)) => Algorithm::Rs256,
            Ok(Parsed::EC(_)) => match raw.len() {
                65 => Algorithm::Es256,
                97 => Algorithm::Es384,
                133 => Algorithm::Es512,
                _ => return Err(BAD),
            },
            _ => return Err(BAD),
        };
        Ok(Self::new(algorithm, spki.to_vec(), raw))
    }

    /// Its kind.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key id that upstream derives: unpadded base64url of the SHA-256 of the SubjectPublicKeyInfo.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The SubjectPublicKeyInfo (DER).
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The bare key: the content of the SubjectPublicKeyInfo's BIT STRING.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The key as PEM.
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki)
    }

    /// Whether `signature` (JOSE's form) is this key's over `message`.
    pub(crate) fn verifies_jose(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &dyn sig::VerificationAlgorithm = match self.algorithm {
            Algorithm::Es256 => &sig::ECDSA_P256_SHA256_FIXED,
            Algorithm::Es384 => &sig::ECDSA_P384_SHA384_FIXED,
            Algorithm::Es512 => &sig::ECDSA_P521_SHA512_FIXED,
            Algorithm::Rs256 => &sig::RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, &self.raw).verify(message, signature).is_ok()
    }

    /// Whether `signature` (X.509's form) is this P-521 key's over `message`, by whatever hash; other kinds are
    /// x509-parser's business.
    pub(crate) fn verifies_p521(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithms: [&dyn sig::VerificationAlgorithm; 3] =
            [&sig::ECDSA_P521_SHA512_ASN1, &sig::ECDSA_P521_SHA384_ASN1, &sig::ECDSA_P521_SHA256_ASN1];
        let verifies =
            |algorithm| UnparsedPublicKey::new(algorithm, &self.raw).verify(message, signature).is_ok();
        self.algorithm == Algorithm::Es512 && algorithms.into_iter().any(verifies)
    }

    /// The members of a JWK (RFC 7517) in go-jose's order.
    pub(crate) fn jwk(&self) -> serde_json::Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = serde_json::Map::new();
        let mut put = |key: &str, value: &str| jwk.insert(key.to_owned(), value.into());
        put("use", "sig");
        let crv = match self.algorithm {
            Algorithm::Es256 => "P-256",
            Algorithm::Es384 => "P-384",
            Algorithm::Es512 => "P-521",
            Algorithm::Rs256 => {
                put("kty", "RSA");
                put("kid", &self.id);
                put("alg", "RS256");
                let info = SubjectPublicKeyInfo::from_der(&self.spki);
                if let Ok((_, Ok(Parsed::RSA(rsa)))) = info.as_ref().map(|(rest, info)| (rest, info.parsed()))
                {
                    put("n", &b64(without_leading_zeros(rsa.modulus)));
                    put("e", &b64(without_leading_zeros(rsa.exponent)));
                }
                return jwk.into();
            }
        };
        put("kty", "EC");
        put("kid", &self.id);
        put("crv", crv);
        put("alg", self.algorithm.jose());
        let (x, y) = self.raw.get(1..).unwrap_or_default().split_at(self.raw.len().saturating_sub(1) / 2);
        put("x", &b64(x));
        put("y", &b64(y));
        jwk.into()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, id {})", self.algorithm.jose(), self.id)
    }
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let skip = bytes.iter().take_while(|b| **b == 0).count();
    bytes.get(skip..).unwrap_or_default()
}

/// A PEM block with lines of 64 characters.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}
