//! Tokens that were good a moment ago.
//!
//! Verifying a token costs a signature and up to three look-ups; clients send the same one with every
//! request. As upstream, good results are kept for ten seconds and bad ones not at all. Keys are keyed
//! hashes: the cache holds no token.

use super::Response;
use parking_lot::Mutex;
use pki::KeyedHasher;
use std::collections::HashMap;

/// How long a good result is believed (upstream's `TokenSuccessCacheTTL`).
const SECONDS: i64 = 10;
/// Shards, so that requests on many cores seldom wait for each other.
const SHARDS: usize = 16;
/// Entries of a shard; all together as many as upstream's cache has: 32 Ki.
const SHARD_ENTRIES_MAX: usize = 2048;

pub(super) type Key = [u8; 32];
type Shard = HashMap<Key, (i64, Response)>;

#[derive(Debug)]
pub(super) struct Cache {
    hasher: KeyedHasher,
    shards: [Mutex<Shard>; SHARDS],
}

impl Cache {
    pub(super) fn new() -> Result<Self, pki::Error> {
        Ok(Self { hasher: KeyedHasher::new()?, shards: Default::default() })
    }

    pub(super) fn key(&self, token: &str, audiences: &[&str]) -> Key {
        let mut parts = vec![token.as_bytes()];
        parts.extend(audiences.iter().map(|a| a.as_bytes()));
        self.hasher.hash(&parts)
    }

    fn shard(&self, key: &Key) -> &Mutex<Shard> {
        &self.shards[usize::from(key[0]) % SHARDS]
    }

    pub(super) fn get(&self, key: &Key, now: i64) -> Option<Response> {
        let shard = self.shard(key).lock();
        let (at, response) = shard.get(key)?;
        (*at..at.saturating_add(SECONDS)).contains(&now).then(|| response.clone())
    }

    /// Remembers a good result. A full shard first forgets what is old, and everything if that is nothing.
    pub(super) fn set(&self, key: Key, response: Response, now: i64) {
        let mut shard = self.shard(&key).lock();
        if shard.len() >= SHARD_ENTRIES_MAX {
            shard.retain(|_, (at, _)| (*at..at.saturating_add(SECONDS)).contains(&now));
            if shard.len() >= SHARD_ENTRIES_MAX {
                shard.clear();
            }
        }
        shard.insert(key, (now, response));
    }

    pub(super) fn clear(&self) {
        for shard in &self.shards {
            shard.lock().clear();
        }
    }
}
