//! Requests and their results.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{Error, Key, KeyRange, KeyValue};

/// Operations in one transaction, at most: etcd's `--max-txn-ops`, so that every back end takes the same.
pub const TXN_OPS_MAX: usize = 128;
/// Bytes of keys and values in one transaction, at most: etcd's `--max-request-bytes`.
pub const TXN_BYTES_MAX: usize = 1536 * 1024;
/// Bytes of a key, at most. Kubernetes' names make keys of at most about 600.
pub const KEY_BYTES_MAX: usize = 64 * 1024;

/// A read of keys in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Which keys.
    pub keys: KeyRange,
    /// How many at most; 0 for all.
    pub limit: usize,
    /// At which revision; 0 for the newest.
    pub revision: u64,
    /// Whether the number of all keys in the range is wanted, which costs a walk over them.
    pub count: bool,
}

impl Range {
    /// All keys of a range, as they are now.
    pub fn new(keys: KeyRange) -> Self {
        Self { keys, limit: 0, revision: 0, count: false }
    }

    /// One key.
    pub fn key(key: impl Into<Key>) -> Self {
        Self::new(KeyRange::key(key))
    }

    /// All keys with a prefix.
    pub fn prefix(prefix: impl Into<Key>) -> Self {
        Self::new(KeyRange::prefix(prefix))
    }

    /// At most so many keys.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// As of this revision.
    #[must_use]
    pub fn at(mut self, revision: u64) -> Self {
        self.revision = revision;
        self
    }

    /// With the number of all keys in the range.
    #[must_use]
    pub fn counted(mut self) -> Self {
        self.count = true;
        self
    }
}

/// What a [`Range`] read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeResult {
    /// The keys, in order.
    pub kvs: Vec<Arc<KeyValue>>,
    /// The revision at which they were read: read the next page at this one.
    pub revision: u64,
    /// Whether the limit left keys out.
    pub more: bool,
    /// Keys in the range, limit or not, if it was asked for.
    pub count: Option<u64>,
}

/// What a key must look like for a transaction to go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// It does not matter.
    Any,
    /// The key does not exist.
    Absent,
    /// The key exists and was last written at this revision.
    Revision(u64),
}

impl Expect {
    /// From a `mod_revision` where 0 stands for absent.
    pub fn mod_revision(revision: u64) -> Self {
        if revision == 0 { Self::Absent } else { Self::Revision(revision) }
    }

    /// Whether a key that is now so meets it.
    pub fn met_by(self, current: Option<&KeyValue>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => current.is_none(),
            Self::Revision(revision) => current.is_some_and(|kv| kv.mod_revision() == revision),
        }
    }
}

/// What a transaction does to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Gives it a value; it expires after `ttl`, if there is one (on etcd up to 5 % or a minute later).
    Put {
        /// The value.
        value: Bytes,
        /// Time to live, whole seconds on etcd.
        ttl: Option<Duration>,
    },
    /// Deletes it; nothing happens, and no revision is taken, if it is absent.
    Delete,
    /// Only compares.
    Check,
}

/// One key's part in a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// The key.
    pub key: Key,
    /// What it must look like before.
    pub expect: Expect,
    /// What happens to it.
    pub action: Action,
}

/// One operation or several, all or nothing, at one revision. No key may occur twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txn {
    /// The first operation.
    pub first: Op,
    /// Further ones; mostly none.
    pub rest: Vec<Op>,
}

impl Txn {
    /// A transaction of one operation.
    pub fn new(op: Op) -> Self {
        Self { first: op, rest: Vec::new() }
    }

    /// Puts a key that must not exist.
    pub fn create(key: impl Into<Key>, value: impl Into<Bytes>) -> Self {
        Self::put(key, value).expect(Expect::Absent)
    }

    /// Puts a key that was last written at `revision`.
    pub fn update(key: impl Into<Key>, revision: u64, value: impl Into<Bytes>) -> Self {
        Self::put(key, value).expect(Expect::Revision(revision))
    }

