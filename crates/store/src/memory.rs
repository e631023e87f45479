//! The store in memory: for tests and simulations. Nothing survives it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::mvcc::{Applied, HistoryLimits, Index, Mvcc};
use crate::{
    Action, Answer, Clock, Error, Event, Expect, Identity, Key, KeyRange, Op, Outcome, Range, RangeResult,
    Size, Store, SystemClock, Txn, Watch, WatchRequest,
};

/// The revision of an empty store, as etcd's.
pub(crate) const FIRST_REVISION: u64 = 1;
/// Events of the history forgotten along with one write, so that no write pays for all.
const COMPACT_EVENTS_PER_WRITE: usize = 8;

/// A store in memory. Every answer is ready at once; with a [`ManualClock`](crate::ManualClock) it is
/// deterministic.
pub struct MemoryStore(Arc<Inner>);

struct Inner {
    mvcc: Mvcc,
    clock: Arc<dyn Clock>,
    writer: Mutex<Writer>,
    /// Rings when the next expiry may have moved, or the store is gone.
    bell: Condvar,
    id: u128,
}

struct Writer {
    revision: u64,
    events: Vec<Event>,
    /// The thread that waits for expiries runs; it starts with the first key that has a time to live.
    expiring: bool,
    /// Called by the clock; held here so that it goes with the store.
    on_jump: Option<Arc<dyn Fn() + Send + Sync>>,
    closed: bool,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::with(Arc::new(SystemClock), HistoryLimits::default())
    }

    /// An empty store with its own clock and history.
    pub fn with(clock: Arc<dyn Clock>, limits: HistoryLimits) -> Self {
        let mvcc = Mvcc::new(Index::default(), FIRST_REVISION, Vec::new(), limits, clock.now());
        let writer = Writer {
            revision: FIRST_REVISION,
            events: Vec::new(),
            expiring: false,
            on_jump: None,
            closed: false,
        };
        let inner = Arc::new(Inner {
            mvcc,
            clock: clock.clone(),
            writer: Mutex::new(writer),
            bell: Condvar::new(),
            id: uuid::Uuid::new_v4().as_u128(),
        });
        let weak = Arc::downgrade(&inner);
        let on_jump: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
            if let Some(inner) = weak.upgrade() {
                inner.housekeep(&mut inner.writer.lock());
            }
        });
        clock.on_jump(Arc::downgrade(&on_jump));
        inner.writer.lock().on_jump = Some(on_jump);
        Self(inner)
    }
}

impl Inner {
    fn txn(self: &Arc<Self>, txn: &Txn) -> Result<Outcome, Error> {
        txn.validate()?;
        let mut writer = self.writer.lock();
        let expires = txn.ops().any(|op| matches!(op.action, Action::Put { ttl: Some(_), .. }));
        let outcome = self.apply(&mut writer, txn);
        if let Some(due) = self.mvcc.compaction_due(self.clock.now()) {
            self.mvcc.compact_step(due, COMPACT_EVENTS_PER_WRITE, &mut Vec::new());
        }
        if expires && self.clock.flows() {
            self.expire_in_background(&mut writer);
        }
        Ok(outcome)
    }

    fn apply(&self, writer: &mut Writer, txn: &Txn) -> Outcome {
        let now = self.clock.now();
        let next = writer.revision + 1;
        let applied = self.mvcc.index.write().apply(txn, next, now, &mut writer.events);
        match applied {
            Applied::Conflict(current) => Outcome::Conflict { revision: writer.revision, current },
            Applied::Unchanged => Outcome::Committed { revision: writer.revision },
            Applied::Changed => {
                writer.revision = next;
                self.mvcc.publish(next, &mut writer.events, now);
                Outcome::Committed { revision: next }
            }
        }
    }

