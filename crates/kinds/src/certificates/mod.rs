//! CertificateSigningRequest. Upstream: `pkg/apis/certificates/validation`, `pkg/registry/certificates`.
//!
//! What the bytes of requests and certificates hold is checked by whoever knows X.509: see [`install`].

mod pem;
mod request;

pub(crate) use pem::Block;

use crate::hooks::Hooks;
use std::sync::OnceLock;

/// The hooks of a kind of this group, by its plural name.
pub(crate) fn hooks(plural: &str) -> Hooks {
    if plural == "certificatesigningrequests" { request::HOOKS } else { Hooks::NONE }
}

/// Checks DER; errors are texts as Go's `crypto/x509` gives them.
#[derive(Clone, Copy, Debug)]
pub struct X509 {
    /// A PKCS #10 request, with its signature.
    pub request: fn(&[u8]) -> Result<(), String>,
    /// A certificate, or several one after the other.
    pub certificate: fn(&[u8]) -> Result<(), String>,
    /// A certificate and its private key.
    pub key_pair: fn(&[u8], &[u8]) -> Result<(), String>,
}

static CHECKS: OnceLock<X509> = OnceLock::new();

/// Installs the checks of this process; a second call does nothing. Without them any DER passes.
pub fn install(checks: X509) {
    let _ = CHECKS.set(checks);
}

pub(crate) fn checks() -> X509 {
    let none = X509 { request: |_| Ok(()), certificate: |_| Ok(()), key_pair: |_, _| Ok(()) };
    CHECKS.get().copied().unwrap_or(none)
}

/// The PEM blocks of a text, in their order.
pub(crate) fn pem_blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((block, after)) = pem::decode(rest) {
        blocks.push(block);
        rest = after;
    }
    blocks
}
