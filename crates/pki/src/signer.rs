//! The four built-in signers of CertificateSigningRequests: what they accept and what they sign.
//!
//! Pure but for the signature; the controller that owns the object calls these.
//! Upstream: `pkg/apis/certificates/helpers.go`, `pkg/controller/certificates/{signer,authority}`.

use crate::{Authority, Certificate, CertificateRequest, Error, LeafRequest, oid};

/// A signer that this server runs itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// `kubernetes.io/kube-apiserver-client`: clients of the API server; never approved automatically.
    KubeApiserverClient,
    /// `kubernetes.io/kube-apiserver-client-kubelet`: kubelets as clients.
    KubeApiserverClientKubelet,
    /// `kubernetes.io/kubelet-serving`: kubelets as servers.
    KubeletServing,
    /// `kubernetes.io/legacy-unknown`: no promise at all; not trusted by the API server.
    LegacyUnknown,
}

/// Why a request is not signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The request breaks the signer's rules: condition `Failed`, reason `SignerValidationFailure`, and
    /// this text as its message.
    #[error("{0}")]
    Rules(String),
    /// It could not be signed now: try again.
    #[error("error auto signing csr: {0}")]
    Failed(String),
}

/// A requested lifetime is lifted to this: twice the backdating.
const LIFETIME_SECONDS_MIN: i64 = 10 * 60;
/// How far `notBefore` lies in the past.
const BACKDATE_SECONDS: i64 = 5 * 60;
/// Certificates that live shorter than this are not shortened by the backdating.
const SHORT_SECONDS: i64 = 8 * 60 * 60;

const NODE_PREFIX: &str = "system:node:";
const NODES: &str = "system:nodes";

impl Signer {
    /// The signer called `name`, if it is one of ours.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "kubernetes.io/kube-apiserver-client" => Self::KubeApiserverClient,
            "kubernetes.io/kube-apiserver-client-kubelet" => Self::KubeApiserverClientKubelet,
            "kubernetes.io/kubelet-serving" => Self::KubeletServing,
            "kubernetes.io/legacy-unknown" => Self::LegacyUnknown,
            _ => return None,
        })
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KubeApiserverClient => "kubernetes.io/kube-apiserver-client",
            Self::KubeApiserverClientKubelet => "kubernetes.io/kube-apiserver-client-kubelet",
            Self::KubeletServing => "kubernetes.io/kubelet-serving",
            Self::LegacyUnknown => "kubernetes.io/legacy-unknown",
        }
    }

    /// Whether the request keeps the signer's rules on subject, names and `usages`.
    ///
    /// # Errors
    /// The text of the first rule broken.
    pub fn check(self, request: &CertificateRequest, usages: &[&str]) -> Result<(), String> {
        match self {
            Self::KubeApiserverClient => check_client_usages(usages),
            Self::KubeApiserverClientKubelet => check_kubelet_client(request, usages),
            Self::KubeletServing => check_kubelet_serving(request, usages),
            Self::LegacyUnknown => Ok(()),
        }
    }

    /// Signs an approved request. `lifetime_seconds` comes from [`lifetime`].
    ///
    /// # Errors
    /// [`SigningError`].
    pub fn sign(
        self,
        authority: &Authority,
        request: &CertificateRequest,
        usages: &[&str],
        lifetime_seconds: i64,
        now: i64,
    ) -> Result<Certificate, SigningError> {
        self.check(request, usages).map_err(SigningError::Rules)?;
        let failed = |e: &dyn std::fmt::Display| SigningError::Failed(e.to_string());
        if !request.proves_possession() {
            return Err(failed(&"unable to verify certificate request signature: x509: verification error"));
        }
        let (key_usage, extended) = usage_bits(usages).map_err(|e| failed(&e))?;
        let expiry = authority.certificate().not_after;
        let not_before = now.saturating_sub(BACKDATE_SECONDS);
        let lifetime = if lifetime_seconds < SHORT_SECONDS {
            lifetime_seconds
        } else {
            lifetime_seconds - BACKDATE_SECONDS
        };
        if not_before >= expiry {
            return Err(failed(&format!("the signer has expired: NotAfter={expiry}")));
        }
        if now >= expiry {
            return Err(failed(&format!(
                "refusing to sign a certificate that expired in the past: NotAfter={expiry}"
            )));
        }
        let leaf = LeafRequest {
            subject: &request.subject,
            names: &request.names,
            extended: &extended,
            key_usage,
            spki: &request.spki,
            not_before,
            not_after: now.saturating_add(lifetime).min(expiry),
        };
        authority.sign(&leaf).map_err(|e: Error| failed(&e))
    }
}

/// How long a certificate shall live: `spec.expirationSeconds` within ten minutes and the signer's own
/// limit, which also holds when nothing is asked for.
pub fn lifetime(expiration_seconds: Option<i64>, limit_seconds: i64) -> i64 {
    match expiration_seconds {
        Some(asked) if asked <= limit_seconds => asked.max(LIFETIME_SECONDS_MIN),
        _ => limit_seconds,
    }
}

