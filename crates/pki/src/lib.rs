//! The cluster's keys and certificates: who proves what by which key.
//!
//! The files lie in `<root>/pki` under kubeadm's names, so that a kubeadm cluster's PKI can be taken over
//! and given back. Invariants:
//! - No clock is read: every function that needs the time takes `now` in Unix seconds.
//! - Private keys are held in [`Secret`] or inside the crypto library, and no `Debug` shows them.
//! - What is made here is ECDSA P-256; RSA and the larger curves are read.
//! - Files are written whole (temporary file, fsync, rename, fsync of the folder) with mode 0600.
//! - Nothing here knows of users, HTTP or API objects; `auth` gives the names in a certificate a meaning.
//!
//! Upstream's counterparts: `cmd/kubeadm/app/phases/certs`, `pkg/controller/certificates`,
//! `pkg/serviceaccount`.

mod authority;
mod certificate;
pub mod checks;
mod csr;
mod der;
mod digest;
mod error;
mod files;
mod identities;
mod jwt;
mod key;
mod kubeconfig;
mod layout;
mod oid;
mod renewal;
mod secret;
mod service_account;
mod signer;
mod tls;
mod trust;

pub use authority::{Authority, Identity, LeafRequest, Usage};
pub use certificate::{Certificate, Name, Names};
pub use csr::CertificateRequest;
pub use digest::{KeyedHasher, sha256_hex};
pub use error::Error;
pub use files::write_private;
pub use identities::{Client, Config, Leaf};
pub use jwt::{JwtError, TOKEN_BYTES_MAX};
pub use key::{Algorithm, PrivateKey, PublicKey};
pub use kubeconfig::Kubeconfig;
pub use layout::Pki;
pub use renewal::{AUTHORITY_SECONDS, Held, LEAF_SECONDS, Reason, plan, renew_after};
pub use secret::Secret;
pub use service_account::{JWKS_MAX_AGE_SECONDS, JWKS_PATH, OPENID_CONFIG_PATH, ServiceAccountKeys};
pub use signer::{Signer, SigningError, lifetime};
pub use tls::{
    AnyClientCertificate, AnyServer, ClientAuthorities, HotCertificate, client_config, server_config,
};

pub use trust::{Trust, refusal};

#[cfg(test)]
mod tests;
