//! A revisioned key-value map with watches: in memory, embedded on disk, or etcd.
//!
//! The contract is etcd's: one revision counter for the whole store, each transaction takes the next
//! revision, a read names the revision it was made at, a watch delivers every change of its keys in revision
//! order from any revision that is still in the history. [`conformance`] states it as tests, which every back
//! end passes.
//!
//! Invariants:
//! - A revision never goes back, not over a restart, a restore or a move to another back end.
//! - What a reader, a watcher or a writer has been told is durable already (embedded: after the fsync).
//! - A watcher gets every event of its keys or an error; never a gap.
//!
//! What must not be here: names of kinds, key layout, encodings, encryption. Those are the API server's.
//! Upstream counterpart: `k8s.io/apiserver/pkg/storage/etcd3` below its codec.

mod answer;
mod clock;
pub mod conformance;
pub mod embedded;
mod error;
pub mod etcd;
mod faulty;
mod key;
mod kv;
mod memory;
pub mod migrate;
mod mvcc;
mod request;
mod traits;
mod watch;

pub use answer::Answer;
pub use clock::{Clock, ManualClock, SystemClock};
pub use embedded::EmbeddedStore;
pub use error::Error;
pub use etcd::EtcdStore;
pub use faulty::{Faults, FaultyStore};
pub use key::{Key, KeyRange};
pub use kv::{Batch, Event, KeyValue};
pub use memory::MemoryStore;
pub use mvcc::HistoryLimits;
pub use request::{
    Action, Expect, KEY_BYTES_MAX, Op, Outcome, Range, RangeResult, TXN_BYTES_MAX, TXN_OPS_MAX, Txn,
    WatchRequest,
};
pub use traits::{Identity, Size, Store};
pub use watch::{Watch, WatchSource};
