//! Every key with the versions that are still visible at some revision.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::{Action, Event, Key, KeyRange, KeyValue, RangeResult, Txn};

/// Names a version on disk: the revision and which of its transaction's events it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) revision: u64,
    pub(crate) position: u8,
}

/// What a key was from some revision on.
#[derive(Debug, Clone)]
enum Version {
    Put(Arc<KeyValue>),
    Tombstone(Row),
}

impl Version {
    fn row(&self) -> Row {
        match self {
            Self::Put(kv) => Row { revision: kv.mod_revision(), position: kv.position() },
            Self::Tombstone(row) => *row,
        }
    }

    fn kv(&self) -> Option<&Arc<KeyValue>> {
        match self {
            Self::Put(kv) => Some(kv),
            Self::Tombstone(_) => None,
        }
    }
}

/// The versions of a key. Almost always there is one, so the others are behind a pointer.
struct Versions {
    newest: Version,
    /// Oldest first. Boxed to keep the tree's nodes small.
    #[expect(clippy::box_collection, reason = "8 bytes instead of 24 in every one of the tree's slots")]
    older: Option<Box<Vec<Version>>>,
}

impl Versions {
    fn at(&self, revision: u64) -> Option<&Arc<KeyValue>> {
        if self.newest.row().revision <= revision {
            return self.newest.kv();
        }
        self.older.as_ref()?.iter().rev().find(|version| version.row().revision <= revision)?.kv()
    }

    fn push(&mut self, version: Version) {
        let previous = std::mem::replace(&mut self.newest, version);
        self.older.get_or_insert_default().push(previous);
    }
}

/// How an apply went.
pub(crate) enum Applied {
    /// It changed something, and takes the revision.
    Changed,
    /// It only compared, or deleted what was not there.
    Unchanged,
    /// A comparison failed; these are the keys.
    Conflict(Vec<Option<Arc<KeyValue>>>),
}

/// The tree of keys.
#[derive(Default)]
pub(crate) struct Index {
    keys: BTreeMap<Key, Versions>,
    /// Keys with a time to live, by Unix milliseconds.
    expiries: BTreeSet<(u64, Key)>,
    compacted: u64,
    live_keys: u64,
    live_bytes: u64,
}

impl Index {
    pub(crate) fn compacted(&self) -> u64 {
        self.compacted
    }

    pub(crate) fn set_compacted(&mut self, revision: u64) {
        self.compacted = self.compacted.max(revision);
    }

    pub(crate) fn live(&self) -> (u64, u64) {
        (self.live_keys, self.live_bytes)
    }

    /// The key as the last writer left it.
    pub(crate) fn newest(&self, key: &[u8]) -> Option<&Arc<KeyValue>> {
        self.keys.get(key)?.newest.kv()
    }

