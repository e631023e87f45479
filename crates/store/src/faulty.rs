//! A store that misbehaves within its contract, by a seed; for tests of those who use one.

use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;

use crate::{
    Answer, Batch, Error, Expect, Identity, KeyRange, Outcome, Range, RangeResult, Size, Store, Txn, Watch,
    WatchRequest, WatchSource,
};

/// How often, in thousandths of the calls.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Transactions with a comparison that end in a conflict although it holds.
    pub conflicts: u32,
    /// Calls that fail and did nothing.
    pub errors: u32,
    /// Transactions that are applied and then reported as failed, perhaps applied.
    pub lost_answers: u32,
    /// Watches that end with `Unavailable`, per batch.
    pub watch_ends: u32,
    /// Calls that give way to other tasks some times before they are done.
    pub delays: u32,
}

/// A store with faults.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    faults: Faults,
    dice: Arc<Dice>,
}

impl FaultyStore {
    /// Wraps a store; the same seed and the same calls give the same faults.
    pub fn new(inner: Arc<dyn Store>, seed: u64, faults: Faults) -> Self {
        Self { inner, faults, dice: Arc::new(Dice(Mutex::new(seed))) }
    }

    async fn disturb(&self) -> Result<(), Error> {
        if self.dice.hit(self.faults.delays) {
            for _ in 0..=self.dice.below(8) {
                tokio::task::yield_now().await;
            }
        }
        if self.dice.hit(self.faults.errors) {
            return Err(Error::unavailable("injected"));
        }
        Ok(())
    }

    async fn write(&self, txn: Txn) -> Result<Outcome, Error> {
        self.disturb().await?;
        let compares = txn.ops().any(|op| op.expect != Expect::Any);
        if compares && self.dice.hit(self.faults.conflicts) {
            let mut current = Vec::new();
            let mut revision = 0;
            for op in txn.ops() {
                let mut read = self.inner.range(Range::key(op.key.clone())).await?;
                revision = read.revision;
                current.push(read.kvs.pop());
            }
            return Ok(Outcome::Conflict { revision, current });
        }
        let outcome = self.inner.txn(txn).await?;
        if self.dice.hit(self.faults.lost_answers) {
            return Err(Error::Unavailable { message: "injected".into(), maybe_applied: true });
        }
        Ok(outcome)
    }
}

/// Random numbers (xorshift64*), so that a seed is all it takes to see a failure again.
struct Dice(Mutex<u64>);

impl Dice {
    fn below(&self, limit: u64) -> u64 {
        let mut state = self.0.lock();
        let mut x = (*state).max(1);
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        *state = x;
        (x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    fn hit(&self, thousandths: u32) -> bool {
        thousandths > 0 && self.below(1000) < u64::from(thousandths)
    }
}

struct FaultyWatch {
    inner: Watch,
    ends: u32,
    dice: Arc<Dice>,
}

impl WatchSource for FaultyWatch {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Batch, Error>> {
        match self.inner.poll_next(cx) {
            Poll::Ready(Ok(_)) if self.dice.hit(self.ends) => {
                Poll::Ready(Err(Error::unavailable("injected")))
            }
            other => other,
        }
    }
}

impl Store for FaultyStore {
    fn range(&self, range: Range) -> Answer<'_, RangeResult> {
        Answer::future(async move {
            self.disturb().await?;
            self.inner.range(range).await
        })
    }

    fn txn(&self, txn: Txn) -> Answer<'_, Outcome> {
        Answer::future(self.write(txn))
    }

    fn watch(&self, request: WatchRequest) -> Answer<'_, Watch> {
        Answer::future(async move {
            self.disturb().await?;
            let inner = self.inner.watch(request).await?;
            Ok(Watch::new(FaultyWatch { inner, ends: self.faults.watch_ends, dice: self.dice.clone() }))
        })
    }

    fn revision(&self) -> Answer<'_, u64> {
        Answer::future(async move {
            self.disturb().await?;
            self.inner.revision().await
        })
    }

    fn observed_revision(&self) -> u64 {
        self.inner.observed_revision()
    }

    fn request_progress(&self, keys: &KeyRange) -> Answer<'_, ()> {
        self.inner.request_progress(keys)
    }

    fn compact(&self, revision: u64) -> Answer<'_, ()> {
        self.inner.compact(revision)
    }

    fn compacted_revision(&self) -> u64 {
        self.inner.compacted_revision()
    }

    fn advance_to(&self, revision: u64) -> Answer<'_, ()> {
        self.inner.advance_to(revision)
    }

    fn size(&self) -> Answer<'_, Size> {
        self.inner.size()
    }

    fn health(&self) -> Answer<'_, ()> {
        self.inner.health()
    }

    fn identity(&self) -> Identity {
        self.inner.identity()
    }
}
