//! The thread that makes writes durable.
//!
//! One turn: take what waits → apply it to the index under the revisions it will have → one transaction on
//! disk, with its sync → publish revisions and events → acknowledge. No timer makes batches: while a sync runs,
//! the next batch gathers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Options;
use super::disk::{Disk, Growth, PAGE_BYTES, REVISION_MAX, WriteError};
use super::queue::{Queue, Reply, Request};
use super::space::{Hold, Reserve};
use crate::memory::expiry;
use crate::mvcc::{Applied, Mvcc, Row};
use crate::{Clock, Error, Event, Outcome, Size, Txn};

/// Transactions in one batch, at most; bounds the time that readers wait for the index.
const BATCH_TXNS_MAX: usize = 1024;
/// Bytes in one batch, at most (the last transaction may exceed it); bounds the log and the latency.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Expired keys deleted in one batch, at most.
const BATCH_EXPIRIES_MAX: usize = 256;
/// Events of the history forgotten in one turn, at most.
const COMPACT_EVENTS_MAX: usize = 4096;
/// Dead rows are removed once so many have gathered, so that the cost of touching old pages is shared...
const GARBAGE_ROWS_MIN: usize = 256;
/// ...and at most so many in one transaction.
const GARBAGE_ROWS_MAX: usize = 1024;
/// When nothing is written, history may become so much older than its limit before a turn is spent on it.
const IDLE_SLACK_MILLIS: u64 = 60_000;
/// The log is folded into the table at 4 MiB when there is nothing else to do...
const WAL_PAGES_IDLE: u32 = 1024;
/// ...and at 16 MiB in any case, which bounds the time of a restart.
const WAL_PAGES_MAX: u32 = 4096;
/// Puts are taken while so many pages may be written at least; on large disks a quarter of the reserve.
const PAGES_LEFT_MIN: u64 = 64;
/// How long to wait before looking again whether a full disk has room.
const FULL_RETRY_MILLIS: u64 = 1000;

pub(super) struct Committer {
    disk: Disk,
    mvcc: Arc<Mvcc>,
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
    reserve: Reserve,
    /// The newest revision on disk.
    revision: u64,
    /// Dead rows to be removed.
    garbage: Vec<Row>,
    /// While only deletes are taken: when room was last looked for (Unix milliseconds).
    full: Option<u64>,
    /// The same, for those who ask how the store fares.
    is_full: Arc<AtomicBool>,
    events: Vec<Event>,
    /// Answers that wait for the sync.
    replies: Vec<(Reply<Outcome>, Result<Outcome, Error>)>,
}

/// Tells everybody when the committer goes, also by a panic.
struct Farewell {
    mvcc: Arc<Mvcc>,
    queue: Arc<Queue>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let error = Error::Fatal(
            if std::thread::panicking() { "the committer panicked" } else { "the store is closed" }.into(),
        );
        self.queue.close(&error);
        self.mvcc.fail(&error);
    }
}

impl Committer {
    pub(super) fn new(
        disk: Disk,
        mvcc: Arc<Mvcc>,
        queue: Arc<Queue>,
        options: &Options,
        garbage: Vec<Row>,
        is_full: Arc<AtomicBool>,
    ) -> Self {
        let mut committer = Self {
            disk,
            revision: mvcc.revision(),
            mvcc,
            queue,
            clock: options.clock.clone(),
            reserve: Reserve::new(&options.directory, options.reserve_bytes),
            garbage,
            full: None,
            is_full,
            events: Vec::new(),
            replies: Vec::new(),
        };
        if !committer.take_room() {
            // What is left is for deletes; the first turn looks again.
            committer.enter_full(0);
        }
        committer
    }

