//! A bound on the entries of updates.
//!
//! Upstream: `managedfields/internal/capmanagers.go`.

use super::entry::unix_seconds;
use super::{Entry, Identity, Operation};
use value::Str;

/// How many entries of updates an object keeps; upstream's number.
const UPDATE_MANAGERS_MAX: usize = 10;

/// Who owns what the merged entries owned.
const BUCKET_MANAGER: Str = Str::new_static("ancient-changes");

/// Merges the oldest entries of updates, version by version, until there are few enough.
pub(super) fn cap_updates(managed: &mut Vec<Entry>) {
    let count = managed.iter().filter(|e| !e.applied()).count();
    if count <= UPDATE_MANAGERS_MAX {
        return;
    }
    let mut updates: Vec<&Entry> = managed.iter().filter(|e| !e.applied()).collect();
    updates.sort_by(|a, b| {
        let seconds = |e: &Entry| e.time.as_deref().map_or(0, unix_seconds);
        seconds(a).cmp(&seconds(b)).then_with(|| a.identity.compare(&b.identity))
    });
    let oldest_first: Vec<Identity> = updates.iter().map(|e| e.identity.clone()).collect();

    let mut left = count;
    let mut first_of: Vec<(Str, Identity)> = Vec::new();
    for identity in oldest_first {
        if left <= UPDATE_MANAGERS_MAX {
            return;
        }
        let Some(version) = position(managed, &identity).map(|i| managed[i].version.clone()) else {
            continue;
        };
        let Some((_, first)) = first_of.iter().find(|(v, _)| *v == version) else {
            first_of.push((version, identity));
            continue;
        };
        let bucket = Identity {
            manager: BUCKET_MANAGER,
            operation: Operation::Update,
            version,
            subresource: Str::default(),
        };
        if position(managed, &bucket).is_none()
            && let Some(i) = position(managed, first)
        {
            managed[i].identity = bucket.clone();
        }
        let Some(i) = position(managed, &identity) else { continue };
        if identity == bucket {
            // The bucket itself is among the oldest: nothing to merge it with but itself.
            managed.remove(i);
            left -= 1;
            continue;
        }
        let merged = managed.remove(i);
        left -= 1;
        if let Some(b) = position(managed, &bucket) {
            managed[b].set.merge(merged.set);
            managed[b].time = merged.time;
        }
    }
}

fn position(managed: &[Entry], identity: &Identity) -> Option<usize> {
    managed.iter().position(|e| e.identity == *identity)
}
