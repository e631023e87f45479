//! A certificate authority: its own certificate, and the certificates it issues.

use crate::key::pem;
use crate::{Certificate, Error, Name, Names, PrivateKey, PublicKey, der, oid};

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// TLS server.
    Server,
    /// TLS client.
    Client,
    /// Both (etcd's servers and peers).
    ServerAndClient,
}

/// A certificate to be issued.
#[derive(Clone, Debug)]
pub struct LeafRequest<'a> {
    /// Subject.
    pub subject: &'a Name,
    /// Alternative names.
    pub names: &'a Names,
    /// Extended key usages (object identifiers), in the order to be written.
    pub extended: &'a [&'static [u64]],
    /// Key usage bits (bit 0 = digitalSignature; RFC 5280 4.2.1.3); 0 leaves the extension out.
    pub key_usage: u16,
    /// The key to be certified (SubjectPublicKeyInfo, DER).
    pub spki: &'a [u8],
    /// Valid from, Unix seconds.
    pub not_before: i64,
    /// Valid until, Unix seconds.
    pub not_after: i64,
}

/// digitalSignature | keyEncipherment, as kubeadm sets for all leaves.
pub(crate) const SIGN_AND_ENCIPHER: u16 = 1 | 1 << 2;
/// digitalSignature | keyEncipherment | keyCertSign, as kubeadm's authorities have.
const CA_USAGE: u16 = 1 | 1 << 2 | 1 << 5;
/// Clocks of machines differ: what is made now is valid from five minutes ago.
pub(crate) const BACKDATE_SECONDS: i64 = 5 * 60;

/// A certificate with its key.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: Certificate,
    /// Its key.
    pub key: PrivateKey,
}

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    certificate: Certificate,
    key: Option<PrivateKey>,
}

impl Authority {
    /// A self-signed authority named `common_name` for `key`, valid from now (less the allowance for clocks).
    ///
    /// # Errors
    /// When signing fails.
    pub fn create(
        common_name: &str,
        key: PrivateKey,
        now: i64,
        lifetime_seconds: i64,
    ) -> Result<Self, Error> {
        let name = Name::new(common_name, &[]).to_der();
        let key_id = key_id(key.public());
        let names = Names { dns: vec![common_name.to_owned()], ..Names::default() };
        let extensions = [
            extension(oid::KEY_USAGE, true, &der::named_bits(CA_USAGE)),
            extension(oid::BASIC_CONSTRAINTS, true, &der::sequence(&[der::boolean_true()])),
            extension(oid::SUBJECT_KEY_ID, false, &der::octets(&key_id)),
            extension(oid::SUBJECT_ALT_NAME, false, &names.to_der()),
        ];
        let validity = (now.saturating_sub(BACKDATE_SECONDS), now.saturating_add(lifetime_seconds));
        let der = sign(&key, &name, &name, validity, key.public().spki(), &extensions)?;
        Ok(Self { certificate: Certificate::from_der(&der)?, key: Some(key) })
    }

    /// An authority that was made before. Without a key it can only be trusted, not issue.
    ///
    /// # Errors
    /// [`Error::Parse`] if the certificate is no authority's or the key is not its key.
    pub fn load(certificate_pem: &str, key_pem: Option<&str>) -> Result<Self, Error> {
        let certificate = Certificate::all_from_pem(certificate_pem)?
            .into_iter()
            .next()
            .ok_or_else(|| Error::Parse("no certificate found".into()))?;
        if !certificate.is_ca {
            return Err(Error::Parse("the certificate is not a certificate authority's".into()));
        }
        let key = key_pem.map(PrivateKey::from_pem).transpose()?;
        if key.as_ref().is_some_and(|k| k.public().spki() != certificate.spki()) {
            return Err(Error::Parse("the certificate and the private key do not belong together".into()));
        }
        Ok(Self { certificate, key })
    }

    /// The authority's certificate.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The authority's key, if it is here.
    pub const fn key(&self) -> Option<&PrivateKey> {
        self.key.as_ref()
    }

