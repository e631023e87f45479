//! A real process on a real disk, killed with SIGKILL.
//!
//! The child is this test binary again; it tells each acknowledgement on its standard output, so the log of
//! what was acknowledged is the client's and survives. The parent kills it after a number of lines that the
//! seed gives, reads what the pipe still holds, and compares.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use store::{EmbeddedStore, Range, Store, Txn};

use crate::simdisk::Dice;

const WRITERS: usize = 64;
const DIRECTORY: &str = "CORTEN_CRASH_TEST_DIRECTORY";

fn crash(kills: usize, seed: u64) {
    let mut dice = Dice::new(seed);
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = vec![(0_u64, 0_u64); WRITERS];
    for kill in 0..kills {
        let lines = read_until_killed(directory.path(), 1 + dice.below(3000));
        for line in lines {
            let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
            acknowledged[numbers[0] as usize] = (numbers[1], numbers[2]);
        }
        check(directory.path(), &mut acknowledged, kill);
    }
}

fn read_until_killed(directory: &Path, count: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    let told = |line: &std::io::Result<String>| line.as_ref().is_ok_and(|line| line.starts_with("ack "));
    for line in lines.by_ref().filter(told).take(count) {
        seen.push(line.unwrap()[4..].to_owned());
    }
    assert_eq!(seen.len(), count, "the child ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    // A line without its end was not told.
    let rest: Vec<_> = lines.map_while(Result::ok).collect();
    seen.extend(
        rest.iter().filter_map(|line| line.strip_prefix("ack ")?.strip_suffix(" .")).map(str::to_owned),
    );
    seen.iter().map(|line| line.trim_end_matches(" .").to_owned()).collect()
}

fn check(directory: &Path, acknowledged: &mut [(u64, u64)], kill: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = EmbeddedStore::open(directory).unwrap();
        let newest = store.observed_revision();
        let kvs = store.range(Range::prefix("/")).await.unwrap().kvs;
        for (writer, (counter, revision)) in acknowledged.iter_mut().enumerate() {
            assert!(*revision <= newest, "kill {kill}: revision {revision} is gone, the newest is {newest}");
            let key = format!("/{writer:02}");
            let kv = kvs.iter().find(|kv| **kv.key() == *key.as_bytes());
            let found = kv.map_or(0, |kv| std::str::from_utf8(kv.value()).unwrap().trim().parse().unwrap());
            // One write may have been under way, or its acknowledgement in the pipe.
            assert!(
                found >= *counter,
                "kill {kill}: writer {writer} has {found}, {counter} was acknowledged"
            );
            if found == *counter && found > 0 {
                assert_eq!(kv.unwrap().mod_revision(), *revision, "kill {kill}");
            }
            *counter = found;
        }
        assert!(crate::power::history_has_no_gaps(&store).await, "kill {kill}");
    });
}

#[test]
fn acknowledged_writes_survive_kills() {
    crash(5, 1);
}

#[test]
#[ignore = "two hundred kills take a minute; run before a release: cargo test -p store crash -- --ignored"]
fn acknowledged_writes_survive_hundreds_of_kills() {
    crash(200, 2);
}

/// Writes until it is killed. Not a test of its own: without its directory it does nothing.
#[test]
#[ignore = "the process that the tests above start and kill"]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(EmbeddedStore::open(directory).unwrap());
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let store = store.clone();
            writers.spawn(async move {
                let key = format!("/{writer:02}");
                let now = store.range(Range::key(key.clone())).await.unwrap();
                let text = now.kvs.first().map(|kv| String::from_utf8(kv.value().to_vec()).unwrap());
                let mut counter: u64 = text.map_or(0, |text| text.trim().parse().unwrap());
                loop {
                    counter += 1;
                    let value = format!("{counter:<width$}", width = 20 + (counter as usize * 31) % 2000);
                    let outcome = store.txn(Txn::put(key.clone(), value)).await.unwrap();
                    let line = format!("ack {writer} {counter} {} .\n", outcome.committed().unwrap());
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            });
        }
        writers.join_all().await;
    });
}
