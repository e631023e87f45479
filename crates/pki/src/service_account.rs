//! The keys of service-account tokens: one signs, several verify; and the documents by which others can
//! verify (OpenID Connect Discovery).
//!
//! Upstream: `pkg/serviceaccount/{jwt,openidmetadata}.go`.

use crate::jwt::{self, JwtError};
use crate::{Error, PrivateKey, PublicKey};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where the issuer's description is served.
pub const OPENID_CONFIG_PATH: &str = "/.well-known/openid-configuration";
/// Where the keys are served.
pub const JWKS_PATH: &str = "/openid/v1/jwks";
/// `Cache-Control: public, max-age=` of both documents.
pub const JWKS_MAX_AGE_SECONDS: u32 = 3600;

/// The signing key and all keys whose tokens are accepted. Clones share them.
#[derive(Clone, Debug)]
pub struct ServiceAccountKeys {
    signer: Arc<PrivateKey>,
    accepted: Arc<[PublicKey]>,
}

impl ServiceAccountKeys {
    /// Signs with `signer`; accepts its tokens and those of `others` (in this order, each key once).
    pub fn new(signer: PrivateKey, others: Vec<PublicKey>) -> Self {
        let mut accepted = vec![signer.public().clone()];
        for key in others {
            if !accepted.contains(&key) {
                accepted.push(key);
            }
        }
        Self { signer: Arc::new(signer), accepted: accepted.into() }
    }

    /// Signs with the private key in `signer` (PEM); accepts also all keys in `others` (PEM, several
    /// blocks), so that tokens of an older key live on after a rotation.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn from_pem(signer: &str, others: &str) -> Result<Self, Error> {
        Ok(Self::new(PrivateKey::from_pem(signer)?, PublicKey::all_from_pem(others)?))
    }

    /// The signing key's public half.
    pub fn signer(&self) -> &PublicKey {
        self.signer.public()
    }

    /// All accepted keys, the signer's first.
    pub fn accepted(&self) -> &[PublicKey] {
        &self.accepted
    }

    /// A token of `payload` (JSON, as it shall be in the token).
    ///
    /// # Errors
    /// [`Error::Key`] when signing fails.
    pub fn sign(&self, payload: &[u8]) -> Result<String, Error> {
        jwt::sign(&self.signer, payload)
    }

    /// The payload of a token, **not verified**: for finding out whose token it is.
    ///
    /// # Errors
    /// [`JwtError::NotAJwt`].
    pub fn peek(token: &str) -> Result<Vec<u8>, JwtError> {
        Ok(jwt::parse(token)?.payload)
    }

    /// The payload of a token that one of the accepted keys signed: the one that its header names, or any
    /// when it names none.
    ///
    /// # Errors
    /// [`JwtError`]; `NotAJwt` means that it may be another kind of token.
    pub fn verify(&self, token: &str) -> Result<Vec<u8>, JwtError> {
        let parts = jwt::parse(token)?;
        let mut candidates =
            self.accepted.iter().filter(|k| parts.key_id.is_empty() || k.id() == parts.key_id).peekable();
        if candidates.peek().is_none() {
            return Err(JwtError::NoKey);
        }
        if !candidates.any(|key| parts.verified_by(key)) {
            return Err(JwtError::Signature);
        }
        Ok(parts.payload)
    }

    /// The JWKS document.
    pub fn jwks(&self) -> Vec<u8> {
        let keys: Vec<_> = self.accepted.iter().map(PublicKey::jwk).collect();
        json!({ "keys": keys }).to_string().into_bytes()
    }

    /// The discovery document of `issuer`, whose keys are served at `jwks_uri`
    /// (`https://ADDRESS:PORT/openid/v1/jwks`).
    pub fn openid_configuration(&self, issuer: &str, jwks_uri: &str) -> Vec<u8> {
        let algorithms: BTreeSet<_> = self.accepted.iter().map(|k| k.algorithm().jose()).collect();
        json!({
            "issuer": issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        })
        .to_string()
        .into_bytes()
    }
}