fn check_client_usages(usages: &[&str]) -> Result<(), String> {
    let optional = ["digital signature", "key encipherment"];
    if let Some(other) = usages.iter().find(|u| !optional.contains(u) && **u != "client auth") {
        return Err(format!("invalid usage for client certificate: {other}"));
    }
    if !usages.contains(&"client auth") {
        return Err("missing required usage for client certificate: client auth".into());
    }
    Ok(())
}

fn check_kubelet_client(request: &CertificateRequest, usages: &[&str]) -> Result<(), String> {
    let names = &request.names;
    check_node_organization(request)?;
    let none_of = [
        (names.dns.is_empty(), "DNS"),
        (names.emails.is_empty(), "Email"),
        (names.ips.is_empty(), "IP"),
        (names.uris.is_empty(), "URI"),
    ];
    if let Some((_, kind)) = none_of.iter().find(|(empty, _)| !empty) {
        return Err(format!("{kind} subjectAltNames are not allowed"));
    }
    check_node_name(request)?;
    check_usage_set(usages, "client auth")
}

fn check_kubelet_serving(request: &CertificateRequest, usages: &[&str]) -> Result<(), String> {
    let names = &request.names;
    check_node_organization(request)?;
    if names.dns.is_empty() && names.ips.is_empty() {
        return Err("DNS or IP subjectAltName is required".into());
    }
    if !names.emails.is_empty() {
        return Err("Email subjectAltNames are not allowed".into());
    }
    if !names.uris.is_empty() {
        return Err("URI subjectAltNames are not allowed".into());
    }
    check_usage_set(usages, "server auth")?;
    check_node_name(request)
}

fn check_node_organization(request: &CertificateRequest) -> Result<(), String> {
    if request.subject.organizations != [NODES] {
        return Err("subject organization is not system:nodes".into());
    }
    Ok(())
}

fn check_node_name(request: &CertificateRequest) -> Result<(), String> {
    if !request.subject.common_name.starts_with(NODE_PREFIX) {
        return Err("subject common name does not begin with system:node:".into());
    }
    Ok(())
}

/// Digital signature and `auth`, with or without key encipherment (which only RSA keys can do).
fn check_usage_set(usages: &[&str], auth: &str) -> Result<(), String> {
    let known = |u: &&str| *u == "digital signature" || *u == "key encipherment" || *u == auth;
    if usages.iter().all(known) && usages.contains(&"digital signature") && usages.contains(&auth) {
        return Ok(());
    }
    let mut wanted = ["digital signature", "key encipherment", auth];
    wanted.sort_unstable();
    Err(format!("usages did not match [{}]", wanted.join(" ")))
}

/// Key usage bits and extended key usages (in the order of their enumeration in Go) of API usages.
#[allow(clippy::type_complexity)]
fn usage_bits(usages: &[&str]) -> Result<(u16, Vec<&'static [u64]>), String> {
    const EXTENDED: [(&str, usize, &[u64]); 13] = [
        ("any", 0, oid::ANY_USAGE),
        ("server auth", 1, oid::SERVER_AUTH),
        ("client auth", 2, oid::CLIENT_AUTH),
        ("code signing", 3, oid::CODE_SIGNING),
        ("email protection", 4, oid::EMAIL_PROTECTION),
        ("s/mime", 4, oid::EMAIL_PROTECTION),
        ("ipsec end system", 5, oid::IPSEC_END_SYSTEM),
        ("ipsec tunnel", 6, oid::IPSEC_TUNNEL),
        ("ipsec user", 7, oid::IPSEC_USER),
        ("timestamping", 8, oid::TIME_STAMPING),
        ("ocsp signing", 9, oid::OCSP_SIGNING),
        ("microsoft sgc", 10, oid::MICROSOFT_SGC),
        ("netscape sgc", 11, oid::NETSCAPE_SGC),
    ];
    let (mut bits, mut extended, mut unknown) = (0_u16, Vec::new(), Vec::new());
    for usage in usages {
        let bit = match *usage {
            "signing" | "digital signature" => Some(0),
            "content commitment" => Some(1),
            "key encipherment" => Some(2),
            "data encipherment" => Some(3),
            "key agreement" => Some(4),
            "cert sign" => Some(5),
            "crl sign" => Some(6),
            "encipher only" => Some(7),
            "decipher only" => Some(8),
            _ => None,
        };
        if let Some(bit) = bit {
            bits |= 1 << bit;
        } else if let Some((_, order, arcs)) = EXTENDED.iter().find(|(name, ..)| name == usage) {
            extended.push((*order, *arcs));
        } else {
            unknown.push(format!("{usage:?}"));
        }
    }
    if !unknown.is_empty() {
        return Err(format!("unrecognized usage values: [{}]", unknown.join(" ")));
    }
    extended.sort_unstable();
    extended.dedup();
    Ok((bits, extended.into_iter().map(|(_, arcs)| arcs).collect()))
}