    /// Issues a certificate with a new key: kubeadm's usages, valid for `lifetime_seconds` from now (at
    /// most as long as the authority itself).
    ///
    /// # Errors
    /// [`Error::Key`] without the authority's key or when signing fails.
    pub fn issue(
        &self,
        subject: &Name,
        names: &Names,
        usage: Usage,
        now: i64,
        lifetime_seconds: i64,
    ) -> Result<Identity, Error> {
        let key = PrivateKey::generate()?;
        let extended: &[&[u64]] = match usage {
            Usage::Server => &[oid::SERVER_AUTH],
            Usage::Client => &[oid::CLIENT_AUTH],
            Usage::ServerAndClient => &[oid::SERVER_AUTH, oid::CLIENT_AUTH],
        };
        let certificate = self.sign(&LeafRequest {
            subject,
            names,
            extended,
            key_usage: SIGN_AND_ENCIPHER,
            spki: key.public().spki(),
            not_before: now.saturating_sub(BACKDATE_SECONDS).max(self.certificate.not_before),
            not_after: now.saturating_add(lifetime_seconds).min(self.certificate.not_after),
        })?;
        Ok(Identity { certificate, key })
    }

    /// Issues exactly what is asked for.
    ///
    /// # Errors
    /// [`Error::Key`] without the authority's key or when signing fails.
    pub fn sign(&self, leaf: &LeafRequest<'_>) -> Result<Certificate, Error> {
        let key = self.key.as_ref().ok_or(Error::Key("the certificate authority's key is not here"))?;
        let mut extensions = Vec::new();
        if leaf.key_usage != 0 {
            extensions.push(extension(oid::KEY_USAGE, true, &der::named_bits(leaf.key_usage)));
        }
        if !leaf.extended.is_empty() {
            let usages: Vec<_> = leaf.extended.iter().map(|arcs| der::oid(arcs)).collect();
            extensions.push(extension(oid::EXT_KEY_USAGE, false, &der::sequence(&usages)));
        }
        extensions.push(extension(oid::BASIC_CONSTRAINTS, true, &der::sequence(&[])));
        let authority_id = match self.certificate.subject_key_id() {
            Some(id) => id.to_vec(),
            None => key_id(key.public()),
        };
        extensions.push(extension(
            oid::AUTHORITY_KEY_ID,
            false,
            &der::sequence(&[der::implicit(0, &authority_id)]),
        ));
        let subject = leaf.subject.to_der();
        if !leaf.names.is_empty() {
            // RFC 5280 4.2.1.6: critical when there is no other name.
            let critical = subject == der::sequence(&[]);
            extensions.push(extension(oid::SUBJECT_ALT_NAME, critical, &leaf.names.to_der()));
        }
        let validity = (leaf.not_before, leaf.not_after);
        let der = sign(key, self.certificate.subject_der(), &subject, validity, leaf.spki, &extensions)?;
        Certificate::from_der(&der)
    }
}

/// RFC 7093 method 1: the leftmost 160 bits of the SHA-256 of the bare key.
fn key_id(key: &PublicKey) -> Vec<u8> {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.raw());
    digest.as_ref().iter().take(20).copied().collect()
}

pub(crate) fn extension(arcs: &[u64], critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![der::oid(arcs)];
    if critical {
        parts.push(der::boolean_true());
    }
    parts.push(der::octets(value));
    der::sequence(&parts)
}

fn sign(
    key: &PrivateKey,
    issuer: &[u8],
    subject: &[u8],
    (not_before, not_after): (i64, i64),
    spki: &[u8],
    extensions: &[Vec<u8>],
) -> Result<Vec<u8>, Error> {
    let mut serial = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| Error::Key("the system gives no randomness"))?;
    serial[0] &= 0x7f; // positive
    serial[15] |= 1; // and not zero
    let algorithm = key.public().algorithm().identifier();
    let to_be_signed = der::sequence(&[
        der::explicit(0, &der::integer(&[2])), // version 3
        der::integer(&serial),
        algorithm.clone(),
        issuer.to_vec(),
        der::sequence(&[der::time(not_before), der::time(not_after)]),
        subject.to_vec(),
        spki.to_vec(),
        der::explicit(3, &der::sequence(extensions)),
    ]);
    let signature = key.sign_x509(&to_be_signed)?;
    Ok(der::sequence(&[to_be_signed, algorithm, der::bits(&signature)]))
}

impl Identity {
    /// The certificate as PEM.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", self.certificate.der())
    }
}
