//! A bound on the entries of updates.
//!
//! Upstream: `managedfields/internal/capmanagers.go`.

use super::entry::unix_seconds;
use super::{Entry, Identity, Operation};
use crate::fields::Set;
use std::collections::HashMap;
use value::Str;

/// How many entries of updates an object keeps; upstream's number.
pub(super) const UPDATE_MANAGERS_MAX: usize = 10;

/// Who owns what the merged entries owned.
const BUCKET_MANAGER: Str = Str::new_static("ancient-changes");

/// Merges the oldest entries of updates, version by version, until there are few enough.
pub(super) fn cap_updates(managed: &mut Vec<Entry>) {
    let count = managed.iter().filter(|e| !e.applied()).count();
    if count <= UPDATE_MANAGERS_MAX {
        return;
    }
    let mut oldest_first: Vec<usize> = (0..managed.len()).filter(|i| !managed[*i].applied()).collect();
    oldest_first.sort_by(|a, b| {
        let seconds = |e: &Entry| e.time.as_deref().map_or(0, unix_seconds);
        let (a, b) = (&managed[*a], &managed[*b]);
        seconds(a).cmp(&seconds(b)).then_with(|| a.identity.compare(&b.identity))
    });

    // By version: the entry that others are merged into, and what is merged.
    let mut buckets: HashMap<Str, Bucket> = HashMap::new();
    for (i, entry) in managed.iter().enumerate() {
        if entry.identity == bucket_identity(&entry.version) {
            buckets.insert(entry.version.clone(), Bucket { place: i, is_named: true, ..Bucket::default() });
        }
    }
    let mut left = count;
    let mut gone = vec![false; managed.len()];
    for i in oldest_first {
        if left <= UPDATE_MANAGERS_MAX {
            break;
        }
        let entry = &mut managed[i];
        let bucket = buckets.entry(entry.version.clone()).or_insert(Bucket { place: i, ..Bucket::default() });
        if !bucket.is_open {
            // The oldest of its version is not merged: there may be nothing else to merge.
            bucket.is_open = true;
            bucket.first = i;
            continue;
        }
        if !bucket.is_named {
            bucket.is_named = true;
            bucket.place = bucket.first;
        }
        gone[i] = true;
        left -= 1;
        if bucket.place != i {
            bucket.sets.push(std::mem::take(&mut entry.set));
            bucket.time = Some(entry.time.clone());
        }
    }
    for (version, bucket) in buckets {
        if bucket.sets.is_empty() {
            continue;
        }
        let entry = &mut managed[bucket.place];
        entry.identity = bucket_identity(&version);
        entry.set.merge(Set::union_all(bucket.sets));
        if let Some(time) = bucket.time {
            entry.time = time;
        }
    }
    let mut gone = gone.into_iter();
    managed.retain(|_| !gone.next().unwrap_or(false));
}

#[derive(Default)]
struct Bucket {
    /// Where the entry is that others are merged into.
    place: usize,
    /// Whether that entry is a bucket's already, or is to become it.
    is_named: bool,
    /// Whether an entry of the version has been passed.
    is_open: bool,
    /// That entry.
    first: usize,
    sets: Vec<Set>,
    /// The time of the last one merged.
    time: Option<Option<Str>>,
}

fn bucket_identity(version: &Str) -> Identity {
    Identity {
        manager: BUCKET_MANAGER,
        operation: Operation::Update,
        version: version.clone(),
        subresource: Str::default(),
    }
}
