//! Migration, snapshots, and a store with faults.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use store::conformance::{self, Subject};
use store::migrate::{self, Moving, SnapshotError};
use store::{
    EmbeddedStore, Error, Expect, Faults, FaultyStore, HistoryLimits, Key, KeyRange, ManualClock,
    MemoryStore, Outcome, Range, Store, Txn,
};

async fn filled() -> MemoryStore {
    let store = MemoryStore::with(Arc::new(ManualClock::at(1000)), HistoryLimits::default());
    for i in 0..2500 {
        store.txn(Txn::put(format!("/registry/{i:05}"), vec![i as u8; i % 700])).await.unwrap();
    }
    store.txn(Txn::delete("/registry/00007", Expect::Any)).await.unwrap();
    store.txn(Txn::put("/registry/events/e", "1").ttl(Duration::from_secs(60))).await.unwrap();
    store
}

fn moving<'a>(keys: &'a KeyRange, clock: &'a ManualClock) -> Moving<'a> {
    Moving { keys, ttls: &[], clock }
}

async fn contents(store: &dyn Store) -> Vec<(Key, Vec<u8>)> {
    let all = store.range(Range::prefix("/registry/")).await.unwrap();
    all.kvs.iter().map(|kv| (kv.key().clone(), kv.value().to_vec())).collect()
}

#[tokio::test]
async fn a_copy_has_the_same_keys_above_all_old_revisions() {
    let (from, clock) = (filled().await, ManualClock::at(31_000));
    let directory = tempfile::tempdir().unwrap();
    let to = EmbeddedStore::open(directory.path()).unwrap();
    let keys = KeyRange::prefix("/registry/");
    let summary = migrate::copy(&from, &to, moving(&keys, &clock)).await.unwrap();
    assert_eq!((summary.keys, summary.revision), (2500, from.observed_revision()));
    assert_eq!(contents(&to).await, contents(&from).await);
    let all = to.range(Range::prefix("/")).await.unwrap().kvs;
    assert!(all.iter().all(|kv| kv.mod_revision() > summary.revision));
    assert!(all.iter().any(|kv| kv.expires().is_some()), "a time to live goes along");
    let again = migrate::copy(&from, &to, moving(&keys, &clock)).await;
    assert!(matches!(again, Err(Error::Invalid(_))), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_etcd_and_back() {
    let Some(binary) = testing::etcd::binaries().pop() else { return };
    let server = testing::etcd::Server::start(&binary);
    let (from, etcd, clock) = (filled().await, crate::etcd::connect(&server).await, ManualClock::at(31_000));
    let keys = KeyRange::prefix("/registry/");
    let there = migrate::copy(&from, &etcd, moving(&keys, &clock)).await.unwrap();
    assert_eq!(contents(&etcd).await, contents(&from).await);
    let back = MemoryStore::new();
    let ttls = [(KeyRange::prefix("/registry/events/"), Duration::from_secs(3600))];
    let how = Moving { keys: &keys, ttls: &ttls, clock: &clock };
    let summary = migrate::copy(&etcd, &back, how).await.unwrap();
    assert!(summary.revision > there.revision);
    assert_eq!(contents(&back).await, contents(&from).await);
    let event = back.range(Range::key("/registry/events/e")).await.unwrap();
    assert!(event.kvs[0].expires().is_some());
}

#[tokio::test]
async fn a_snapshot_comes_back_or_is_refused() {
    let (from, clock) = (filled().await, ManualClock::at(31_000));
    let keys = KeyRange::prefix("/registry/");
    let mut file = Vec::new();
    let summary = migrate::export(&from, &keys, &mut file).await.unwrap();
    assert_eq!(migrate::verify(&mut &file[..]).unwrap(), summary);

    let to = MemoryStore::new();
    migrate::import(&mut Cursor::new(&file), &to, moving(&keys, &clock), 1_000_000).await.unwrap();
    assert_eq!(contents(&to).await, contents(&from).await);
    assert!(to.observed_revision() > 1_000_000);

    for at in (0..file.len()).step_by(20_011).chain([file.len() - 1]) {
        let mut flipped = file.clone();
        flipped[at] ^= 0x10;
        assert!(migrate::verify(&mut &flipped[..]).is_err(), "a flipped bit at {at} is not seen");
        assert!(migrate::verify(&mut &file[..at]).is_err(), "an end at {at} is not seen");
    }
    let mut newer = file.clone();
    newer[8] = 2;
    assert!(matches!(migrate::verify(&mut &newer[..]), Err(SnapshotError::NewerFormat(2))));
    let empty = MemoryStore::new();
    file.truncate(file.len() / 2);
    let half = migrate::import(&mut Cursor::new(&file), &empty, moving(&keys, &clock), 0).await;
    assert!(matches!(half, Err(SnapshotError::Damaged(_))));
    assert_eq!(contents(&empty).await, [], "nothing of a damaged snapshot is imported");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delays_do_not_break_the_contract() {
    let clock = Arc::new(ManualClock::at(1));
    let inner = Arc::new(MemoryStore::with(clock.clone(), HistoryLimits::default()));
    let faults = Faults { delays: 500, ..Faults::default() };
    let store = Arc::new(FaultyStore::new(inner, 7, faults));
    conformance::run(&Subject { store, clock: Some(clock) }).await;
}

#[tokio::test]
async fn faults_come_as_asked_for_and_from_the_seed() {
    let mut traces = Vec::new();
    for _ in 0..2 {
        let faults = Faults { conflicts: 100, errors: 100, lost_answers: 100, ..Faults::default() };
        let store = FaultyStore::new(Arc::new(MemoryStore::new()), 42, faults);
        let mut trace = String::new();
        for i in 0..300 {
            trace.push(match store.txn(Txn::create(format!("/{i}"), "1")).await {
                Ok(Outcome::Committed { .. }) => '.',
                Ok(Outcome::Conflict { .. }) => 'c',
                Err(Error::Unavailable { maybe_applied: true, .. }) => 'l',
                Err(_) => 'e',
            });
        }
        for fault in ['c', 'l', 'e'] {
            let count = trace.chars().filter(|c| *c == fault).count();
            assert!((10..60).contains(&count), "{count} {fault} in {trace}");
        }
        traces.push(trace);
    }
    assert_eq!(traces[0], traces[1]);
}