    /// Deletes what has expired and forgets history that is too old.
    fn housekeep(&self, writer: &mut Writer) {
        let now = self.clock.now();
        loop {
            let expired = self.mvcc.index.read().expired(now);
            let Some(key) = expired else { break };
            self.apply(writer, &expiry(key));
        }
        if let Some(due) = self.mvcc.compaction_due(now) {
            self.mvcc.compact_step(due, usize::MAX, &mut Vec::new());
        }
    }

    fn expire_in_background(self: &Arc<Self>, writer: &mut Writer) {
        if std::mem::replace(&mut writer.expiring, true) {
            self.bell.notify_one();
            return;
        }
        let store = Arc::downgrade(self);
        let thread = std::thread::Builder::new().name("store-expiry".into());
        if let Err(error) = thread.spawn(move || expire(&store)) {
            tracing::error!(%error, "cannot start the thread that expires keys");
            writer.expiring = false;
        }
    }
}

/// The transaction that an expiry is: a logged delete with its own revision.
pub(crate) fn expiry(key: Key) -> Txn {
    Txn::new(Op { key, expect: Expect::Any, action: Action::Delete })
}

/// Waits for deadlines until the store is gone.
fn expire(store: &Weak<Inner>) {
    /// The store may go while this waits without anything to wait for; then this is how long the thread lasts.
    const IDLE: Duration = Duration::from_secs(60);
    while let Some(inner) = store.upgrade() {
        let mut writer = inner.writer.lock();
        if writer.closed {
            return;
        }
        inner.housekeep(&mut writer);
        let next = inner.mvcc.index.read().next_expiry();
        let wait =
            next.map_or(IDLE, |at| Duration::from_millis(at.saturating_sub(inner.clock.now())).min(IDLE));
        inner.bell.wait_for(&mut writer, wait);
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.0.writer.lock().closed = true;
        self.0.bell.notify_all();
    }
}

impl Store for MemoryStore {
    fn range(&self, range: Range) -> Answer<'_, RangeResult> {
        Answer::ready(self.0.mvcc.range(&range))
    }

    fn txn(&self, txn: Txn) -> Answer<'_, Outcome> {
        Answer::ready(self.0.txn(&txn))
    }

    fn watch(&self, request: WatchRequest) -> Answer<'_, Watch> {
        Answer::ready(self.0.mvcc.watch(&request))
    }

    fn revision(&self) -> Answer<'_, u64> {
        Answer::ready(Ok(self.observed_revision()))
    }

    fn observed_revision(&self) -> u64 {
        self.0.mvcc.revision()
    }

    fn request_progress(&self, keys: &KeyRange) -> Answer<'_, ()> {
        self.0.mvcc.request_progress(keys);
        Answer::ready(Ok(()))
    }

    fn compact(&self, revision: u64) -> Answer<'_, ()> {
        let _writer = self.0.writer.lock();
        let current = self.observed_revision();
        let compacted = self.compacted_revision();
        Answer::ready(if revision > current {
            Err(Error::FutureRevision { current })
        } else if revision <= compacted {
            Err(Error::Compacted { compacted })
        } else {
            self.0.mvcc.compact_step(revision, usize::MAX, &mut Vec::new());
            Ok(())
        })
    }

    fn compacted_revision(&self) -> u64 {
        self.0.mvcc.compacted()
    }

    fn advance_to(&self, revision: u64) -> Answer<'_, ()> {
        let mut writer = self.0.writer.lock();
        if revision > writer.revision {
            writer.revision = revision;
            self.0.mvcc.advance(revision, self.0.clock.now(), &mut Vec::new());
        }
        Answer::ready(Ok(()))
    }

    fn size(&self) -> Answer<'_, Size> {
        let (keys, bytes) = self.0.mvcc.index.read().live();
        Answer::ready(Ok(Size { keys: Some(keys), data_bytes: Some(bytes), ..Size::default() }))
    }

    fn health(&self) -> Answer<'_, ()> {
        Answer::ready(Ok(()))
    }

    fn identity(&self) -> Identity {
        Identity { backend: "memory", id: self.0.id, epoch: 0 }
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryStore(revision {})", self.observed_revision())
    }
}
