//! The in-memory side of the memory and the embedded back end: every live key, the versions that the history
//! still needs, and the watchers.
//!
//! A writer first *applies* a transaction to the index under the revision it will have, then makes it durable,
//! then *publishes* the revision. Readers only see versions up to the published revision, so what is applied
//! but not durable is invisible to them although the next writer's comparison already sees it.
//!
//! One versioned B-tree under a lock, not a persistent tree: paths copied per write and kept for five minutes
//! of old roots would cost kilobytes per write, a version costs 16 bytes. Long reads give the lock back after
//! each chunk, which is safe because they are bound to a revision.

mod history;
mod hub;
mod index;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

pub use history::HistoryLimits;
pub(crate) use hub::Hub;
pub(crate) use index::{Applied, Index, Row};

use crate::{Error, Event, Range, RangeResult, Watch, WatchRequest};

/// Keys read under one hold of the lock: about 100 µs, so that a long list does not hold up the writer.
const RANGE_CHUNK_KEYS: usize = 1024;

/// Events forgotten under one hold of the locks when the counter is advanced.
const ADVANCE_EVENTS_MAX: usize = 4096;

/// The index, the history with its watchers, and the revision that readers may see.
pub(crate) struct Mvcc {
    pub(crate) index: RwLock<Index>,
    hub: Arc<Hub>,
    published: AtomicU64,
}

impl Mvcc {
    /// An index at a revision; `history` are its newest events, `compacted` what came before them.
    pub(crate) fn new(
        index: Index,
        revision: u64,
        history: Vec<Event>,
        limits: HistoryLimits,
        now: u64,
    ) -> Self {
        let compacted = index.compacted();
        Self {
            index: RwLock::new(index),
            hub: Arc::new(Hub::new(revision, compacted, history, limits, now)),
            published: AtomicU64::new(revision),
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    pub(crate) fn compacted(&self) -> u64 {
        self.index.read().compacted()
    }

    /// Makes everything up to `revision` visible and tells the watchers.
    pub(crate) fn publish(&self, revision: u64, events: &mut Vec<Event>, now: u64) {
        self.hub.publish(revision, events, now, || self.published.store(revision, Ordering::Release));
    }

    /// Moves the counter without an event; the history before is gone.
    pub(crate) fn advance(&self, revision: u64, now: u64, rows: &mut Vec<Row>) {
        while !self.compact_step(revision, ADVANCE_EVENTS_MAX, rows) {}
        self.publish(revision, &mut Vec::new(), now);
    }

    /// Ends all watches with this error.
    pub(crate) fn fail(&self, error: &Error) {
        self.hub.fail(error);
    }

    pub(crate) fn range(&self, range: &Range) -> Result<RangeResult, Error> {
        let current = self.revision();
        if range.revision > current {
            return Err(Error::FutureRevision { current });
        }
        if range.revision != 0 {
            return self.range_at(range, range.revision, RANGE_CHUNK_KEYS);
        }
        match self.range_at(range, current, RANGE_CHUNK_KEYS) {
            // The history was cut behind us while the lock was given back; in one piece it cannot be.
            Err(Error::Compacted { .. }) => {
                let index = self.index.read();
                let revision = self.revision().max(index.compacted());
                let mut result = RangeResult { revision, ..RangeResult::default() };
                index.read(&range.keys, revision, range.limit, range.count, usize::MAX, &mut result);
                Ok(result)
            }
            result => result,
        }
    }

    fn range_at(&self, range: &Range, revision: u64, chunk: usize) -> Result<RangeResult, Error> {
        let mut result = RangeResult { revision, ..RangeResult::default() };
        let mut keys = range.keys.clone();
        loop {
            let index = self.index.read();
            if revision < index.compacted() {
                return Err(Error::Compacted { compacted: index.compacted() });
            }
            match index.read(&keys, revision, range.limit, range.count, chunk, &mut result) {
                None => return Ok(result),
                Some(last) => keys = keys.after(&last),
            }
        }
    }

    pub(crate) fn watch(&self, request: &WatchRequest) -> Result<Watch, Error> {
        Hub::watch(&self.hub, request).map(Watch::new)
    }

    pub(crate) fn request_progress(&self, keys: &crate::KeyRange) {
        self.hub.request_progress(keys);
    }

    /// Up to which revision the limits want the history cut, if they do.
    pub(crate) fn compaction_due(&self, now: u64) -> Option<u64> {
        self.hub.compaction_due(now)
    }

    /// Unix milliseconds at which [`Mvcc::compaction_due`] will next have an answer because of age.
    pub(crate) fn next_compaction(&self) -> Option<u64> {
        self.hub.next_compaction()
    }

    /// Cuts the history up to `revision`, at most about `events_max` events of it. Rows on disk that nobody
    /// can see any more go to `rows`. Returns whether it is done.
    pub(crate) fn compact_step(&self, revision: u64, events_max: usize, rows: &mut Vec<Row>) -> bool {
        let (reached, keys) = self.hub.compact(revision, events_max);
        let mut index = self.index.write();
        index.set_compacted(reached);
        for key in &keys {
            index.prune(key, rows);
        }
        reached >= revision
    }
}
