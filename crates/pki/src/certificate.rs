//! Reading certificates: who they name, by whom and for how long.

use crate::der;
use crate::key::pem;
use crate::{Error, oid};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::net::IpAddr;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};
use x509_parser::x509::SubjectPublicKeyInfo;

/// A subject's attributes that have a meaning here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// `CN`: the user's name. Of several the last one counts, as in Go.
    pub common_name: String,
    /// `O`: the user's groups.
    pub organizations: Vec<String>,
    /// `OU`.
    pub organizational_units: Vec<String>,
    /// Attributes 1.3.6.1.4.1.57683.2, the user's UID; more than one is an error of the certificate.
    pub uids: Vec<String>,
    /// What Go's `pkix.Name` keeps beside: (oid, value) in order.
    pub(crate) others: Vec<(&'static [u64], String)>,
}

impl Name {
    /// A name of a common name and organizations.
    pub fn new(common_name: impl Into<String>, organizations: &[&str]) -> Self {
        Self {
            common_name: common_name.into(),
            organizations: organizations.iter().map(|o| (*o).to_owned()).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn read(name: &X509Name<'_>) -> Self {
        let mut out = Self::default();
        for attribute in name.iter_attributes() {
            let Ok(value) = attribute.as_str() else { continue };
            let arcs: Vec<u64> = attribute.attr_type().iter().map(Iterator::collect).unwrap_or_default();
            let value = value.to_owned();
            match arcs.as_slice() {
                oid::COMMON_NAME => out.common_name = value,
                oid::ORGANIZATION => out.organizations.push(value),
                oid::ORGANIZATIONAL_UNIT => out.organizational_units.push(value),
                oid::COUNTRY => out.others.push((oid::COUNTRY, value)),
                oid::LOCALITY => out.others.push((oid::LOCALITY, value)),
                oid::PROVINCE => out.others.push((oid::PROVINCE, value)),
                oid::STREET => out.others.push((oid::STREET, value)),
                oid::POSTAL_CODE => out.others.push((oid::POSTAL_CODE, value)),
                oid::SERIAL_NUMBER => out.others.push((oid::SERIAL_NUMBER, value)),
                _ if attribute.attr_type().to_id_string() == oid::KUBERNETES_UID => out.uids.push(value),
                _ => {}
            }
        }
        out
    }

    /// The name in DER, in the order and grouping of Go's `pkix.Name.ToRDNSequence` (several values of an
    /// attribute form one set; a UID is not written, as upstream's signer drops it).
    pub(crate) fn to_der(&self) -> Vec<u8> {
        let other = |wanted: &[u64]| -> Vec<&str> {
            self.others.iter().filter(|(oid, _)| *oid == wanted).map(|(_, v)| v.as_str()).collect()
        };
        let own = |values: &'_ [String]| -> Vec<String> { values.to_vec() };
        let mut sets = Vec::new();
        let mut push = |arcs: &[u64], values: &[&str]| {
            if !values.is_empty() {
                let one = |v: &&str| der::sequence(&[der::oid(arcs), der::text(v)]);
                sets.push(der::set_of(values.iter().map(one).collect()));
            }
        };
        let (organizations, units) = (own(&self.organizations), own(&self.organizational_units));
        push(oid::COUNTRY, &other(oid::COUNTRY));
        push(oid::ORGANIZATION, &organizations.iter().map(String::as_str).collect::<Vec<_>>());
        push(oid::ORGANIZATIONAL_UNIT, &units.iter().map(String::as_str).collect::<Vec<_>>());
        push(oid::LOCALITY, &other(oid::LOCALITY));
        push(oid::PROVINCE, &other(oid::PROVINCE));
        push(oid::STREET, &other(oid::STREET));
        push(oid::POSTAL_CODE, &other(oid::POSTAL_CODE));
        if !self.common_name.is_empty() {
            push(oid::COMMON_NAME, &[&self.common_name]);
        }
        // Go keeps one serial number, the last.
        if let Some(last) = other(oid::SERIAL_NUMBER).last() {
            push(oid::SERIAL_NUMBER, &[last]);
        }
        der::sequence(&sets)
    }
}

/// Subject alternative names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// DNS names.
    pub dns: Vec<String>,
    /// IP addresses.
    pub ips: Vec<IpAddr>,
    /// Mail addresses.
    pub emails: Vec<String>,
    /// URIs.
    pub uris: Vec<String>,
}

impl Names {
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.ips.is_empty() && self.emails.is_empty() && self.uris.is_empty()
    }

    /// Whether all DNS names and addresses of `wanted` are here.
    pub fn cover(&self, wanted: &Self) -> bool {
        wanted.dns.iter().all(|n| self.dns.contains(n)) && wanted.ips.iter().all(|ip| self.ips.contains(ip))
    }

