//! The server's own key: made at the first start, kept in a file beside the cluster's keys and outside the
//! store, and shown once as a recovery key that fits on a slip of paper.

use super::cipher::random;
use super::{Error, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::path::{Path, PathBuf};

const FILE: &str = "encryption-config.yaml";
const KEY_BYTES: usize = 32;
/// Bytes by which a slip of the pen is found out.
const CHECK_BYTES: usize = 3;
/// Characters between two dashes.
const GROUP: usize = 7;
/// RFC 4648's base32 in lower case: no 0, 1, 8 or 9 to be mistaken for letters.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The file of the server's own key.
pub fn path(root: &Path) -> PathBuf {
    root.join("pki").join(FILE)
}

/// Makes a new key and its file.
pub(super) fn make(path: &Path) -> Result<RecoveryKey, Error> {
    let random = random::<KEY_BYTES>();
    let key = random.map_err(|error| Error::Content { path: path.to_owned(), error })?;
    let key = RecoveryKey(pki::Secret::new(key.to_vec()));
    pki::write_private(path, key.config().expose())?;
    Ok(key)
}

/// Puts the file below `root` back from a recovery key.
///
/// # Errors
/// [`Error::RecoveryKey`] for what is none, [`Error::Write`].
pub fn restore(root: &Path, text: &str) -> Result<(), Error> {
    let key: RecoveryKey = text.parse()?;
    Ok(pki::write_private(&path(root), key.config().expose())?)
}

/// The key in a form that can be written down; `Display` shows it.
#[derive(Clone, Debug)]
pub struct RecoveryKey(pki::Secret);

impl RecoveryKey {
    /// The file that holds the key: a lost key is told apart from another one by its name.
    fn config(&self) -> pki::Secret {
        let name = digest(self.0.expose())[..4].iter().map(|b| format!("{b:02x}")).collect::<String>();
        let secret = STANDARD.encode(self.0.expose());
        pki::Secret::new(format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources:\n  - secrets\n  providers:\n  - secretbox:\n      keys:\n      - name: corten-{name}\n        secret: {secret}\n  - identity: {{}}\n"
        ))
    }
}

impl fmt::Display for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.0.expose().to_vec();
        let check = digest(&bytes);
        bytes.extend_from_slice(&check[..CHECK_BYTES]);
        let (mut bits, mut held, mut written) = (0_u32, 0, 0);
        for byte in bytes {
            bits = bits << 8 | u32::from(byte);
            held += 8;
            while held >= 5 {
                held -= 5;
                if written > 0 && written % GROUP == 0 {
                    f.write_str("-")?;
                }
                written += 1;
                let letter = ALPHABET[(bits >> held & 31) as usize];
                write!(f, "{}", char::from(letter))?;
            }
        }
        Ok(())
    }
}

impl std::str::FromStr for RecoveryKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut bytes = Vec::with_capacity(KEY_BYTES + CHECK_BYTES);
        let (mut bits, mut held) = (0_u32, 0);
        for c in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            let c = u8::try_from(c.to_ascii_lowercase()).unwrap_or_default();
            let value = ALPHABET.iter().position(|a| *a == c);
            let value = value.ok_or(Error::RecoveryKey(
                "a recovery key has letters, the digits 2 to 7, and dashes only",
            ))?;
            bits = bits << 5 | u32::try_from(value).unwrap_or_default();
            held += 5;
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held & 0xff) as u8);
            }
        }
        if bytes.len() != KEY_BYTES + CHECK_BYTES {
            return Err(Error::RecoveryKey("a recovery key has eight groups of seven characters"));
        }
        let (key, check) = bytes.split_at(KEY_BYTES);
        if digest(key)[..CHECK_BYTES] != *check {
            return Err(Error::RecoveryKey("the recovery key has a slip in it"));
        }
        Ok(Self(pki::Secret::new(key)))
    }
}
