//! A small disk of the kernel's that is really full.
//!
//! The child is this test binary again, in a mount namespace of its own with a tmpfs in it.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use store::embedded::Options;
use store::{EmbeddedStore, Error, Expect, KeyRange, ManualClock, Range, Store, Txn, WatchRequest};

const DIRECTORY: &str = "CORTEN_SPACE_TEST_DIRECTORY";
const DISK_MEBIBYTES: u64 = 24;
const VALUE_BYTES: usize = 10_000;

#[test]
fn a_full_disk_takes_puts_again_when_deletes_have_made_room() {
    let directory = tempfile::tempdir().unwrap();
    let script = format!("mount -t tmpfs -o size={DISK_MEBIBYTES}m none \"$0\" && exec \"$@\"");
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let ended = command
        .args(["--mount", "--", "sh", "-c", &script])
        .arg(directory.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "space::child", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
}

async fn put(store: &EmbeddedStore, key: String) -> Result<(), Error> {
    store.txn(Txn::put(key, vec![7; VALUE_BYTES])).await.map(drop)
}

#[tokio::test]
#[ignore = "run by the test above"]
async fn child() {
    let directory = std::env::var(DIRECTORY).unwrap();
    let clock = Arc::new(ManualClock::at(1_000_000));
    let options = || Options { clock: clock.clone(), ..Options::new(&directory) };
    let mut store = EmbeddedStore::open_with(options()).unwrap();
    let mut before = 0;
    for round in 0..5 {
        let mut keys = 0;
        let full = loop {
            match put(&store, format!("/{round}/{keys}")).await {
                Ok(()) => keys += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(full, Error::NoSpace);
        assert_eq!(store.health().await, Err(Error::NoSpace));
        assert!(keys > 500, "round {round}: only {keys} keys fit");
        assert!(keys * 10 >= before * 9, "round {round}: {before} keys fitted once, now {keys}");
        before = before.max(keys);

        // As if the process had ended; it is full still, and still takes deletes.
        if round % 2 == 1 {
            drop(store);
            store = EmbeddedStore::open_with(options()).unwrap();
        }
        let watched = store.observed_revision();
        for key in 0..keys {
            store.txn(Txn::delete(format!("/{round}/{key}"), Expect::Any)).await.unwrap();
        }
        // Room is looked for once a second.
        clock.advance(Duration::from_secs(1));
        put(&store, format!("/after/{round}")).await.unwrap();
        assert_eq!(store.health().await, Ok(()));
        let gone = store.watch(WatchRequest::after(KeyRange::prefix("/"), watched)).await;
        assert!(matches!(gone, Err(Error::Compacted { .. })), "what nobody can read takes no room");
        assert_eq!(store.range(Range::prefix("/")).await.unwrap().kvs.len(), round + 1);
    }
}
