//! What an embedded store keeps over a restart, and what it refuses to open.

use std::sync::Arc;
use std::time::Duration;

use store::embedded::{self, OpenError, Options};
use store::{
    EmbeddedStore, Error, Event, Expect, HistoryLimits, KeyRange, ManualClock, Range, Store, Txn,
    WatchRequest,
};

async fn put(store: &EmbeddedStore, key: &str, value: &str) -> u64 {
    store.txn(Txn::put(key, value.to_owned())).await.unwrap().committed().unwrap()
}

#[tokio::test]
async fn keys_history_counter_and_identity_stay() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let first = put(&store, "/a", "1").await;
    put(&store, "/a", "2").await;
    store.txn(Txn::put("/b", "1").and(Txn::put("/c", "1"))).await.unwrap();
    let last = store
        .txn(Txn::delete("/b", Expect::Any).and(Txn::put("/a", "3")))
        .await
        .unwrap()
        .committed()
        .unwrap();
    let identity = store.identity();
    drop(store);

    let store = EmbeddedStore::open(directory.path()).unwrap();
    assert_eq!(store.identity(), identity);
    assert_eq!(store.observed_revision(), last);
    let keys = store.range(Range::prefix("/")).await.unwrap().kvs;
    assert_eq!(keys.iter().map(|kv| kv.key().as_str().unwrap()).collect::<Vec<_>>(), ["/a", "/c"]);
    assert_eq!(
        (keys[0].create_revision(), keys[0].mod_revision(), &**keys[0].value()),
        (first, last, &b"3"[..])
    );
    let old = store.range(Range::key("/b").at(last - 1)).await.unwrap();
    assert_eq!(old.kvs[0].value(), "1", "old revisions stay readable");

    let mut watch = store.watch(WatchRequest::after(KeyRange::prefix("/"), first)).await.unwrap();
    let events = watch.next().await.unwrap().events;
    let revisions: Vec<_> = events.iter().map(Event::revision).collect();
    assert_eq!(revisions, [first + 1, first + 2, first + 2, last, last]);
    assert_eq!(events[0].prev().unwrap().value(), "1");
    assert_eq!(put(&store, "/d", "1").await, last + 1);
}

#[tokio::test]
async fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("a/b");
    let store = EmbeddedStore::open(&directory).unwrap();
    put(&store, "/secret", "1").await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("store.db")), 0o600);
    assert_eq!(mode(&directory.join("store.db-wal")), 0o600);
}

#[tokio::test]
async fn the_counter_outlives_its_rows() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    put(&store, "/a", "1").await;
    let last = store.txn(Txn::delete("/a", Expect::Any)).await.unwrap().committed().unwrap();
    store.compact(last).await.unwrap();
    store.advance_to(last).await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(directory.path()).unwrap();
    assert_eq!(store.observed_revision(), last);
    store.advance_to(1_000_000_000).await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(directory.path()).unwrap();
    assert_eq!(store.observed_revision(), 1_000_000_000);
    let old = store.watch(WatchRequest::after(KeyRange::prefix("/"), last)).await;
    assert_eq!(old.unwrap_err(), Error::Compacted { compacted: 1_000_000_000 });
    let too_far = store.advance_to(u64::MAX).await;
    assert!(matches!(too_far, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn old_history_leaves_memory_and_disk() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(1_000_000));
    let options = || Options {
        clock: clock.clone(),
        history: HistoryLimits { age: Duration::from_secs(300), ..HistoryLimits::default() },
        ..Options::new(directory.path())
    };
    let store = EmbeddedStore::open_with(options()).unwrap();
    let mut before = 0;
    for i in 0..2000 {
        before = put(&store, &format!("/{}", i % 10), &"x".repeat(1000)).await;
    }
    let full = store.size().await.unwrap();
    clock.advance(Duration::from_secs(301));
    let mut last = 0;
    // The first write after the time is up forgets; later ones take the rows off the disk.
    for _ in 0..20 {
        last = put(&store, "/new", "1").await;
    }
    assert!(store.compacted_revision() >= before && store.compacted_revision() < last);
    let size = store.size().await.unwrap();
    assert_eq!(size.keys, Some(11));
    assert!(size.disk_used_bytes < full.disk_used_bytes / 4, "{size:?} {full:?}");
    let gone = store.watch(WatchRequest::after(KeyRange::prefix("/"), before - 1)).await;
    assert!(matches!(gone, Err(Error::Compacted { .. })));
    drop(store);
    let store = EmbeddedStore::open_with(options()).unwrap();
    assert_eq!(store.range(Range::prefix("/")).await.unwrap().kvs.len(), 11);
    assert_eq!(store.observed_revision(), last);
}

