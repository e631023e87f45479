//! The ciphers, byte for byte as upstream writes them.
//!
//! Upstream: `k8s.io/apiserver/pkg/storage/value/encrypt/{secretbox,aes}`.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    self, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use crypto_secretbox::aead::{AeadInPlace, KeyInit};
use crypto_secretbox::{Tag, XSalsa20Poly1305};
use std::fmt;

const SECRETBOX_NONCE_BYTES: usize = 24;
const SECRETBOX_TAG_BYTES: usize = 16;
const GCM_NONCE_BYTES: usize = 12;
const CBC_BLOCK_BYTES: usize = 16;
const TOO_SHORT: &str = "the stored data was shorter than the required size";

/// A key, ready to be used.
pub(super) enum Cipher {
    Secretbox(Box<XSalsa20Poly1305>),
    Gcm(LessSafeKey),
    Cbc(Box<(PaddedBlockEncryptingKey, PaddedBlockDecryptingKey)>),
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secretbox(_) => "Secretbox",
            Self::Gcm(_) => "Gcm",
            Self::Cbc(_) => "Cbc",
        })
    }
}

impl Cipher {
    pub(super) fn secretbox(key: &[u8]) -> Result<Self, String> {
        let cipher = XSalsa20Poly1305::new_from_slice(key)
            .map_err(|_| format!("expected key size 32 for secretbox provider, got {}", key.len()))?;
        Ok(Self::Secretbox(Box::new(cipher)))
    }

    pub(super) fn gcm(key: &[u8]) -> Result<Self, String> {
        let algorithm = match key.len() {
            16 => &aead::AES_128_GCM,
            24 => &aead::AES_192_GCM,
            32 => &aead::AES_256_GCM,
            n => return Err(invalid_size(n)),
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| "the key was refused".to_owned())?;
        Ok(Self::Gcm(LessSafeKey::new(key)))
    }

    pub(super) fn cbc(key: &[u8]) -> Result<Self, String> {
        let algorithm = match key.len() {
            16 => &cipher::AES_128,
            24 => &cipher::AES_192,
            32 => &cipher::AES_256,
            n => return Err(invalid_size(n)),
        };
        let key = || UnboundCipherKey::new(algorithm, key);
        let make = || {
            let encrypt = PaddedBlockEncryptingKey::cbc_pkcs7(key()?)?;
            Ok(Self::Cbc(Box::new((encrypt, PaddedBlockDecryptingKey::cbc_pkcs7(key()?)?))))
        };
        make().map_err(|_: aws_lc_rs::error::Unspecified| "the key was refused".to_owned())
    }

    /// Appends the encrypted value to `out`. `context` is authenticated where the cipher can do that.
    pub(super) fn seal(&self, context: &str, plain: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Secretbox(cipher) => {
                let nonce: [u8; SECRETBOX_NONCE_BYTES] = random()?;
                out.extend_from_slice(&nonce);
                let tag_at = out.len();
                out.extend_from_slice(&[0; SECRETBOX_TAG_BYTES]);
                let text_at = out.len();
                out.extend_from_slice(plain);
                let tag = cipher
                    .encrypt_in_place_detached(&nonce.into(), &[], &mut out[text_at..])
                    .map_err(|_| "secretbox could not encrypt".to_owned())?;
                out[tag_at..text_at].copy_from_slice(&tag);
                Ok(())
            }
            Self::Gcm(key) => {
                let nonce: [u8; GCM_NONCE_BYTES] = random()?;
                out.extend_from_slice(&nonce);
                let text_at = out.len();
                out.extend_from_slice(plain);
                let aad = Aad::from(context.as_bytes());
                let tag = key
                    .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut out[text_at..])
                    .map_err(|_| "AES-GCM could not encrypt".to_owned())?;
                out.extend_from_slice(tag.as_ref());
                Ok(())
            }
            Self::Cbc(keys) => {
                let iv: [u8; CBC_BLOCK_BYTES] = random()?;
                let mut text = plain.to_vec();
                keys.0
                    .less_safe_encrypt(&mut text, EncryptionContext::Iv128(FixedLength::from(iv)))
                    .map_err(|_| "AES-CBC could not encrypt".to_owned())?;
                out.extend_from_slice(&iv);
                out.extend_from_slice(&text);
                Ok(())
            }
        }
    }

    /// The plain value.
    pub(super) fn open(&self, context: &str, data: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Self::Secretbox(cipher) => {
                let (nonce, data) = data.split_first_chunk::<SECRETBOX_NONCE_BYTES>().ok_or(TOO_SHORT)?;
                let (tag, text) = data.split_first_chunk::<SECRETBOX_TAG_BYTES>().ok_or(TOO_SHORT)?;
                let mut text = text.to_vec();
                cipher
                    .decrypt_in_place_detached(nonce.into(), &[], &mut text, Tag::from_slice(tag))
                    .map_err(|_| "the value does not belong to this key".to_owned())?;
                Ok(text)
            }
            Self::Gcm(key) => {
                let (nonce, text) = data.split_first_chunk::<GCM_NONCE_BYTES>().ok_or(TOO_SHORT)?;
                let mut text = text.to_vec();
                let aad = Aad::from(context.as_bytes());
                let plain = key
                    .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut text)
                    .map_err(|_| "cipher: message authentication failed".to_owned())?;
                let n = plain.len();
                text.truncate(n);
                Ok(text)
            }
            Self::Cbc(keys) => {
                let (iv, text) = data.split_first_chunk::<CBC_BLOCK_BYTES>().ok_or(TOO_SHORT)?;
                if text.len() % CBC_BLOCK_BYTES != 0 {
                    return Err("the stored data is not a multiple of the block size".into());
                }
                let mut text = text.to_vec();
                let n = keys
                    .1
                    .decrypt(&mut text, DecryptionContext::Iv128(FixedLength::from(*iv)))
                    .map_err(|_| "invalid padding on input".to_owned())?
                    .len();
                text.truncate(n);
                Ok(text)
            }
        }
    }
}

fn invalid_size(n: usize) -> String {
    format!("crypto/aes: invalid key size {n}")
}

/// Bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "unable to read sufficient random bytes".to_owned())?;
    Ok(bytes)
}
