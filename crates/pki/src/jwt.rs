//! JSON Web Tokens in compact form (RFC 7515, 7519), as go-jose writes and reads them for upstream.

use crate::{Error, PrivateKey, PublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The longest token looked at: tokens come in a header, and those are bounded anyway.
pub const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// Why a token was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// It is no JWT at all: another authenticator may know it.
    #[error("not a JWT")]
    NotAJwt,
    /// No key here has the key id of its header.
    #[error("invalid signature, no keys found")]
    NoKey,
    /// No key verifies it.
    #[error("go-jose/go-jose: error in cryptographic primitive")]
    Signature,
}

/// The parts of a token, nothing of it verified.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    /// What the signature is over.
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: String,
    pub(crate) key_id: String,
    pub(crate) payload: Vec<u8>,
}

/// Takes a token apart. Any text is safe.
pub(crate) fn parse(token: &str) -> Result<Parts<'_>, JwtError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(JwtError::NotAJwt);
    }
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::NotAJwt);
    let mut dots = token.match_indices('.').map(|(at, _)| at);
    let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
        return Err(JwtError::NotAJwt);
    };
    let (signed, signature) = token.split_at(second);
    let (header, payload) = signed.split_at(first);
    let header: serde_json::Value =
        serde_json::from_slice(&decode(header)?).map_err(|_| JwtError::NotAJwt)?;
    // Extensions that must be understood are not (RFC 7515 4.1.11).
    if !header.is_object() || header.get("crit").is_some() {
        return Err(JwtError::NotAJwt);
    }
    let text = |key: &str| header.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    Ok(Parts {
        signed,
        signature: decode(signature.trim_start_matches('.'))?,
        algorithm: text("alg"),
        key_id: text("kid"),
        payload: decode(payload.trim_start_matches('.'))?,
    })
}

impl Parts<'_> {
    /// Whether `key` signed it, by the algorithm that is the key's own (never by what the token claims).
    pub(crate) fn verified_by(&self, key: &PublicKey) -> bool {
        self.algorithm == key.algorithm().jose() && key.verifies_jose(self.signed.as_bytes(), &self.signature)
    }
}

/// Signs `payload` (JSON).
pub(crate) fn sign(key: &PrivateKey, payload: &[u8]) -> Result<String, Error> {
    let header = format!(r#"{{"alg":"{}","kid":"{}"}}"#, key.public().algorithm().jose(), key.public().id());
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let signature = key.sign_jose(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}
