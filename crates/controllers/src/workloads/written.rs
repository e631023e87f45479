//! What a controller wrote and its cache does not show yet.
//!
//! Upstream's controllers count the events that they expect of their writes (`controller.Expectations`), wait
//! for them before they act again, and give up waiting after five minutes. Here the answers to writes are laid
//! over the cache until it has seen the version they were written at, so a controller always sees what it did:
//! nothing is made or deleted twice, and there is nothing to wait for or to give up.

use api::meta::v1::Time;
use api::{Key, Object};
use client::Lister;
use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// A cache with a controller's own writes.
pub(crate) struct Written<K> {
    lister: Lister<K>,
    /// By the object on whose behalf they were made.
    writes: Arc<Mutex<HashMap<Key, Vec<Write<K>>>>>,
}

#[derive(Clone)]
enum Write<K> {
    /// It is so since this revision.
    Stored(Arc<K>, u64),
    /// Its deletion was asked for.
    Deleted(Arc<K>),
    /// The server said that it is gone: the one of this UID.
    Gone(String),
}

impl<K> Clone for Written<K> {
    fn clone(&self) -> Self {
        Self { lister: self.lister.clone(), writes: self.writes.clone() }
    }
}

impl<K: Object> Written<K> {
    /// Over a cache.
    pub(crate) fn new(lister: Lister<K>) -> Self {
        Self { lister, writes: Arc::default() }
    }

    /// The cache itself.
    pub(crate) fn lister(&self) -> &Lister<K> {
        &self.lister
    }

    /// Notes what a create or a patch on behalf of `owner` came to.
    pub(crate) fn stored(&self, owner: &Key, object: K) -> Arc<K> {
        let object = Arc::new(object);
        let revision = revision(&*object);
        if revision > self.lister.revision() {
            self.note(owner, Write::Stored(object.clone(), revision));
        }
        object
    }

    /// Notes that an object was asked to go.
    pub(crate) fn deleted(&self, owner: &Key, object: &K, now: Timestamp) {
        let mut going = object.clone();
        going.meta_mut().deletion_timestamp.get_or_insert(Time(now));
        self.note(owner, Write::Deleted(Arc::new(going)));
    }

    /// Notes that the server does not know an object any more.
    pub(crate) fn gone(&self, owner: &Key, object: &K) {
        self.note(owner, Write::Gone(object.uid().to_owned()));
    }

    fn note(&self, owner: &Key, write: Write<K>) {
        self.writes.lock().entry(owner.clone()).or_default().push(write);
    }

    /// The owner is gone: nobody will ask.
    pub(crate) fn forget(&self, owner: &Key) {
        self.writes.lock().remove(owner);
    }

    /// One object of which this controller writes the status, with what it wrote last.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<K>> {
        let cached = |lister: &Lister<K>| lister.get_key(key).into_iter().collect();
        self.see(key, cached).into_iter().find(|object| object.key() == *key)
    }

    /// What `list` finds in the cache, with what was written on behalf of `owner`.
    pub(crate) fn see(&self, owner: &Key, list: impl FnOnce(&Lister<K>) -> Vec<Arc<K>>) -> Vec<Arc<K>> {
        // Before listing: what the cache has seen by now, the list shows.
        let seen = self.lister.revision();
        let mut objects = list(&self.lister);
        let mut all = self.writes.lock();
        if let Some(writes) = all.get_mut(owner) {
            writes.retain(|write| apply(write, seen, &mut objects));
            if writes.is_empty() {
                all.remove(owner);
            }
        }
        objects
    }
}

/// Lays a write over the list; whether it is still needed.
fn apply<K: Object>(write: &Write<K>, seen: u64, objects: &mut Vec<Arc<K>>) -> bool {
    let find = |objects: &[Arc<K>], uid: &str| objects.iter().position(|object| object.uid() == uid);
    match write {
        Write::Stored(_, at) if *at <= seen => false,
        Write::Stored(object, at) => match find(objects, object.uid()) {
            Some(place) if revision(&*objects[place]) >= *at => false,
            Some(place) => {
                objects[place] = object.clone();
                true
            }
            None => {
                objects.push(object.clone());
                true
            }
        },
        // A deletion shows as such or as absence; a UID never comes back.
        Write::Deleted(object) => match find(objects, object.uid()) {
            Some(place) if objects[place].meta().deletion_timestamp.is_none() => {
                objects[place] = object.clone();
                true
            }
            _ => false,
        },
        Write::Gone(uid) => match find(objects, uid) {
            Some(place) => {
                objects.remove(place);
                true
            }
            None => false,
        },
    }
}

fn revision<K: Object>(object: &K) -> u64 {
    object.resource_version().parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, pod};
    use super::*;
    use api::core::v1::Pod;

    fn version(name: &str, version: u64) -> Pod {
        let mut pod = Pod::clone(&pod(name).build());
        pod.metadata.resource_version = Some(version.to_string());
        pod
    }

    fn shown(written: &Written<Pod>) -> Vec<String> {
        let all = written.see(&Key::new("default", "owner"), Lister::list);
        let told = |pod: &Arc<Pod>| {
            let going = if pod.metadata.deletion_timestamp.is_some() { "-" } else { "" };
            format!("{going}{}@{}", pod.name(), pod.resource_version())
        };
        all.iter().map(told).collect()
    }

    #[test]
    fn writes_show_until_the_cache_has_them() {
        let (lister, owner) = (Lister::new(), Key::new("default", "owner"));
        let written = Written::new(lister.clone());
        lister.put(version("a", 1));
        written.stored(&owner, version("b", 2));
        written.stored(&owner, version("a", 3));
        assert_eq!(shown(&written), ["a@3", "b@2"]);
        lister.put(version("b", 2));
        lister.put(version("a", 4));
        assert_eq!(shown(&written), ["a@4", "b@2"]);
        assert!(written.writes.lock().is_empty());
    }

    #[test]
    fn deletions_show_until_the_cache_has_them() {
        let (lister, owner) = (Lister::new(), Key::new("default", "owner"));
        let written = Written::new(lister.clone());
        lister.put(version("a", 1));
        written.deleted(&owner, &version("a", 1), at(5));
        assert_eq!(shown(&written), ["-a@1"]);
        lister.remove(&Key::new("default", "a"));
        assert_eq!(shown(&written), [""; 0]);
        assert!(written.writes.lock().is_empty());
    }

    #[test]
    fn what_is_gone_does_not_show() {
        let (lister, owner) = (Lister::new(), Key::new("default", "owner"));
        let written = Written::new(lister.clone());
        lister.put(version("a", 1));
        written.gone(&owner, &version("a", 1));
        assert_eq!(shown(&written), [""; 0]);
        assert!(!written.writes.lock().is_empty());
        lister.remove(&Key::new("default", "a"));
        assert_eq!(shown(&written), [""; 0]);
        assert!(written.writes.lock().is_empty());
    }

    #[test]
    fn what_others_wrote_for_shows_to_them_only() {
        let written = Written::new(Lister::new());
        written.stored(&Key::new("default", "other"), version("b", 2));
        assert_eq!(shown(&written), [""; 0]);
    }
}
