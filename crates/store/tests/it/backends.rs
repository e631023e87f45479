//! The conformance suite on the back ends of this process.

use std::sync::Arc;

use store::conformance::{self, Subject};
use store::embedded::Options;
use store::{EmbeddedStore, HistoryLimits, ManualClock, MemoryStore};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    let clock = Arc::new(ManualClock::at(1));
    let store = Arc::new(MemoryStore::with(clock.clone(), HistoryLimits::default()));
    conformance::run(&Subject { store, clock: Some(clock) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_in_real_time() {
    conformance::run(&Subject { store: Arc::new(MemoryStore::new()), clock: None }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(1));
    let options = Options { clock: clock.clone(), ..Options::new(directory.path()) };
    let store = Arc::new(EmbeddedStore::open_with(options).unwrap());
    conformance::run(&Subject { store, clock: Some(clock) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_in_real_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
    conformance::run(&Subject { store, clock: None }).await;
}
