//! What can go wrong, as the API server must tell it apart.

/// An error of a store. Cheap to clone: one failure may be told to many waiters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Try again later. Where `maybe_applied` is set, the write may have happened all the same.
    #[error("store unavailable: {message}")]
    Unavailable {
        /// What was tried and what failed.
        message: String,
        /// The transaction may have been applied.
        maybe_applied: bool,
    },
    /// The disk or the quota is full: deletes still go through, writes do not. The text is etcd's.
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    /// The revision asked for is no longer in the history, which now ends at this one. The text is etcd's.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted {
        /// Up to here the history is gone.
        compacted: u64,
    },
    /// The revision asked for does not exist yet. The text is etcd's.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision {
        /// The newest revision.
        current: u64,
    },
    /// The transaction is above the size limit. The text is etcd's.
    #[error("etcdserver: request is too large")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The request makes no sense (empty key, a key twice in one transaction, too many operations).
    #[error("invalid store request: {0}")]
    Invalid(String),
    /// This back end cannot do that.
    #[error("not supported by this store: {0}")]
    Unsupported(String),
    /// The store has stopped and stays stopped: the process must restart and recover from disk.
    #[error("store stopped: {0}")]
    Fatal(String),
}

impl Error {
    /// An error that leaves the state as it was.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable { message: message.into(), maybe_applied: false }
    }
}