    pub(crate) fn read(names: &[GeneralName<'_>]) -> Result<Self, Error> {
        let mut out = Self::default();
        for name in names {
            match name {
                GeneralName::DNSName(n) => out.dns.push((*n).to_owned()),
                GeneralName::RFC822Name(n) => out.emails.push((*n).to_owned()),
                GeneralName::URI(n) => out.uris.push((*n).to_owned()),
                GeneralName::IPAddress(bytes) => {
                    let ip = <[u8; 4]>::try_from(*bytes)
                        .map(IpAddr::from)
                        .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
                        .map_err(|_| {
                            Error::Parse("x509: cannot parse IP address of length other than 4 or 16".into())
                        })?;
                    out.ips.push(ip);
                }
                _ => {}
            }
        }
        Ok(out)
    }

    /// The GeneralNames sequence.
    pub(crate) fn to_der(&self) -> Vec<u8> {
        let mut parts = Vec::new();
        parts.extend(self.dns.iter().map(|n| der::implicit(2, n.as_bytes())));
        parts.extend(self.emails.iter().map(|n| der::implicit(1, n.as_bytes())));
        parts.extend(self.ips.iter().map(|ip| match ip {
            IpAddr::V4(ip) => der::implicit(7, &ip.octets()),
            IpAddr::V6(ip) => der::implicit(7, &ip.octets()),
        }));
        parts.extend(self.uris.iter().map(|n| der::implicit(6, n.as_bytes())));
        der::sequence(&parts)
    }
}

/// A certificate and what was read from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    spki: Vec<u8>,
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
    subject_key_id: Option<Vec<u8>>,
    /// The subject.
    pub subject: Name,
    /// The alternative names.
    pub names: Names,
    /// Valid from, Unix seconds.
    pub not_before: i64,
    /// Valid until (inclusive), Unix seconds.
    pub not_after: i64,
    /// Whether it may sign certificates.
    pub is_ca: bool,
}

impl Certificate {
    /// Reads DER; any bytes are safe.
    ///
    /// # Errors
    /// [`Error::Parse`].
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let bad = |e: &dyn std::fmt::Display| Error::Parse(format!("x509: malformed certificate: {e}"));
        let (rest, cert) = X509Certificate::from_der(der).map_err(|e| bad(&e))?;
        if !rest.is_empty() {
            return Err(bad(&"trailing data"));
        }
        let names = match cert.subject_alternative_name().map_err(|e| bad(&e))? {
            Some(extension) => Names::read(&extension.value.general_names)?,
            None => Names::default(),
        };
        let subject_key_id = cert.iter_extensions().find_map(|e| match e.parsed_extension() {
            x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        Ok(Self {
            der: CertificateDer::from(der.to_vec()),
            spki: cert.public_key().raw.to_vec(),
            subject_der: cert.subject().as_raw().to_vec(),
            issuer_der: cert.issuer().as_raw().to_vec(),
            subject_key_id,
            subject: Name::read(cert.subject()),
            names,
            not_before: cert.validity().not_before.timestamp(),
            not_after: cert.validity().not_after.timestamp(),
            is_ca: cert.is_ca(),
        })
    }

    /// All certificates in a PEM text; other blocks are passed over.
    ///
    /// # Errors
    /// [`Error::Parse`] for a damaged block or certificate.
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>, Error> {
        CertificateDer::pem_slice_iter(text.as_bytes())
            .map(|der| Self::from_der(&der.map_err(|e| Error::Parse(format!("malformed PEM: {e}")))?))
            .collect()
    }

    /// The DER bytes.
    pub const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The certificate as PEM.
    pub fn to_pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }

    /// Its public key (SubjectPublicKeyInfo, DER).
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The lower-case hexadecimal SHA-256 of the DER bytes: what a user's credential id is made of.
    pub fn fingerprint(&self) -> String {
        crate::sha256_hex(&self.der)
    }

    pub(crate) fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    pub(crate) fn issuer_der(&self) -> &[u8] {
        &self.issuer_der
    }

    pub(crate) fn subject_key_id(&self) -> Option<&[u8]> {
        self.subject_key_id.as_deref()
    }
}

/// Whether `issuer`'s key signed `certificate`.
pub(crate) fn signed_by(certificate: &Certificate, issuer: &Certificate) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(&certificate.der) else { return false };
    let Ok((_, key)) = SubjectPublicKeyInfo::from_der(&issuer.spki) else { return false };
    let (message, signature) = (parsed.tbs_certificate.as_ref(), &parsed.signature_value.data);
    parsed.verify_signature(Some(&key)).is_ok()
        || crate::PublicKey::from_spki(&issuer.spki).is_ok_and(|key| key.verifies_p521(message, signature))
}
