//! What a durable write costs: `cargo bench -p store [-- DIRECTORY]`.
//!
//! First what SQLite and the disk cost without us: the same rows, on one thread, in batches of 1, 16 and 64.
//! For 1, 16 and 64 writers (tokio tasks, each waiting for its own acknowledgement) of 1 KiB values: processor
//! time per write, all threads and wake-ups included, writes per second, bytes that went to the disk. Then the
//! time to open a store of 100,000 keys, and memory per key.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::embedded::Options;
use store::{EmbeddedStore, HistoryLimits, Range, Store, Txn};

const VALUE_BYTES: usize = 1024;
const KEYS: usize = 20_000;
const LOAD_KEYS: usize = 100_000;

fn main() {
    let argument = std::env::args().nth(1).filter(|argument| !argument.starts_with('-'));
    let base = argument.map_or_else(std::env::temp_dir, PathBuf::from);
    let base = tempfile::tempdir_in(base).expect("a directory for the benchmark");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("tokio");
    println!("batch  writes/s  cpu us/write  (SQLite alone)");
    for batch in [1, 16, 64] {
        engine(&base.path().join(format!("engine-{batch}")), batch);
    }
    println!("writers  history   writes/s  cpu us/write  p50 us  disk bytes/write");
    for (name, age) in [("kept", Duration::from_secs(300)), ("cut", Duration::from_millis(500))] {
        for writers in [1, 16, 64] {
            let directory = base.path().join(format!("{name}-{writers}"));
            runtime.block_on(writes(&directory, name, age, writers));
        }
    }
    open(base.path(), &runtime);
}

fn engine(file: &Path, batch: usize) {
    let sql = rusqlite::Connection::open(file).expect("a database");
    sql.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE log (id INTEGER PRIMARY KEY, key BLOB, value BLOB, created INTEGER, expires INTEGER, checksum INTEGER) STRICT",
    )
    .expect("a table");
    let value = vec![b'x'; VALUE_BYTES];
    let count = if batch == 1 { 20_000 } else { 200_000 };
    let (cpu, started) = (cpu_time(), Instant::now());
    let mut insert = sql.prepare("INSERT INTO log VALUES (?1, ?2, ?3, 0, 0, 0)").expect("a statement");
    for start in (0..count).step_by(batch) {
        sql.execute_batch("BEGIN").expect("begin");
        for id in start..start + batch {
            let key = format!("/registry/pods/namespace-{}/some-deployment-6b7f9c-{id}", id % 50);
            insert.execute(rusqlite::params![id as i64, key.as_bytes(), value]).expect("insert");
        }
        sql.execute_batch("COMMIT").expect("commit");
    }
    let (cpu, wall) = (cpu_time() - cpu, started.elapsed());
    let count = count as f64;
    println!("{batch:>5}  {:>8.0}  {:>12.1}", count / wall.as_secs_f64(), cpu.as_secs_f64() * 1e6 / count);
}

async fn writes(directory: &Path, name: &str, age: Duration, writers: usize) {
    let history = HistoryLimits { age, ..HistoryLimits::default() };
    let store = EmbeddedStore::open_with(Options { history, ..Options::new(directory) }).expect("a store");
    let store: Arc<dyn Store> = Arc::new(store);
    let rounds = if writers == 1 { 20_000 } else { 200_000 / writers };
    let (cpu, written, started) = (cpu_time(), written_bytes(), Instant::now());
    let tasks: Vec<_> =
        (0..writers).map(|writer| tokio::spawn(write(store.clone(), writer, rounds))).collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("a writer"));
    }
    let count = (writers * rounds) as f64;
    let (cpu, written, wall) = (cpu_time() - cpu, written_bytes() - written, started.elapsed());
    latencies.sort_unstable();
    println!(
        "{writers:>7}  {name:>7}  {:>9.0}  {:>12.1}  {:>6}  {:>16.0}",
        count / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / count,
        latencies[latencies.len() / 2].as_micros(),
        written as f64 / count,
    );
}

async fn write(store: Arc<dyn Store>, writer: usize, rounds: usize) -> Vec<Duration> {
    let value = bytes::Bytes::from(vec![b'x'; VALUE_BYTES]);
    let mut latencies = Vec::with_capacity(rounds);
    for round in 0..rounds {
        let number = (writer * 7919 + round * 104_729) % KEYS;
        let key = format!("/registry/pods/namespace-{}/some-deployment-6b7f9c-{number}", number % 50);
        let started = Instant::now();
        store.txn(Txn::put(key, value.clone())).await.expect("a durable write");
        latencies.push(started.elapsed());
    }
    latencies
}

fn open(base: &Path, runtime: &tokio::runtime::Runtime) {
    let started = Instant::now();
    drop(EmbeddedStore::open(base.join("empty")).expect("an empty store"));
    println!("open and close an empty directory: {:.1?}", started.elapsed());
    let directory = base.join("load");
    let store = Arc::new(EmbeddedStore::open(&directory).expect("a store"));
    runtime.block_on(async {
        for chunk in 0..LOAD_KEYS / 100 {
            let puts = (0..100).map(|i| {
                Txn::put(
                    format!("/registry/pods/namespace-{}/pod-{chunk}-{i}", chunk % 50),
                    vec![b'x'; VALUE_BYTES],
                )
            });
            store.txn(puts.reduce(Txn::and).expect("not empty")).await.expect("a durable write");
        }
    });
    drop(store);
    let (rss, started) = (resident_bytes(), Instant::now());
    let store = EmbeddedStore::open(&directory).expect("a store");
    println!("open {LOAD_KEYS} keys of {VALUE_BYTES} bytes: {:.1?}", started.elapsed());
    let per_key = (resident_bytes().saturating_sub(rss)) / LOAD_KEYS;
    println!("memory per key: {per_key} bytes (after others were freed: a lower bound)");
    let started = Instant::now();
    let all = runtime.block_on(store.range(Range::prefix("/registry/"))).expect("a list");
    println!("list {} keys: {:.1?}", all.kvs.len(), started.elapsed());
}

/// Of all threads of this process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}
