//! Encryption at rest, in upstream's formats: what is stored begins with `k8s:enc:PROVIDER:v1:KEYNAME:`.
//!
//! Which providers a resource has comes from an `EncryptionConfiguration` file: the user's
//! (`--encryption-provider-config`), or the server's own below its private files ([`Encryption::own`]). The
//! first provider writes, all of them read; what another than the first can read is stale and is written
//! anew with the next write, also when nothing else changes.
//!
//! Invariants:
//! - A value that cannot be decrypted is an error that names its key, never an absent object at start.
//! - Keys are in no log and in no `Debug`.
//! - A file that has become unreadable leaves the configuration as it was.
//!
//! Not there: KMS plugins.
//!
//! Upstream: `k8s.io/apiserver/pkg/server/options/encryptionconfig`.

mod cipher;
mod config;
pub(crate) mod fuzz;
mod own;
mod provider;

pub use own::{RecoveryKey, path as own_file, restore};

use crate::storage::{Opened, Transform};
use arc_swap::ArcSwap;
use bytes::Bytes;
use config::Rules;
use parking_lot::Mutex;
use provider::Chain;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;
use value::Str;

/// How often the file is looked at, which is also how long a new key waits at most. Upstream: a minute, and
/// at once where the file system tells of changes.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);
/// The largest file that is read: thousands of keys.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why there is no encryption.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("error reading encryption provider configuration file {path:?}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write the encryption key: {0}")]
    Write(#[from] pki::Error),
    /// A file makes no sense.
    #[error("encryption provider configuration file {path:?}: {error}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: String,
    },
    /// What was typed is no recovery key.
    #[error("{0}")]
    RecoveryKey(&'static str),
}

/// Which resources are encrypted how. Follows its file.
#[derive(Debug)]
pub struct Encryption {
    path: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rules: Rules,
    /// The digest of the file that the rules were read from.
    digest: [u8; 32],
    handed_out: Vec<(Str, Str, Weak<Resource>)>,
}

impl Encryption {
    /// No encryption: encrypted values are errors, as with upstream's `identity`.
    pub fn none() -> Arc<Self> {
        let state = State { rules: Rules::default(), digest: [0; 32], handed_out: Vec::new() };
        Arc::new(Self { path: None, state: Mutex::new(state) })
    }

    /// As a file of kind `EncryptionConfiguration` says.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Content`].
    pub fn from_file(path: &Path) -> Result<Arc<Self>, Error> {
        let text = read(path)?;
        let rules = parse(path, &text)?;
        let state = State { rules, digest: digest(&text), handed_out: Vec::new() };
        Ok(Arc::new(Self { path: Some(path.to_owned()), state: Mutex::new(state) }))
    }

    /// With the server's own key in `<root>/pki/encryption-config.yaml`, which is made when it is not there:
    /// then the recovery key is given back, to be shown once to whoever installs the server.
    ///
    /// # Errors
    /// As [`Self::from_file`], and [`Error::Write`].
    pub fn own(root: &Path) -> Result<(Arc<Self>, Option<RecoveryKey>), Error> {
        let path = own::path(root);
        let made = if path.exists() { None } else { Some(own::make(&path)?) };
        Ok((Self::from_file(&path)?, made))
    }

    /// How the values of a resource are encrypted, now and after the file has changed.
    pub fn transform(self: &Arc<Self>, group: &str, resource: &str) -> Arc<dyn Transform> {
        let mut state = self.state.lock();
        let chain = ArcSwap::new(state.rules.chain(group, resource));
        let transform = Arc::new(Resource { chain });
        state.handed_out.retain(|(_, _, transform)| transform.strong_count() > 0);
        state.handed_out.push((group.into(), resource.into(), Arc::downgrade(&transform)));
        transform
    }

    /// Reads the file again if it has changed. Says whether it has.
    ///
    /// # Errors
    /// As [`Self::from_file`]; the configuration stays as it was.
    pub fn reload(&self) -> Result<bool, Error> {
        let Some(path) = &self.path else { return Ok(false) };
        let text = read(path)?;
        let digest = digest(&text);
        if self.state.lock().digest == digest {
            return Ok(false);
        }
        let rules = parse(path, &text)?;
        let mut state = self.state.lock();
        for (group, resource, transform) in &state.handed_out {
            if let Some(transform) = transform.upgrade() {
                transform.chain.store(rules.chain(group, resource));
            }
        }
        state.rules = rules;
        state.digest = digest;
        Ok(true)
    }

    /// Follows the file until the server stops.
    pub(crate) async fn follow(self: Arc<Self>, mut stopping: tokio::sync::watch::Receiver<bool>) {
        let Some(path) = self.path.clone() else { return };
        let mut failed = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(RELOAD_INTERVAL) => {}
                _ = stopping.wait_for(|s| *s) => return,
            }
            match self.reload() {
                Ok(changed) => {
                    failed = false;
                    if changed {
                        tracing::info!(path = %path.display(), "loaded new encryption configuration content");
                    }
                }
                Err(error) if !failed => {
                    failed = true;
                    tracing::error!(%error, "the encryption configuration stays as it was");
                }
                Err(_) => {}
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read;
    let read = || {
        let mut text = Vec::new();
        std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error| Error::Read { path: path.to_owned(), error })?;
    let content = |error: &str| Err(Error::Content { path: path.to_owned(), error: error.into() });
    match text.len() as u64 {
        0 => content("the file is empty"),
        n if n > FILE_BYTES_MAX => content("the file is larger than 1 MiB"),
        _ => Ok(text),
    }
}

fn parse(path: &Path, text: &[u8]) -> Result<Rules, Error> {
    config::parse(text).map_err(|error| Error::Content { path: path.to_owned(), error })
}

fn digest(text: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text);
    *digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

/// How one resource is encrypted at the moment.
#[derive(Debug)]
struct Resource {
    chain: ArcSwap<Chain>,
}

impl Transform for Resource {
    fn open(&self, key: &str, stored: &Bytes) -> Result<Opened, String> {
        self.chain.load().open(key, stored)
    }

    fn seal(&self, key: &str, plain: Bytes) -> Result<Bytes, String> {
        self.chain.load().seal(key, plain)
    }
}

#[cfg(test)]
mod tests;
