//! Power cuts, failing syncs and full disks, on a simulated disk.
//!
//! Each writer owns one key, writes counters into it and waits for each acknowledgement. After the disk comes
//! back: what was acknowledged is there, what is there was submitted, revisions have no gaps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use store::embedded::Options;
use store::{
    Batch, EmbeddedStore, Error, Event, Expect, HistoryLimits, KeyRange, KeyValue, ManualClock, Range, Store,
    Txn, WatchRequest,
};
use tokio::task::JoinSet;

use crate::simdisk::{Dice, Plan, SimDisk};

const WRITERS: usize = 8;

/// What the writers know.
#[derive(Default)]
struct Log {
    /// By writer: the last counter acknowledged with its revision, and the last one submitted.
    writers: BTreeMap<usize, Writer>,
    newest: u64,
}

#[derive(Default, Clone, Copy, Debug)]
struct Writer {
    acknowledged: u64,
    submitted: u64,
}

fn options(disk: &SimDisk, directory: &std::path::Path, events: usize) -> Options {
    Options {
        history: HistoryLimits { events, ..HistoryLimits::default() },
        reserve_bytes: 0,
        clock: Arc::new(ManualClock::at(1)),
        vfs: Some(disk.vfs.clone()),
        ..Options::new(directory)
    }
}

fn value(counter: u64) -> String {
    // Sizes from a few bytes to several pages.
    format!("{counter}:{}", "x".repeat((counter as usize * 7919) % 9000))
}

fn counter(value: &[u8]) -> u64 {
    std::str::from_utf8(value).unwrap().split(':').next().unwrap().parse().unwrap()
}