    /// Compares and, if all comparisons hold, writes at `revision`; events go to `events`.
    pub(crate) fn apply(&mut self, txn: &Txn, revision: u64, now: u64, events: &mut Vec<Event>) -> Applied {
        if txn.ops().any(|op| !op.expect.met_by(self.newest(&op.key).map(|kv| &**kv))) {
            return Applied::Conflict(txn.ops().map(|op| self.newest(&op.key).cloned()).collect());
        }
        let before = events.len();
        for op in txn.ops() {
            // Counts events, so that the events alone tell every row; at most `TXN_OPS_MAX`.
            let position = u8::try_from(events.len() - before).unwrap_or(u8::MAX);
            match &op.action {
                Action::Check => {}
                Action::Delete => events.extend(self.delete(&op.key, Row { revision, position })),
                Action::Put { value, ttl } => {
                    let expires = ttl.map_or(0, |ttl| {
                        now.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)).max(1)
                    });
                    // Share the tree's copy of the key where there is one.
                    let held = self.keys.get_key_value(&op.key);
                    let key = held.map_or_else(|| op.key.clone(), |(key, _)| key.clone());
                    let created = held
                        .and_then(|(_, versions)| versions.newest.kv())
                        .map_or(revision, |kv| kv.create_revision());
                    let kv = KeyValue::new(key, value.clone(), created, revision).with_row(position, expires);
                    events.push(self.put(Arc::new(kv)));
                }
            }
        }
        if events.len() == before { Applied::Unchanged } else { Applied::Changed }
    }

    /// Writes a version that is newer than all others of its key.
    pub(crate) fn put(&mut self, kv: Arc<KeyValue>) -> Event {
        let mut prev = None;
        if let Some(versions) = self.keys.get_mut(kv.key()) {
            prev = versions.newest.kv().cloned();
            versions.push(Version::Put(kv.clone()));
        } else {
            self.keys.insert(kv.key().clone(), Versions { newest: Version::Put(kv.clone()), older: None });
        }
        self.count_out(prev.as_ref());
        self.count_in(Some(&kv));
        Event::Put { kv, prev }
    }

    /// Deletes a key, if it is there.
    pub(crate) fn delete(&mut self, key: &[u8], row: Row) -> Option<Event> {
        let (held, _) = self.keys.get_key_value(key)?;
        let held = held.clone();
        let versions = self.keys.get_mut(key)?;
        let prev = versions.newest.kv()?.clone();
        versions.push(Version::Tombstone(row));
        self.count_out(Some(&prev));
        Some(Event::Delete { key: held, revision: row.revision, prev: Some(prev) })
    }

    /// Takes back the newest change of a key, which this event describes.
    pub(crate) fn undo(&mut self, event: &Event) {
        let Some(versions) = self.keys.get_mut(event.key()) else { return };
        let undone = match versions.older.as_mut().and_then(|older| older.pop()) {
            Some(previous) => {
                versions.older.take_if(|older| older.is_empty());
                std::mem::replace(&mut versions.newest, previous)
            }
            None => match self.keys.remove(event.key()) {
                Some(versions) => versions.newest,
                None => return,
            },
        };
        self.count_out(undone.kv());
        self.count_in(event.prev());
    }

    fn count_in(&mut self, kv: Option<&Arc<KeyValue>>) {
        let Some(kv) = kv else { return };
        self.live_keys += 1;
        self.live_bytes += kv.bytes() as u64;
        if let Some(expires) = kv.expires() {
            self.expiries.insert((expires, kv.key().clone()));
        }
    }

    fn count_out(&mut self, kv: Option<&Arc<KeyValue>>) {
        let Some(kv) = kv else { return };
        self.live_keys -= 1;
        self.live_bytes -= kv.bytes() as u64;
        if let Some(expires) = kv.expires() {
            self.expiries.remove(&(expires, kv.key().clone()));
        }
    }

    /// When the next key expires.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.expiries.first().map(|(expires, _)| *expires)
    }

    /// A key whose time is up.
    pub(crate) fn expired(&self, now: u64) -> Option<Key> {
        self.expiries.first().filter(|(expires, _)| *expires <= now).map(|(_, key)| key.clone())
    }

    /// Drops the versions of a key that no readable revision shows, down to the key itself.
    pub(crate) fn prune(&mut self, key: &[u8], rows: &mut Vec<Row>) {
        let Some(versions) = self.keys.get_mut(key) else { return };
        if let Some(older) = &mut versions.older {
            // A version is visible as long as the one after it is newer than the cut.
            let next = older.iter().skip(1).map(|version| version.row().revision);
            let next = next.chain([versions.newest.row().revision]);
            let mut hidden = next.take(older.len()).take_while(|next| *next <= self.compacted).count();
            // A tombstone that is now the oldest says what its absence says too.
            if matches!(older.get(hidden), Some(Version::Tombstone(row)) if row.revision <= self.compacted) {
                hidden += 1;
            }
            rows.extend(older.drain(..hidden).map(|version| version.row()));
            if older.is_empty() {
                versions.older = None;
            }
        }
        if versions.older.is_none()
            && let Version::Tombstone(row) = versions.newest
            && row.revision <= self.compacted
        {
            rows.push(row);
            self.keys.remove(key);
        }
    }

    /// Reads on into `result`; after `chunk` keys it stops and returns the last one, to be continued after it.
    pub(crate) fn read(
        &self,
        keys: &KeyRange,
        revision: u64,
        limit: usize,
        count: bool,
        chunk: usize,
        result: &mut RangeResult,
    ) -> Option<Key> {
        if keys.is_empty() {
            result.count = count.then(|| result.count.unwrap_or(0));
            return None;
        }
        let limit = if limit == 0 { usize::MAX } else { limit };
        let mut counted = result.count.unwrap_or(0);
        let from = Bound::Included(&**keys.start());
        let to = keys.end().map_or(Bound::Unbounded, |end| Bound::Excluded(&**end));
        let mut stopped = None;
        for (walked, (key, versions)) in (1..).zip(self.keys.range::<[u8], _>((from, to))) {
            if let Some(kv) = versions.at(revision) {
                counted += 1;
                if result.kvs.len() < limit {
                    result.kvs.push(kv.clone());
                } else {
                    result.more = true;
                    if !count {
                        return None;
                    }
                }
            }
            if walked == chunk {
                stopped = Some(key.clone());
                break;
            }
        }
        result.count = count.then_some(counted);
        stopped
    }
}
