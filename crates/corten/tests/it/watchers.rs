//! A thousand watchers that never read: what they cost is bounded, each is cut, and none is given a gap.

use crate::process::Api;
use crate::wire::{get, read};
use client::Client;
use http::{Method, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

/// Over idle, of the server's process.
const MEMORY_BYTES_MAX: u64 = 64 << 20;
/// By then the slowest has been cut: no queue and no history holds so many writes.
const WRITES_MAX: usize = 2_000;
const PATH: &str = "/api/v1/namespaces/default/configmaps";

/// Connections, watches on each, and the windows of HTTP/2.
type Multiplexed = (usize, usize, u32, u32);
const MULTIPLEXED: [Multiplexed; 2] = [
    // What RFC 9113 gives to whoever says nothing. (More watches on one, and the client's library takes their
    // many small frames for an attack once they are read.)
    (6, 100, 65_535, 65_535),
    // As Go's clients: the connection's window is never in the way.
    (1, 100, 1 << 20, 1 << 30),
];
const SOCKET_BYTES: u32 = 16 << 10;

async fn write(client: &Client, number: usize, bytes: usize) {
    let text = format!("{number} {}", "x".repeat(bytes));
    let patch = json!({"data": {"text": text}}).to_string();
    let body = Some(("application/merge-patch+json", patch.into()));
    client.raw(Method::PATCH, &format!("{PATH}/big"), body).await.unwrap();
}

/// The sample of a metric without labels, or with those given.
async fn metric(client: &Client, name: &str) -> u64 {
    let text = client.raw(Method::GET, "/metrics", None).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)).map_or(0, |n| n.trim().parse().unwrap())
}

/// The numbers that a watch told of, in its order.
fn numbers(events: &[u8]) -> Vec<usize> {
    let lines = std::str::from_utf8(events).unwrap().lines();
    let number = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["type"], "MODIFIED");
        event["object"]["data"]["text"].as_str().unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    lines.map(number).collect()
}

/// One crowd at a time: the slower a machine, the more the two would hold at once.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_that_never_read() {
    never_read(&MULTIPLEXED, 300, 64 << 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_with_a_connection_each_that_never_read() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    never_read(&[], 1_000, 8 << 10).await;
}

/// Watchers of an object of so many bytes, many on a connection or alone.
async fn never_read(multiplexed: &[Multiplexed], alone: usize, object_bytes: usize) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let root = tempfile::tempdir().unwrap();
    let server = Api::start(root.path(), &[]);
    let client = server.client();
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big"}});
    let body = Some(("application/json", object.to_string().into()));
    client.raw(Method::POST, PATH, body).await.unwrap();
    write(&client, 0, object_bytes).await;
    let big = client.raw(Method::GET, &format!("{PATH}/big"), None).await.unwrap();
    let big: Value = serde_json::from_slice(&big).unwrap();
    let revision = big["metadata"]["resourceVersion"].as_str().unwrap();
    let path = format!("{PATH}?watch=1&resourceVersion={revision}");
    let idle = server.process.resident_bytes();

    let wire = server.wire();
    let mut watchers: Vec<Response<Incoming>> = Vec::new();
    let mut connections = Vec::new();
    for &(count, watches, stream_bytes, connection_bytes) in multiplexed {
        for _ in 0..count {
            let mut connection = wire.http2(stream_bytes, connection_bytes).await;
            for _ in 0..watches {
                watchers.push(connection.send_request(get(&path)).await.unwrap());
            }
            connections.push(connection);
        }
    }
    for _ in 0..alone {
        watchers.push(wire.http1_get(&path, SOCKET_BYTES).await);
    }
    assert_eq!(watchers.len(), 1_000);
    assert!(watchers.iter().all(|answer| answer.status() == 200));
    // One that does read, and is to miss nothing.
    let mut reading = wire.http1_get(&path, 1 << 20).await;

    const CUT: &str = "apiserver_terminated_watchers_total{group=\"\",resource=\"configmaps\"}";
    let (mut most, mut writes, mut lines, mut seen) = (0, 0, 0, Vec::new());
    while metric(&client, CUT).await < 1_000 {
        assert!(writes < WRITES_MAX, "{} are cut after {writes} writes", metric(&client, CUT).await);
        writes += 1;
        write(&client, writes, object_bytes).await;
        while lines < writes {
            let data = reading.frame().await.unwrap().unwrap().into_data().unwrap();
            lines += data.iter().filter(|byte| **byte == b'\n').count();
            seen.extend_from_slice(&data);
        }
        most = most.max(server.process.resident_bytes().saturating_sub(idle));
    }
    assert_eq!(numbers(&seen), (1..=writes).collect::<Vec<_>>());
    eprintln!("{writes} writes of {object_bytes} bytes: {} KiB over {} KiB", most >> 10, idle >> 10);
    assert!(most <= MEMORY_BYTES_MAX, "{} KiB over {} KiB", most >> 10, idle >> 10);

    // Whoever reads on finds all that happened until he was cut. Those of one connection read side by side, as
    // they share its window.
    let told = futures_util::future::join_all(watchers.into_iter().map(read)).await;
    for told in told.iter().map(|events| numbers(events)) {
        assert!(told.len() < writes, "a watcher was given everything");
        assert_eq!(told, (1..=told.len()).collect::<Vec<_>>());
    }
}
