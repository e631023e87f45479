//! A key with its value, and what a watch tells about it.

use std::sync::Arc;

use bytes::Bytes;

use crate::Key;

/// A key, its value and the revisions that made them. Shared as `Arc<KeyValue>`; nothing is copied on the way
/// from a writer to readers, watchers and the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    key: Key,
    value: Bytes,
    create_revision: u64,
    mod_revision: u64,
    /// Unix time in milliseconds at which the key goes; 0 for never. Not known for etcd's keys.
    expires: u64,
    /// Which of its transaction's events wrote it; with the revision it names a row on disk.
    position: u8,
}

impl KeyValue {
    /// A key as read from a back end.
    pub fn new(key: Key, value: Bytes, create_revision: u64, mod_revision: u64) -> Self {
        Self { key, value, create_revision, mod_revision, expires: 0, position: 0 }
    }

    pub(crate) fn with_row(mut self, position: u8, expires: u64) -> Self {
        self.position = position;
        self.expires = expires;
        self
    }

    /// The key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The value as it was put.
    pub fn value(&self) -> &Bytes {
        &self.value
    }

    /// The revision at which the key came to be, since it was last absent.
    pub fn create_revision(&self) -> u64 {
        self.create_revision
    }

    /// The revision that wrote this value: Kubernetes' `resourceVersion`.
    pub fn mod_revision(&self) -> u64 {
        self.mod_revision
    }

    /// Unix time in milliseconds at which the key goes, if it was put with a time to live. Unknown on etcd.
    pub fn expires(&self) -> Option<u64> {
        (self.expires != 0).then_some(self.expires)
    }

    pub(crate) fn position(&self) -> u8 {
        self.position
    }

    pub(crate) fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The key was created or got a new value.
    Put {
        /// The key as it is now.
        kv: Arc<KeyValue>,
        /// As it was before, unless this created it.
        prev: Option<Arc<KeyValue>>,
    },
    /// The key was deleted, or its time was up.
    Delete {
        /// The key.
        key: Key,
        /// The revision of the deletion.
        revision: u64,
        /// As it was before. Missing only on etcd, when that has been compacted away.
        prev: Option<Arc<KeyValue>>,
    },
}

impl Event {
    /// The key that changed.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { kv, .. } => kv.key(),
            Self::Delete { key, .. } => key,
        }
    }

    /// The revision of the change.
    pub fn revision(&self) -> u64 {
        match self {
            Self::Put { kv, .. } => kv.mod_revision(),
            Self::Delete { revision, .. } => *revision,
        }
    }

    /// The key as it was before.
    pub fn prev(&self) -> Option<&Arc<KeyValue>> {
        match self {
            Self::Put { prev, .. } | Self::Delete { prev, .. } => prev.as_ref(),
        }
    }

    /// Whether this put made the key.
    pub fn is_create(&self) -> bool {
        matches!(self, Self::Put { kv, .. } if kv.create_revision() == kv.mod_revision())
    }

    /// Bytes that keeping this event in a history keeps alive, at most.
    pub(crate) fn bytes(&self) -> usize {
        self.prev().map_or(0, |prev| prev.bytes()) + 128
    }
}

/// What a watch delivers at once: whole transactions, in revision order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// After this batch the watcher has seen every event of its keys up to and including this revision.
    pub revision: u64,
    /// The changes; none for a progress marker.
    pub events: Vec<Event>,
}