/// Writes until the store stops or all rounds are done.
async fn work(store: &Arc<EmbeddedStore>, log: &Arc<Mutex<Log>>, rounds: usize) {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, log) = (store.clone(), log.clone());
        writers.spawn(async move {
            for _ in 0..rounds {
                let next = {
                    let mut log = log.lock();
                    let state = log.writers.entry(writer).or_default();
                    state.submitted += 1;
                    state.submitted
                };
                match store.txn(Txn::put(format!("/{writer}"), value(next))).await {
                    Ok(outcome) => {
                        let mut log = log.lock();
                        log.newest = log.newest.max(outcome.committed().unwrap());
                        log.writers.get_mut(&writer).unwrap().acknowledged = next;
                    }
                    Err(Error::Fatal(_)) => return,
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
}

/// Compares what the store has with what the writers know, and lets them know what they could not. Returns
/// false when the store stops meanwhile.
async fn check(store: &EmbeddedStore, log: &Mutex<Log>, seed: u64) -> bool {
    let kvs = store.range(Range::prefix("/")).await.unwrap().kvs;
    compare(store, &kvs, &mut log.lock(), seed);
    history_has_no_gaps(store).await
}

fn compare(store: &EmbeddedStore, kvs: &[Arc<KeyValue>], log: &mut Log, seed: u64) {
    assert!(store.observed_revision() >= log.newest, "seed {seed}: acknowledged revisions are gone");
    log.newest = store.observed_revision();
    for (writer, state) in &mut log.writers {
        let key = format!("/{writer}");
        let kv = kvs.iter().find(|kv| **kv.key() == *key.as_bytes());
        let found = kv.map_or(0, |kv| counter(kv.value()));
        assert!(
            found == state.acknowledged || found == state.submitted,
            "seed {seed}: writer {writer} has {found}, of {state:?}"
        );
        if let Some(kv) = kv {
            assert_eq!(**kv.value(), *value(found).as_bytes(), "seed {seed}");
        }
        *state = Writer { acknowledged: found, submitted: found };
    }
}

/// Checks that the history after the last compaction has every revision, where each has one event. Returns
/// false when the store stops meanwhile.
pub(crate) async fn history_has_no_gaps(store: &EmbeddedStore) -> bool {
    loop {
        match try_history(store).await {
            Ok(()) => return true,
            // Compaction in the background overtook the watch; it comes to its end.
            Err(Error::Compacted { .. }) => {}
            // The power was cut under the background's writes.
            Err(Error::Fatal(_)) => return false,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn try_history(store: &EmbeddedStore) -> Result<(), Error> {
    let compacted = store.compacted_revision().max(1);
    let newest = store.observed_revision();
    if newest > compacted {
        let mut watch = store.watch(WatchRequest::after(KeyRange::prefix("/"), compacted)).await?;
        let mut revisions = Vec::new();
        while revisions.len() < (newest - compacted) as usize {
            let Batch { events, .. } = watch.next().await?;
            revisions.extend(events.iter().map(Event::revision));
        }
        assert_eq!(revisions, (compacted + 1..=newest).collect::<Vec<_>>());
    }
    Ok(())
}

async fn power_cuts(disk: &SimDisk, seed: u64) {
    let mut dice = Dice::new(seed);
    let directory = tempfile::tempdir().unwrap();
    let log = Arc::new(Mutex::new(Log::default()));
    // Half of the seeds compact all the time.
    let history = if seed.is_multiple_of(2) { 1_000_000 } else { 50 };
    disk.format();
    for _ in 0..4 {
        disk.plan(Plan { power_cut: Some(1 + dice.below(600)), ..Plan::default() });
        // The cut may come while it opens.
        if let Ok(store) = EmbeddedStore::open_with(options(disk, directory.path(), history)) {
            let store = Arc::new(store);
            check(&store, &log, seed).await;
            work(&store, &log, 40).await;
        }
        disk.power_cycle(&mut dice);
    }
    let store = EmbeddedStore::open_with(options(disk, directory.path(), history));
    assert!(check(&store.unwrap_or_else(|error| panic!("seed {seed}: {error}")), &log, seed).await);
}

#[tokio::test]
async fn acknowledged_writes_survive_power_cuts() {
    let disk = SimDisk::new("power-cuts");
    for seed in 0..40 {
        power_cuts(&disk, seed).await;
    }
}

#[tokio::test]
#[ignore = "two thousand power cuts take a minute; run before a release: cargo test -p store power -- --ignored"]
async fn acknowledged_writes_survive_thousands_of_power_cuts() {
    let disk = SimDisk::new("thousands-of-power-cuts");
    for seed in 1000..1500 {
        power_cuts(&disk, seed).await;
    }
}

#[tokio::test]
async fn a_failed_sync_stops_the_store() {
    let disk = SimDisk::new("failing-syncs");
    for seed in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        disk.format();
        let store = Arc::new(EmbeddedStore::open_with(options(&disk, directory.path(), 1_000_000)).unwrap());
        let mut watch = store.watch(WatchRequest::from_now(KeyRange::prefix("/"))).await.unwrap();
        disk.plan(Plan { failing_sync: Some(1 + seed as usize), ..Plan::default() });
        work(&store, &log, 40).await;
        let acknowledged = log.lock().newest;
        assert!(matches!(store.txn(Txn::put("/late", "1")).await, Err(Error::Fatal(_))), "it stays stopped");
        assert_eq!(
            store.observed_revision().max(1),
            acknowledged.max(1),
            "only what is durable was published"
        );
        let ended = loop {
            match watch.next().await {
                Ok(batch) => assert!(batch.revision <= acknowledged),
                Err(error) => break error,
            }
        };
        assert!(matches!(ended, Error::Fatal(_)));
        drop(store);
        disk.power_cycle(&mut Dice::new(seed));
        let store = EmbeddedStore::open_with(options(&disk, directory.path(), 1_000_000)).unwrap();
        assert!(check(&store, &log, seed).await);
    }
}

#[tokio::test]
async fn a_full_disk_refuses_puts_and_loses_nothing() {
    let disk = SimDisk::new("full-disks");
    for seed in 0..20 {
        let mut dice = Dice::new(seed);
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(1));
        let options = || Options { clock: clock.clone(), ..options(&disk, directory.path(), 1_000_000) };
        disk.format();
        let store = EmbeddedStore::open_with(options()).unwrap();
        disk.plan(Plan { capacity: Some(disk.bytes() + 10_000 + dice.below(500_000)), ..Plan::default() });
        let mut acknowledged = Vec::new();
        let error = loop {
            let i = acknowledged.len();
            match store.txn(Txn::put(format!("/{i:04}"), value(dice.below(100) as u64))).await {
                Ok(outcome) => acknowledged.push(outcome.committed().unwrap()),
                Err(error) => break error,
            }
        };
        assert_eq!(error, Error::NoSpace, "seed {seed}");
        assert_eq!(store.range(Range::prefix("/")).await.unwrap().kvs.len(), acknowledged.len());

        // Somebody makes room.
        disk.plan(Plan::default());
        clock.advance(Duration::from_secs(2));
        let deleted = store.txn(Txn::delete("/0000", Expect::Any)).await.unwrap().committed();
        let put = store.txn(Txn::put("/after", "1")).await.unwrap().committed();
        assert_eq!(put.unwrap(), acknowledged.len() as u64 + 1 + u64::from(!acknowledged.is_empty()) + 1);
        assert!(deleted <= put);
        let all = store.range(Range::prefix("/")).await.unwrap().kvs;
        drop(store);
        disk.power_cycle(&mut dice);
        let store = EmbeddedStore::open_with(options()).unwrap();
        assert_eq!(store.range(Range::prefix("/")).await.unwrap().kvs, all, "seed {seed}");
    }
}

#[tokio::test]
async fn the_simulation_cuts_power_where_it_says() {
    // Guards the tests above against a plan that never comes to pass.
    let disk = SimDisk::new("the-simulation");
    let directory = tempfile::tempdir().unwrap();
    let log = Arc::new(Mutex::new(Log::default()));
    let store = Arc::new(EmbeddedStore::open_with(options(&disk, directory.path(), 1_000_000)).unwrap());
    disk.plan(Plan { power_cut: Some(50), ..Plan::default() });
    work(&store, &log, 100).await;
    assert!(disk.is_off() && disk.operations() >= 50);
    let log = log.lock();
    let done: u64 = log.writers.values().map(|writer| writer.acknowledged).sum();
    assert!(done > 0 && log.writers.values().any(|writer| writer.acknowledged < writer.submitted), "{done}");
}