    /// Puts a key, whatever it was.
    pub fn put(key: impl Into<Key>, value: impl Into<Bytes>) -> Self {
        Self::new(Op {
            key: key.into(),
            expect: Expect::Any,
            action: Action::Put { value: value.into(), ttl: None },
        })
    }

    /// Deletes a key that looks as expected.
    pub fn delete(key: impl Into<Key>, expect: Expect) -> Self {
        Self::new(Op { key: key.into(), expect, action: Action::Delete })
    }

    /// Expects this of the first operation's key.
    #[must_use]
    pub fn expect(mut self, expect: Expect) -> Self {
        self.first.expect = expect;
        self
    }

    /// Lets what the first operation puts expire.
    #[must_use]
    pub fn ttl(mut self, after: Duration) -> Self {
        if let Action::Put { ttl, .. } = &mut self.first.action {
            *ttl = Some(after);
        }
        self
    }

    /// Adds the operations of another transaction.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.rest.push(other.first);
        self.rest.extend(other.rest);
        self
    }

    /// All operations, in order.
    pub fn ops(&self) -> impl Iterator<Item = &Op> + Clone {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.ops().fold(0, |sum, op| {
            let value = if let Action::Put { value, .. } = &op.action { value.len() } else { 0 };
            sum.saturating_add(op.key.len()).saturating_add(value)
        })
    }

    /// Whether it puts nothing, so that a full disk should let it through.
    pub fn frees_space(&self) -> bool {
        self.ops().all(|op| !matches!(op.action, Action::Put { .. }))
    }

    /// Checks what holds on every back end.
    ///
    /// # Errors
    /// `Invalid` and `TooLarge`.
    pub fn validate(&self) -> Result<(), Error> {
        let ops = 1 + self.rest.len();
        if ops > TXN_OPS_MAX {
            return Err(Error::Invalid(format!(
                "{ops} operations in one transaction, at most {TXN_OPS_MAX}"
            )));
        }
        for op in self.ops() {
            if op.key.is_empty() {
                return Err(Error::Invalid("the key is empty".into()));
            }
            if op.key.len() > KEY_BYTES_MAX {
                return Err(Error::TooLarge { bytes: op.key.len(), limit: KEY_BYTES_MAX });
            }
        }
        let bytes = self.bytes();
        if bytes > TXN_BYTES_MAX {
            return Err(Error::TooLarge { bytes, limit: TXN_BYTES_MAX });
        }
        if !self.rest.is_empty() {
            let mut seen = HashSet::with_capacity(ops);
            if let Some(twice) = self.ops().find(|op| !seen.insert(&op.key)) {
                return Err(Error::Invalid(format!(
                    "the key {:?} occurs twice in one transaction",
                    twice.key
                )));
            }
        }
        Ok(())
    }
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All comparisons held; it is durable.
    Committed {
        /// Its revision; the newest one if it changed nothing.
        revision: u64,
    },
    /// A comparison failed; nothing was changed.
    Conflict {
        /// The revision at which the comparison was made.
        revision: u64,
        /// The key of each operation as it is, in the order of the operations.
        current: Vec<Option<Arc<KeyValue>>>,
    },
}

impl Outcome {
    /// The revision, if it was committed.
    pub fn committed(&self) -> Option<u64> {
        match self {
            Self::Committed { revision } => Some(*revision),
            Self::Conflict { .. } => None,
        }
    }
}

/// Which changes to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRequest {
    /// Of which keys.
    pub keys: KeyRange,
    /// From this revision on, itself included; 0 for what comes after now.
    pub from: u64,
    /// Whether to be told the revision from time to time when nothing happens (etcd: about every ten minutes;
    /// [`request_progress`](crate::Store::request_progress) asks for it at once).
    pub progress: bool,
}

impl WatchRequest {
    /// Everything of these keys after `revision`, as after a read at `revision`.
    pub fn after(keys: KeyRange, revision: u64) -> Self {
        Self { keys, from: revision.saturating_add(1), progress: true }
    }

    /// Everything of these keys that happens from now on.
    pub fn from_now(keys: KeyRange) -> Self {
        Self { keys, from: 0, progress: true }
    }
}
