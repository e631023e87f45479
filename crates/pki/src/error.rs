//! What can go wrong with keys, certificates and their files.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of this crate; the text names the file or the object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{action} {path}: {source}")]
    File {
        /// What was tried, e.g. `reading`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what its name says.
    #[error("{path}: {what}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A certificate authority's key is needed and absent (kubeadm's external CA mode).
    #[error("{path} is missing: cannot issue {leaf}; restore the key or provide the certificate")]
    NoAuthorityKey {
        /// The key's file.
        path: PathBuf,
        /// What was to be issued.
        leaf: String,
    },
    /// A key could not be parsed or used.
    #[error("{0}")]
    Key(&'static str),
    /// A certificate or request could not be parsed.
    #[error("{0}")]
    Parse(String),
    /// A certificate chain does not lead to a trusted authority, or may not be used so.
    #[error("{0}")]
    Untrusted(String),
    /// The TLS library refused a certificate.
    #[error("tls: {0}")]
    Tls(String),
}

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { action, path: path.to_owned(), source }
    }

    pub(crate) fn content(path: &Path, what: impl ToString) -> Self {
        Self::Content { path: path.to_owned(), what: what.to_string() }
    }
}
