//! `kill -9` under 64 clients that write: what was acknowledged to them is there afterwards.
//!
//! The log of acknowledgements is the clients'. A write that was under way may have happened or not.

use crate::process::Api;
use client::Client;
use http::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

const WRITERS: usize = 64;
/// Acknowledged writes between two kills, at most.
const WRITES_MAX: u64 = 600;
const PATH: &str = "/api/v1/namespaces/default/configmaps";

/// What a client knows of its object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    counter: u64,
    revision: u64,
}

fn known(object: &Value) -> Known {
    let number = |text: &Value| text.as_str().unwrap_or_default().parse().unwrap();
    Known {
        counter: number(&object["data"]["counter"]),
        revision: number(&object["metadata"]["resourceVersion"]),
    }
}

/// Steele and others' SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}

/// The acknowledgements of all writers together, and who waits for so many.
#[derive(Default)]
struct Acknowledged {
    count: AtomicUsize,
    more: Notify,
}

/// Counts up until the server is gone; says what was acknowledged last.
async fn write(client: Client, writer: usize, mut last: Known, all: Arc<Acknowledged>) -> Known {
    loop {
        let counter = last.counter + 1;
        let filling = "x".repeat((counter as usize * 31 + writer * 17) % 4_000);
        let data = json!({"counter": counter.to_string(), "filling": filling});
        let answer = if counter == 1 {
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
                "metadata": {"name": format!("w{writer}")}});
            client.raw(Method::POST, PATH, Some(("application/json", object.to_string().into()))).await
        } else {
            let body = json!({"data": data}).to_string().into();
            let path = format!("{PATH}/w{writer}");
            client.raw(Method::PATCH, &path, Some(("application/merge-patch+json", body))).await
        };
        match answer {
            Ok(object) => {
                last = known(&serde_json::from_slice(&object).unwrap());
                assert_eq!(last.counter, counter);
                all.count.fetch_add(1, Ordering::Relaxed);
                all.more.notify_one();
            }
            Err(client::Error::Transport(_)) => return last,
            Err(error) => panic!("writer {writer}: {error}"),
        }
    }
}

/// Compares what the server has with what was acknowledged; gives back what it has.
async fn check(client: &Client, acknowledged: &[Known], kill: u64) -> Vec<Known> {
    let list = client.raw(Method::GET, PATH, None).await.unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    let newest: u64 = list["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    let items = list["items"].as_array().unwrap();
    let found = |writer: usize| {
        let name = format!("w{writer}");
        items.iter().find(|item| item["metadata"]["name"] == *name).map(known).unwrap_or_default()
    };
    let compare = |(writer, told): (usize, &Known)| {
        let found = found(writer);
        assert!(
            told.revision <= newest,
            "kill {kill}: revision {} is gone, {newest} is the newest",
            told.revision
        );
        let one_more = found.counter == told.counter + 1 && found.revision > told.revision;
        assert!(found == *told || one_more, "kill {kill}, writer {writer}: {found:?} after {told:?}");
        found
    };
    acknowledged.iter().enumerate().map(compare).collect()
}

async fn crash(root: &Path, kills: u64, seed: u64) {
    let mut dice = Dice(seed);
    let mut acknowledged = vec![Known::default(); WRITERS];
    let (mut writes, mut under_way) = (0, 0);
    for kill in 0..kills {
        let server = Api::start(root, &["--threads", "2"]);
        let client = server.client();
        let found = check(&client, &acknowledged, kill).await;
        under_way += found.iter().zip(&acknowledged).filter(|(found, told)| found != told).count();
        let all = Arc::<Acknowledged>::default();
        let start = |(writer, known)| tokio::spawn(write(client.clone(), writer, known, all.clone()));
        let writers: Vec<_> = found.into_iter().enumerate().map(start).collect();
        let wanted = 1 + usize::try_from(dice.below(WRITES_MAX)).unwrap();
        while all.count.load(Ordering::Relaxed) < wanted {
            all.more.notified().await;
        }
        server.process.kill();
        for (writer, task) in writers.into_iter().enumerate() {
            acknowledged[writer] = task.await.unwrap();
        }
        writes += all.count.load(Ordering::Relaxed);
    }
    let server = Api::start(root, &[]);
    check(&server.client(), &acknowledged, kills).await;
    eprintln!("{kills} kills: {writes} acknowledged writes, {under_way} that were under way happened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_kills() {
    let root = tempfile::tempdir().unwrap();
    crash(root.path(), 5, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "two hundred kills take minutes: cargo test -p corten kills -- --ignored --nocapture"]
async fn acknowledged_writes_survive_two_hundred_kills() {
    let root = tempfile::tempdir().unwrap();
    crash(root.path(), 200, 2).await;
}