#[tokio::test]
async fn what_expired_while_nobody_ran_goes_with_an_event() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(1));
    let options = || Options { clock: clock.clone(), ..Options::new(directory.path()) };
    let store = EmbeddedStore::open_with(options()).unwrap();
    let put = store.txn(Txn::put("/a", "1").ttl(Duration::from_secs(60))).await.unwrap().committed().unwrap();
    drop(store);
    clock.advance(Duration::from_secs(61));
    let store = EmbeddedStore::open_with(options()).unwrap();
    let mut watch = store.watch(WatchRequest::after(KeyRange::prefix("/"), put)).await.unwrap();
    let events = watch.next().await.unwrap().events;
    assert!(matches!(&events[..], [Event::Delete { revision, .. }] if *revision == put + 1));
}

#[tokio::test]
async fn a_full_quota_lets_deletes_through_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(1));
    let options = || Options {
        clock: clock.clone(),
        quota_bytes: 8 << 20,
        reserve_bytes: 1 << 20,
        ..Options::new(directory.path())
    };
    let store = EmbeddedStore::open_with(options()).unwrap();
    let mut keys = 0;
    let full = loop {
        match store.txn(Txn::put(format!("/{keys}"), vec![7; 10_000])).await {
            Ok(_) => keys += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, Error::NoSpace);
    assert!(keys > 500, "{keys}");
    let revision = store.observed_revision();
    assert_eq!(revision, keys + 1, "what was refused took no revision");
    assert_eq!(store.range(Range::key(format!("/{keys}"))).await.unwrap().kvs, []);
    assert_eq!(store.txn(Txn::put("/0", "small")).await, Err(Error::NoSpace));
    assert_eq!(store.health().await, Err(Error::NoSpace));

    for i in 0..keys {
        store.txn(Txn::delete(format!("/{i}"), Expect::Any)).await.unwrap();
    }
    // Room is looked for once a second.
    clock.advance(Duration::from_secs(1));
    store.txn(Txn::put("/after", vec![7; 10_000])).await.unwrap();
    assert_eq!(store.health().await, Ok(()));
    let last = store.observed_revision();
    drop(store);
    let store = EmbeddedStore::open_with(options()).unwrap();
    assert_eq!(store.observed_revision(), last);
    assert_eq!(store.range(Range::prefix("/")).await.unwrap().kvs.len(), 1);
}

#[tokio::test]
async fn foreign_newer_busy_and_damaged_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = embedded::file(directory.path());
    let store = EmbeddedStore::open(directory.path()).unwrap();
    put(&store, "/a", &"findme".repeat(100)).await;
    let busy = EmbeddedStore::open(directory.path()).unwrap_err();
    assert!(matches!(busy, OpenError::InUse { .. }), "{busy}");
    assert!(embedded::is_in_use(&file));
    drop(store);
    assert!(!embedded::is_in_use(&file));
    assert!(!embedded::is_in_use(&directory.path().join("none")));

    let sound = std::fs::read(&file).unwrap();
    let at = sound.windows(6).position(|bytes| bytes == b"findme").unwrap();
    let mut flipped = sound.clone();
    flipped[at] ^= 1;
    std::fs::write(&file, flipped).unwrap();
    let damaged = EmbeddedStore::open(directory.path()).unwrap_err();
    assert!(matches!(damaged, OpenError::Damaged { .. }), "{damaged}");
    std::fs::write(&file, &sound).unwrap();

    let sql = |statement: &str| rusqlite::Connection::open(&file).unwrap().execute_batch(statement).unwrap();
    sql("PRAGMA user_version = 99");
    let newer = EmbeddedStore::open(directory.path()).unwrap_err();
    assert!(newer.to_string().contains("has format 99, this version reads up to 1"), "{newer}");
    sql("PRAGMA user_version = 1; PRAGMA application_id = 7");
    let foreign = EmbeddedStore::open(directory.path()).unwrap_err();
    assert!(matches!(foreign, OpenError::NotAStore { .. }), "{foreign}");

    std::fs::write(&file, "this is text, which SQLite does not take for a database at all").unwrap();
    let text = EmbeddedStore::open(directory.path()).unwrap_err();
    assert!(matches!(text, OpenError::NotAStore { .. }), "{text}");
}
