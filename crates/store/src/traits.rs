//! The interface that every back end satisfies.

use std::sync::Arc;

use crate::{Answer, KeyRange, Outcome, Range, RangeResult, Txn, Watch, WatchRequest};

/// A revisioned key-value map. Share it as `Arc<dyn Store>`.
///
/// An [`Answer`] of a back end that reads from memory is ready at once and costs no allocation, so `.await`ing
/// it is a plain call.
pub trait Store: Send + Sync + 'static {
    /// Reads keys in order, at the newest or at a given revision; linearizable when no revision is given.
    ///
    /// # Errors
    /// `Compacted` and `FutureRevision` for a revision that is no longer or not yet there, `Unavailable`.
    fn range(&self, range: Range) -> Answer<'_, RangeResult>;

    /// Compares and writes one key or several, atomically. A failed comparison is an [`Outcome`], no error.
    ///
    /// Dropping the answer does not take the transaction back.
    ///
    /// # Errors
    /// `Invalid` and `TooLarge` for the request itself, `NoSpace`, `Unavailable` (which says whether the
    /// transaction may have been applied all the same), `Fatal`.
    fn txn(&self, txn: Txn) -> Answer<'_, Outcome>;

    /// Opens a watch. Nothing between `from` and now is lost; what is too old ends the watch with
    /// `Compacted`, here or from [`Watch::next`].
    ///
    /// # Errors
    /// `Compacted`, `Unavailable`, `Fatal`.
    fn watch(&self, request: WatchRequest) -> Answer<'_, Watch>;

    /// The newest revision, linearizable: not older than any write acknowledged to anybody before the call.
    ///
    /// # Errors
    /// `Unavailable`, `Fatal`.
    fn revision(&self) -> Answer<'_, u64>;

    /// The newest revision this process has seen; costs nothing, may lag behind other servers' writes.
    fn observed_revision(&self) -> u64;

    /// Asks that every open watch of exactly these keys soon delivers a batch whose revision is not below the
    /// newest at the time of the call. With [`Store::revision`] this makes a consistent read from a cache.
    ///
    /// # Errors
    /// `Unavailable`, and `Unsupported` when the server's progress notifications cannot be trusted.
    fn request_progress(&self, keys: &KeyRange) -> Answer<'_, ()>;

    /// Forgets the history before `revision`, which itself stays readable.
    ///
    /// # Errors
    /// `Compacted` if it is gone already, `FutureRevision`, `Unavailable`.
    fn compact(&self, revision: u64) -> Answer<'_, ()>;

    /// The revision up to which the history is known to be gone; 0 when none is.
    fn compacted_revision(&self) -> u64;

    /// Moves the counter so that the next revision is above `revision`; nothing happens if it is already.
    /// Watches from before it get `Compacted`. For restores and moves between back ends.
    ///
    /// # Errors
    /// `Unavailable`, `NoSpace`, `Fatal`.
    fn advance_to(&self, revision: u64) -> Answer<'_, ()>;

    /// How much is in the store.
    ///
    /// # Errors
    /// `Unavailable`.
    fn size(&self) -> Answer<'_, Size>;

    /// Whether reads and writes are taken, as far as one can tell without a write.
    ///
    /// # Errors
    /// What a write would be told: `NoSpace`, `Unavailable`, `Fatal`.
    fn health(&self) -> Answer<'_, ()>;

    /// Which store this is.
    fn identity(&self) -> Identity;
}

/// A store behind a pointer is a store.
impl<S: Store + ?Sized> Store for Arc<S> {
    fn range(&self, range: Range) -> Answer<'_, RangeResult> {
        (**self).range(range)
    }
    fn txn(&self, txn: Txn) -> Answer<'_, Outcome> {
        (**self).txn(txn)
    }
    fn watch(&self, request: WatchRequest) -> Answer<'_, Watch> {
        (**self).watch(request)
    }
    fn revision(&self) -> Answer<'_, u64> {
        (**self).revision()
    }
    fn observed_revision(&self) -> u64 {
        (**self).observed_revision()
    }
    fn request_progress(&self, keys: &KeyRange) -> Answer<'_, ()> {
        (**self).request_progress(keys)
    }
    fn compact(&self, revision: u64) -> Answer<'_, ()> {
        (**self).compact(revision)
    }
    fn compacted_revision(&self) -> u64 {
        (**self).compacted_revision()
    }
    fn advance_to(&self, revision: u64) -> Answer<'_, ()> {
        (**self).advance_to(revision)
    }
    fn size(&self) -> Answer<'_, Size> {
        (**self).size()
    }
    fn health(&self) -> Answer<'_, ()> {
        (**self).health()
    }
    fn identity(&self) -> Identity {
        (**self).identity()
    }
}

/// How much is in a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Keys that exist now; `None` where counting would cost a scan.
    pub keys: Option<u64>,
    /// Bytes of those keys and values; `None` where counting would cost a scan.
    pub data_bytes: Option<u64>,
    /// Bytes allocated on disk, free pages included; 0 for a store in memory.
    pub disk_bytes: u64,
    /// Bytes of them in use; 0 for a store in memory.
    pub disk_used_bytes: u64,
}

/// Which store this is: what backups carry and what a restore compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `memory`, `embedded` or `etcd`.
    pub backend: &'static str,
    /// Made once with the store (etcd: the cluster's id).
    pub id: u128,
    /// Counts restores: the same id with another epoch has another history.
    pub epoch: u64,
}