    pub(super) fn run(mut self) {
        let _farewell = Farewell { mvcc: self.mvcc.clone(), queue: self.queue.clone() };
        let mut requests = Vec::new();
        let mut last_batch = 0;
        loop {
            if last_batch > 1 && self.queue.len() < last_batch {
                // The writers just answered are about to come again: let them in, rather than sync for the
                // first of them alone. Costs nothing when nobody else wants the processor.
                std::thread::yield_now();
            }
            let timeout = self.timeout();
            if !self.queue.take(&mut requests, timeout) {
                break;
            }
            last_batch = requests.len();
            if let Err(error) = self.turn(&mut requests) {
                let error = Error::Fatal(error);
                tracing::error!(%error, "the store has stopped");
                self.mvcc.fail(&error);
                self.queue.close(&error);
                self.replies.drain(..).for_each(|(reply, _)| drop(reply.send(Err(error.clone()))));
                requests.drain(..).for_each(|request| request.refuse(error.clone()));
                return;
            }
        }
        // Nothing is lost without it; the next start is faster.
        let _ = self.disk.checkpoint();
    }

    /// How long there is nothing to do, if no one writes.
    fn timeout(&self) -> Option<Duration> {
        if let Some(looked) = self.full {
            let next = looked.saturating_add(FULL_RETRY_MILLIS);
            return self.clock.flows().then(|| Duration::from_millis(next.saturating_sub(self.clock.now())));
        }
        if self.garbage.len() >= GARBAGE_ROWS_MIN || self.disk.wal_pages() >= self.log_pages(WAL_PAGES_IDLE) {
            return Some(Duration::ZERO);
        }
        if !self.clock.flows() {
            return None;
        }
        let expiry = self.mvcc.index.read().next_expiry();
        let compaction = self.mvcc.next_compaction().map(|due| due.saturating_add(IDLE_SLACK_MILLIS));
        let next = [expiry, compaction].into_iter().flatten().min()?;
        Some(Duration::from_millis(next.saturating_sub(self.clock.now())))
    }

    /// Does what waits, or what is due if nothing waits.
    fn turn(&mut self, requests: &mut Vec<Request>) -> Result<(), String> {
        let idle = requests.is_empty();
        let now = self.clock.now();
        self.resume_if_room(now)?;
        let mut txns = Vec::with_capacity(requests.len().min(BATCH_TXNS_MAX));
        let mut bytes = 0;
        for request in requests.drain(..) {
            match request {
                Request::Txn(txn, reply) => {
                    bytes += txn.bytes();
                    txns.push((txn, reply));
                    if txns.len() >= BATCH_TXNS_MAX || bytes >= BATCH_BYTES_MAX {
                        self.batch(&mut txns, now)?;
                        bytes = 0;
                    }
                }
                other => {
                    // In order: what was asked for before is done before.
                    self.batch(&mut txns, now)?;
                    self.control(other, now)?;
                }
            }
        }
        self.batch(&mut txns, now)?;
        self.age(now, idle)?;
        let pages = self.disk.wal_pages();
        if self.full.is_some() && pages > 0 {
            // The next deletes need the room.
            self.disk.checkpoint_and_shrink().map_err(fatal)?;
        } else if pages >= self.log_pages(WAL_PAGES_MAX)
            || (pages >= self.log_pages(WAL_PAGES_IDLE) && self.queue.len() == 0)
        {
            self.disk.checkpoint().map_err(fatal)?;
        }
        Ok(())
    }

    /// This limit of the log, in proportion on a small disk: when the log is folded, the table may grow by as much,
    /// which on a full disk must fit into the reserve.
    fn log_pages(&self, limit: u32) -> u32 {
        match u32::try_from(self.reserve.bytes() / PAGE_BYTES) {
            Ok(0) | Err(_) => limit,
            Ok(reserve) => limit.min(reserve / (WAL_PAGES_MAX / limit)).max(1),
        }
    }

