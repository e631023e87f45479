//! The providers of a resource: which of them writes, and which can read what.
//!
//! Upstream: `k8s.io/apiserver/pkg/storage/value/transformer.go`.

use super::cipher::Cipher;
use crate::storage::Opened;
use bytes::Bytes;

/// What no plain value begins with: JSON begins with `{`, protobuf with `k8s\0`.
const RESERVED: &[u8] = b"k8s:enc:";

/// One key of one provider.
#[derive(Debug)]
pub(super) struct Key {
    /// `k8s:enc:PROVIDER:v1:NAME:`.
    pub(super) prefix: String,
    pub(super) cipher: Cipher,
}

/// An element of `providers`.
#[derive(Debug)]
pub(super) enum Provider {
    Identity,
    Keys {
        /// `k8s:enc:PROVIDER:v1:`.
        prefix: &'static str,
        /// As error texts call it.
        called: &'static str,
        keys: Vec<Key>,
    },
}

/// All providers of a resource; without any, values are plain.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) providers: Vec<std::sync::Arc<Provider>>,
}

impl Chain {
    /// The plain value, and whether another than the first key wrote it.
    pub(super) fn open(&self, context: &str, stored: &Bytes) -> Result<Opened, String> {
        let encrypted = stored.starts_with(RESERVED);
        if self.providers.is_empty() {
            return if encrypted { Err(unreadable(stored, "")) } else { Ok(Opened::plain(stored.clone())) };
        }
        let mut errors = Vec::new();
        for (i, provider) in self.providers.iter().enumerate() {
            match &**provider {
                Provider::Identity if encrypted => {}
                Provider::Identity => return Ok(Opened { plain: stored.clone(), stale: i > 0 }),
                Provider::Keys { prefix, called, keys } if stored.starts_with(prefix.as_bytes()) => {
                    let fitting = |k: &Key| stored.starts_with(k.prefix.as_bytes());
                    let before = errors.len();
                    for (j, key) in keys.iter().enumerate().filter(|(_, k)| fitting(k)) {
                        match key.cipher.open(context, &stored[key.prefix.len()..]) {
                            Ok(plain) => {
                                return Ok(Opened { plain: plain.into(), stale: i > 0 || j > 0 });
                            }
                            Err(error) => errors.push(error),
                        }
                    }
                    if errors.len() == before {
                        errors
                            .push(format!("no matching key was found for the provided {called} transformer"));
                    }
                }
                Provider::Keys { .. } => {}
            }
        }
        match meta::field::aggregate(errors) {
            Some(text) => Err(unreadable(stored, &text)),
            None => Err(unreadable(stored, "no matching prefix found")),
        }
    }

    /// The value as it is stored.
    pub(super) fn seal(&self, context: &str, plain: Bytes) -> Result<Bytes, String> {
        /// More than any cipher adds.
        const OVERHEAD_BYTES: usize = 64;
        let first = self.providers.first().map(|p| &**p);
        let Some(Provider::Keys { keys, .. }) = first else { return Ok(plain) };
        let Some(key) = keys.first() else { return Ok(plain) };
        let mut out = Vec::with_capacity(key.prefix.len() + plain.len() + OVERHEAD_BYTES);
        out.extend_from_slice(key.prefix.as_bytes());
        key.cipher.seal(context, &plain, &mut out)?;
        Ok(out.into())
    }
}

/// Says which key the value was written with.
fn unreadable(stored: &[u8], why: &str) -> String {
    let mut parts = stored.get(RESERVED.len()..).unwrap_or_default().splitn(4, |b| *b == b':');
    let mut part = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (provider, _version, name) = (part(), part(), part());
    let key = meta::quote::quote(&name);
    match (stored.starts_with(RESERVED), why) {
        (true, "") => format!(
            "identity transformer tried to read encrypted data: the value was written with {provider} key {key}"
        ),
        (true, _) => format!("{why}: the value was written with {provider} key {key}"),
        (false, _) => format!("{why}: the value is not encrypted, and the providers do not include identity"),
    }
}
