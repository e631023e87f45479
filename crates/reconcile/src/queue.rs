//! Keys that are to be looked at: each once, none by two workers at a time.
//!
//! As `client-go/util/workqueue`: a key that is added while it is being worked on is handed out again
//! afterwards; failures come back after waits that double.

use api::Key;
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The wait after a first failure, as `DefaultTypedControllerRateLimiter`.
const BACKOFF_FIRST: Duration = Duration::from_millis(5);
/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(1_000);

#[derive(Default)]
struct Inner {
    ready: VecDeque<Key>,
    /// To be worked on: waiting in `ready`, or added while in `active`.
    dirty: HashSet<Key>,
    active: HashSet<Key>,
    later: BinaryHeap<Reverse<(Instant, u64, Key)>>,
    /// The soonest time each key in `later` is wanted; other entries of the heap are stale.
    wanted: HashMap<Key, Instant>,
    sequence: u64,
    failures: HashMap<Key, u32>,
}

impl Inner {
    fn add(&mut self, key: Key) -> bool {
        if !self.dirty.insert(key.clone()) || self.active.contains(&key) {
            return false;
        }
        self.ready.push_back(key);
        true
    }

    /// Moves what is due to `ready`; the time of what is due next.
    fn ripen(&mut self, now: Instant) -> Option<Instant> {
        while let Some(Reverse((at, _, key))) = self.later.peek() {
            if self.wanted.get(key) == Some(at) {
                if *at > now {
                    return Some(*at);
                }
                let key = key.clone();
                self.wanted.remove(&key);
                self.add(key);
            }
            self.later.pop();
        }
        None
    }
}

/// Keys to be looked at. Clones share them.
#[derive(Clone, Default)]
pub struct Queue {
    inner: Arc<Mutex<Inner>>,
    changed: Arc<Notify>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.inner.lock();
        f.debug_struct("Queue")
            .field("ready", &inner.ready.len())
            .field("later", &inner.wanted.len())
            .finish()
    }
}

impl Queue {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has a key looked at soon.
    pub fn add(&self, key: Key) {
        if self.inner.lock().add(key) {
            self.changed.notify_one();
        }
    }

    /// Has a key looked at after a while; of several times the soonest counts.
    pub fn add_after(&self, key: Key, after: Duration) {
        if after.is_zero() {
            return self.add(key);
        }
        let at = Instant::now() + after;
        let mut inner = self.inner.lock();
        if inner.wanted.get(&key).is_some_and(|soonest| *soonest <= at) {
            return;
        }
        inner.wanted.insert(key.clone(), at);
        inner.sequence += 1;
        let sequence = inner.sequence;
        inner.later.push(Reverse((at, sequence, key)));
        drop(inner);
        self.changed.notify_one();
    }

    /// Has a key that could not be dealt with looked at again, later each time.
    pub fn add_failed(&self, key: Key) {
        let wait = {
            let mut inner = self.inner.lock();
            let failures = inner.failures.entry(key.clone()).or_default();
            let wait = BACKOFF_FIRST.saturating_mul(1 << (*failures).min(20));
            *failures += 1;
            wait.min(BACKOFF_MAX)
        };
        self.add_after(key, wait);
    }

    /// How often in a row a key could not be dealt with.
    pub fn failures(&self, key: &Key) -> u32 {
        self.inner.lock().failures.get(key).copied().unwrap_or_default()
    }

    /// A key was dealt with: its next failure is a first one.
    pub fn forget(&self, key: &Key) {
        self.inner.lock().failures.remove(key);
    }

    /// How many keys wait to be looked at now.
    pub fn len(&self) -> usize {
        self.inner.lock().ready.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next key; [`Self::done`] must follow.
    pub async fn next(&self) -> Key {
        loop {
            let changed = self.changed.notified();
            let due = {
                let mut inner = self.inner.lock();
                let due = inner.ripen(Instant::now());
                if let Some(key) = inner.ready.pop_front() {
                    inner.dirty.remove(&key);
                    inner.active.insert(key.clone());
                    if !inner.ready.is_empty() {
                        self.changed.notify_one();
                    }
                    return key;
                }
                due
            };
            match due {
                Some(due) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(due) => {}
                },
                None => changed.await,
            }
        }
    }

    /// The key is not worked on any more.
    pub fn done(&self, key: &Key) {
        let mut inner = self.inner.lock();
        inner.active.remove(key);
        if inner.dirty.contains(key) {
            inner.ready.push_back(key.clone());
            drop(inner);
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("", name)
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_added_while_active_comes_again() {
        let queue = Queue::new();
        queue.add(key("a"));
        queue.add(key("a"));
        assert_eq!(queue.next().await, key("a"));
        queue.add(key("a"));
        assert!(queue.is_empty());
        queue.done(&key("a"));
        assert_eq!(queue.next().await, key("a"));
        queue.done(&key("a"));
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_soonest_time_counts() {
        let queue = Queue::new();
        let start = Instant::now();
        queue.add_after(key("a"), Duration::from_secs(10));
        queue.add_after(key("a"), Duration::from_secs(2));
        queue.add_after(key("a"), Duration::from_secs(30));
        queue.add_after(key("b"), Duration::from_secs(5));
        assert_eq!(queue.next().await, key("a"));
        assert_eq!(start.elapsed(), Duration::from_secs(2));
        queue.done(&key("a"));
        assert_eq!(queue.next().await, key("b"));
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        queue.done(&key("b"));
        assert!(tokio::time::timeout(Duration::from_secs(60), queue.next()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_wait_twice_as_long_each_time() {
        let queue = Queue::new();
        for expected in [5, 10, 20, 40] {
            let start = Instant::now();
            queue.add_failed(key("a"));
            queue.next().await;
            queue.done(&key("a"));
            assert_eq!(start.elapsed(), Duration::from_millis(expected));
        }
        for _ in 0..40 {
            queue.add_failed(key("b"));
        }
        assert_eq!(queue.failures(&key("b")), 40);
        queue.forget(&key("a"));
        assert_eq!(queue.failures(&key("a")), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn two_workers_get_two_keys() {
        let queue = Queue::new();
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.next().await })
            })
            .collect();
        tokio::task::yield_now().await;
        queue.add(key("a"));
        queue.add(key("b"));
        let mut keys = Vec::new();
        for worker in workers {
            keys.push(worker.await.expect("a key").name);
        }
        keys.sort();
        assert_eq!(keys, ["a", "b"]);
    }
}