    /// One transaction on disk for all of these, and for what has expired.
    fn batch(&mut self, txns: &mut Vec<(Txn, Reply<Outcome>)>, now: u64) -> Result<(), String> {
        let expiring = self.mvcc.index.read().next_expiry().is_some_and(|at| at <= now);
        if txns.is_empty() && !expiring {
            return Ok(());
        }
        let mut is_folded = false;
        let outcomes = loop {
            let outcomes = self.apply(txns, now);
            match self.write() {
                Ok(()) => break outcomes,
                Err(WriteError::Full) => self.take_back(),
                Err(error) => return Err(fatal(error)),
            }
            if self.full.is_some() {
                // Not even the reserve helped.
                break txns.iter().map(|_| Err(Error::NoSpace)).collect();
            }
            self.reserve.release();
            if is_folded || !self.make_room()? {
                self.enter_full(now);
            }
            is_folded = true;
        };
        self.mvcc.publish(self.revision, &mut self.events, now);
        for ((_, reply), outcome) in txns.drain(..).zip(outcomes) {
            // A writer that has gone does not need to know.
            let _ = reply.send(outcome);
        }
        Ok(())
    }

    /// Applies to the index only; `self.events` and `self.revision` are then ahead of the disk.
    fn apply(&mut self, txns: &[(Txn, Reply<Outcome>)], now: u64) -> Vec<Result<Outcome, Error>> {
        let mut index = self.mvcc.index.write();
        for _ in 0..BATCH_EXPIRIES_MAX {
            let Some(key) = index.expired(now) else { break };
            if let Applied::Changed = index.apply(&expiry(key), self.revision + 1, now, &mut self.events) {
                self.revision += 1;
            }
        }
        let mut outcomes = Vec::with_capacity(txns.len());
        for (txn, _) in txns {
            if self.full.is_some() && !txn.frees_space() {
                outcomes.push(Err(Error::NoSpace));
                continue;
            }
            outcomes.push(Ok(match index.apply(txn, self.revision + 1, now, &mut self.events) {
                Applied::Conflict(current) => Outcome::Conflict { revision: self.revision, current },
                Applied::Unchanged => Outcome::Committed { revision: self.revision },
                Applied::Changed => {
                    self.revision += 1;
                    Outcome::Committed { revision: self.revision }
                }
            }));
        }
        outcomes
    }

    /// Makes `self.events` durable, and removes dead rows along with them.
    fn write(&mut self) -> Result<(), WriteError> {
        if self.events.is_empty() {
            return Ok(());
        }
        let rows =
            if self.garbage.len() >= GARBAGE_ROWS_MIN { self.garbage.len().min(GARBAGE_ROWS_MAX) } else { 0 };
        let compacted = if rows > 0 { self.mvcc.compacted() } else { 0 };
        self.disk.commit(&self.events, &self.garbage[..rows], compacted)?;
        self.garbage.drain(..rows);
        Ok(())
    }

    /// Undoes what was applied but not written. Nobody has seen it.
    fn take_back(&mut self) {
        let mut index = self.mvcc.index.write();
        while let Some(event) = self.events.pop() {
            index.undo(&event);
        }
        self.revision = self.mvcc.revision();
    }

    fn enter_full(&mut self, now: u64) {
        if self.full.replace(now).is_none() {
            self.is_full.store(true, Ordering::Relaxed);
            tracing::error!("the disk or the quota is full: only deletes are taken until there is room");
        }
        self.reserve.release();
        self.limit(Growth::IntoReserve);
    }

    fn limit(&self, growth: Growth) {
        if let Err(error) = self.disk.limit(growth) {
            tracing::warn!(%error, ?growth, "cannot set how large the store may become");
        }
    }

