//! The store on one machine's disk, in this process.
//!
//! All reads come from memory. The disk is an append table of revisions in SQLite; it is read once, at the
//! start. One thread, the committer, owns it: writers from all tasks queue up, and whatever has come while the
//! last batch was being synced becomes the next batch. Only after the sync are the batch's revisions, events
//! and acknowledgements published, in revision order.
//!
//! Invariants:
//! - Acknowledged means durable. A failed sync or any other error of the disk but "full" stops the store for
//!   good; nothing is retried over it, because nobody knows what the kernel kept.
//! - A full disk refuses puts and lets deletes through, into space held in reserve. While it is full, no history is
//!   kept, so that what is deleted makes room; puts are taken again as soon as there is some.
//! - One process has the store open (SQLite's exclusive lock).

mod committer;
mod disk;
mod queue;
mod space;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::oneshot;

pub use disk::{FORMAT, OpenError, file, is_in_use, put_aside};

use crate::mvcc::{HistoryLimits, Mvcc};
use crate::{
    Answer, Clock, Error, Identity, KeyRange, Outcome, Range, RangeResult, Size, Store, SystemClock, Txn,
    Watch, WatchRequest,
};
use committer::Committer;
use disk::Disk;
use queue::{Queue, Request};

/// How to open an [`EmbeddedStore`].
#[derive(Clone)]
pub struct Options {
    /// The directory; made if it is missing.
    pub directory: PathBuf,
    /// How much history is kept.
    pub history: HistoryLimits,
    /// Bytes that the store may take on disk, at most. Etcd's default is 2 GB, its advice at most 8.
    pub quota_bytes: u64,
    /// Bytes held back on disk so that deletes still work when it is full.
    pub reserve_bytes: u64,
    /// Id and epoch of a store made new; a restore gives those of its backup. An existing store keeps its own.
    pub identity: Option<(u128, u64)>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// A SQLite VFS by its registered name; for tests that simulate disks.
    pub vfs: Option<String>,
}

impl Options {
    /// The usual settings.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            history: HistoryLimits::default(),
            quota_bytes: 8 << 30,
            reserve_bytes: 16 << 20,
            identity: None,
            clock: Arc::new(SystemClock),
            vfs: None,
        }
    }
}

/// A store in a directory.
pub struct EmbeddedStore {
    mvcc: Arc<Mvcc>,
    queue: Arc<Queue>,
    identity: Identity,
    /// Only deletes are taken.
    is_full: Arc<AtomicBool>,
    committer: Mutex<Option<JoinHandle<()>>>,
    /// Called by the clock; held here so that it goes with the store.
    _on_jump: Arc<dyn Fn() + Send + Sync>,
}

impl EmbeddedStore {
    /// Opens the store in a directory, or makes one.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(Options::new(directory.as_ref()))
    }

    /// As [`EmbeddedStore::open`], with settings. Blocks while it reads the store.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_with(options: Options) -> Result<Self, OpenError> {
        let (disk, loaded) = Disk::open(&options)?;
        let identity = Identity { backend: "embedded", id: loaded.id, epoch: loaded.epoch };
        let now = options.clock.now();
        let mvcc =
            Arc::new(Mvcc::new(loaded.index, loaded.revision, loaded.history, options.history.clone(), now));
        let queue = Arc::new(Queue::default());
        let bell = queue.clone();
        let on_jump: Arc<dyn Fn() + Send + Sync> = Arc::new(move || bell.ring());
        options.clock.on_jump(Arc::downgrade(&on_jump));
        let is_full = Arc::new(AtomicBool::new(false));
        let committer =
            Committer::new(disk, mvcc.clone(), queue.clone(), &options, loaded.garbage, is_full.clone());
        let thread = std::thread::Builder::new()
            .name("store-committer".into())
            .spawn(move || committer.run())
            .map_err(|source| OpenError::Io {
                what: "start the committer",
                path: options.directory,
                source,
            })?;
        queue.set_consumer(thread.thread().clone());
        Ok(Self { mvcc, queue, identity, is_full, committer: Mutex::new(Some(thread)), _on_jump: on_jump })
    }

    /// Finishes what is queued, folds the log into the table and closes. Dropping the store does the same.
    pub fn close(&self) {
        let thread = self.committer.lock().take();
        if let Some(thread) = thread {
            self.queue.finish();
            // A panic in the committer has been told to all waiters already.
            let _ = thread.join();
        }
    }

    fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Request) -> Answer<'_, T> {
        let (sender, receiver) = oneshot::channel();
        match self.queue.push(request(sender)) {
            Ok(()) => Answer::waiting(receiver),
            Err(error) => Answer::ready(Err(error)),
        }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl Store for EmbeddedStore {
    fn range(&self, range: Range) -> Answer<'_, RangeResult> {
        Answer::ready(self.mvcc.range(&range))
    }

    fn txn(&self, txn: Txn) -> Answer<'_, Outcome> {
        if let Err(error) = txn.validate() {
            return Answer::ready(Err(error));
        }
        self.ask(|sender| Request::Txn(txn, sender))
    }

    fn watch(&self, request: WatchRequest) -> Answer<'_, Watch> {
        Answer::ready(self.mvcc.watch(&request))
    }

    fn revision(&self) -> Answer<'_, u64> {
        Answer::ready(Ok(self.mvcc.revision()))
    }

    fn observed_revision(&self) -> u64 {
        self.mvcc.revision()
    }

    fn request_progress(&self, keys: &KeyRange) -> Answer<'_, ()> {
        self.mvcc.request_progress(keys);
        Answer::ready(Ok(()))
    }

    fn compact(&self, revision: u64) -> Answer<'_, ()> {
        self.ask(|sender| Request::Compact(revision, sender))
    }

    fn compacted_revision(&self) -> u64 {
        self.mvcc.compacted()
    }

    fn advance_to(&self, revision: u64) -> Answer<'_, ()> {
        self.ask(|sender| Request::Advance(revision, sender))
    }

    fn size(&self) -> Answer<'_, Size> {
        self.ask(Request::Size)
    }

    fn health(&self) -> Answer<'_, ()> {
        let full = self.is_full.load(Ordering::Relaxed).then_some(Error::NoSpace);
        Answer::ready(self.queue.closed().or(full).map_or(Ok(()), Err))
    }

    fn identity(&self) -> Identity {
        self.identity.clone()
    }
}

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EmbeddedStore(revision {})", self.mvcc.revision())
    }
}