    /// Takes puts again once deletes, or somebody else's, have made room.
    fn resume_if_room(&mut self, now: u64) -> Result<(), String> {
        let Some(looked) = self.full else { return Ok(()) };
        if now < looked.saturating_add(FULL_RETRY_MILLIS) {
            return Ok(());
        }
        self.full = Some(now);
        // What was deleted takes room until nobody can read it any more: that cannot wait for the history's age.
        while !self.mvcc.compact_step(self.revision, COMPACT_EVENTS_MAX, &mut self.garbage) {}
        while !self.garbage.is_empty() && self.sweep()? {
            self.disk.checkpoint_and_shrink().map_err(fatal)?;
        }
        if self.make_room()? {
            tracing::info!("there is room again: puts are taken");
            self.full = None;
            self.is_full.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Folds the log, which may be much of what is taken, and takes the room that is there.
    fn make_room(&mut self) -> Result<bool, String> {
        self.disk.checkpoint_and_shrink().map_err(fatal)?;
        Ok(self.take_room())
    }

    /// Takes the reserve, if that leaves room for puts on the disk and in the table.
    fn take_room(&mut self) -> bool {
        let Some(hold) = self.reserve.restore() else { return false };
        self.limit(match hold {
            Hold::Whole => Growth::ToQuota,
            Hold::Half => Growth::Not,
        });
        let left = self.disk.pages_left().unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot tell how much room the store has");
            0
        });
        let has_room = left >= (self.reserve.bytes() / 4 / PAGE_BYTES).max(PAGES_LEFT_MIN);
        if !has_room {
            self.reserve.release();
            self.limit(Growth::IntoReserve);
        }
        has_room
    }

    /// Forgets history that is too old, and removes dead rows even if no write takes them along.
    fn age(&mut self, now: u64, idle: bool) -> Result<(), String> {
        if let Some(due) = self.mvcc.compaction_due(now) {
            self.mvcc.compact_step(due, COMPACT_EVENTS_MAX, &mut self.garbage);
        }
        if idle && self.full.is_none() && !self.garbage.is_empty() {
            self.sweep()?;
        }
        Ok(())
    }

    /// Removes dead rows, as many as one transaction may; false when there is no room for it.
    fn sweep(&mut self) -> Result<bool, String> {
        let rows = self.garbage.len().min(GARBAGE_ROWS_MAX);
        match self.disk.commit(&[], &self.garbage[..rows], self.mvcc.compacted()) {
            Ok(()) => drop(self.garbage.drain(..rows)),
            Err(WriteError::Full) => {
                self.enter_full(self.clock.now());
                return Ok(false);
            }
            Err(error) => return Err(fatal(error)),
        }
        Ok(true)
    }

    fn control(&mut self, request: Request, now: u64) -> Result<(), String> {
        match request {
            Request::Compact(revision, reply) => drop(reply.send(self.compact(revision))),
            Request::Advance(revision, reply) => {
                let result = self.advance(revision, now)?;
                drop(reply.send(result));
            }
            Request::Size(reply) => drop(reply.send(self.size())),
            Request::Txn(_, reply) => {
                drop(reply.send(Err(Error::Invalid("a transaction is no control".into()))))
            }
        }
        Ok(())
    }

    fn compact(&mut self, revision: u64) -> Result<(), Error> {
        let compacted = self.mvcc.compacted();
        if revision > self.revision {
            return Err(Error::FutureRevision { current: self.revision });
        }
        if revision <= compacted {
            return Err(Error::Compacted { compacted });
        }
        while !self.mvcc.compact_step(revision, COMPACT_EVENTS_MAX, &mut self.garbage) {}
        Ok(())
    }

    fn advance(&mut self, revision: u64, now: u64) -> Result<Result<(), Error>, String> {
        if revision > REVISION_MAX {
            return Ok(Err(Error::Invalid(format!("revision {revision} is above {REVISION_MAX}"))));
        }
        if revision <= self.revision {
            return Ok(Ok(()));
        }
        match self.disk.advance(revision) {
            Ok(()) => {}
            Err(WriteError::Full) => return Ok(Err(Error::NoSpace)),
            Err(error) => return Err(fatal(error)),
        }
        self.revision = revision;
        self.mvcc.advance(revision, now, &mut self.garbage);
        Ok(Ok(()))
    }

    fn size(&self) -> Result<Size, Error> {
        let (disk, used) = self.disk.size().map_err(|error| Error::unavailable(error.to_string()))?;
        let (keys, bytes) = self.mvcc.index.read().live();
        Ok(Size { keys: Some(keys), data_bytes: Some(bytes), disk_bytes: disk, disk_used_bytes: used })
    }
}

fn fatal(error: WriteError) -> String {
    match error {
        WriteError::Full => "the disk is full".into(),
        WriteError::Fatal(message) => message,
    }
}
