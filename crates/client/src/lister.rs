//! What a cache holds, for readers.

use crate::scope::Scope;
use api::{Key, Object};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// What happened to an object in a cache.
#[derive(Clone, Debug)]
pub enum Change<K> {
    /// It is there now.
    Added(Arc<K>),
    /// What it was, and what it is now.
    Updated(Arc<K>, Arc<K>),
    /// It is gone; its last known state.
    Deleted(Arc<K>),
}

impl<K> Change<K> {
    /// The object as it is now, or was last.
    pub const fn object(&self) -> &Arc<K> {
        match self {
            Self::Added(object) | Self::Updated(_, object) | Self::Deleted(object) => object,
        }
    }
}

type Indexer<K> = fn(&K) -> Vec<String>;
type Tell<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;

struct Subscriber<K> {
    scope: Scope,
    tell: Tell<K>,
}

struct Index<K> {
    values: Indexer<K>,
    keys: HashMap<String, BTreeSet<Key>>,
}

impl<K> Index<K> {
    fn add(&mut self, key: &Key, object: &K) {
        for value in (self.values)(object) {
            self.keys.entry(value).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &Key, object: &K) {
        for value in (self.values)(object) {
            if let Some(keys) = self.keys.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(&value);
                }
            }
        }
    }
}

struct Contents<K> {
    objects: BTreeMap<Key, Arc<K>>,
    indices: HashMap<&'static str, Index<K>>,
}

pub(crate) struct Shared<K> {
    contents: RwLock<Contents<K>>,
    /// Held while changes are told, so that a new subscriber is told of everything just once.
    subscribers: Mutex<Vec<Subscriber<K>>>,
    revision: AtomicU64,
    pub(crate) synced: watch::Sender<bool>,
    pub(crate) stop: watch::Sender<bool>,
}

/// A view of a cache that follows the server. Clones see the same cache.
pub struct Lister<K> {
    shared: Arc<Shared<K>>,
    /// Whose subscriptions end, and when.
    scope: Scope,
}

impl<K> Clone for Lister<K> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), scope: self.scope.clone() }
    }
}

impl<K> std::fmt::Debug for Lister<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lister").field("objects", &self.shared.contents.read().objects.len()).finish()
    }
}

impl<K: Object> Default for Lister<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Object> Lister<K> {
    /// A cache that nothing fills but [`Self::put`] and [`Self::remove`]: for simulations and tests.
    pub fn new() -> Self {
        let contents = Contents { objects: BTreeMap::new(), indices: HashMap::new() };
        let shared = Shared {
            contents: RwLock::new(contents),
            subscribers: Mutex::default(),
            revision: AtomicU64::new(0),
            synced: watch::Sender::new(false),
            stop: watch::Sender::new(false),
        };
        Self { shared: Arc::new(shared), scope: Scope::default() }
    }

    /// The same for one whose subscriptions end with `scope`.
    pub(crate) fn within(&self, scope: Scope) -> Self {
        Self { shared: self.shared.clone(), scope }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<K>> {
        &self.shared
    }

    /// The object, if it is there.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.get_key(&Key::new(namespace, name))
    }

    /// The object, if it is there.
    pub fn get_key(&self, key: &Key) -> Option<Arc<K>> {
        self.shared.contents.read().objects.get(key).cloned()
    }

    /// All objects, in order of namespace and name.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.shared.contents.read().objects.values().cloned().collect()
    }

    /// The objects of a namespace, in order of their names.
    pub fn list_in(&self, namespace: &str) -> Vec<Arc<K>> {
        let contents = self.shared.contents.read();
        let from = Bound::Included(Key::new(namespace, ""));
        let objects = contents.objects.range((from, Bound::Unbounded));
        objects.take_while(|(key, _)| key.namespace == namespace).map(|(_, object)| object.clone()).collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.shared.contents.read().objects.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// From now on objects are found by what `values` gives for them, under `name`. Adding an index twice
    /// does nothing.
    pub fn add_index(&self, name: &'static str, values: fn(&K) -> Vec<String>) {
        let mut contents = self.shared.contents.write();
        if contents.indices.contains_key(name) {
            return;
        }
        let mut index = Index { values, keys: HashMap::new() };
        for (key, object) in &contents.objects {
            index.add(key, object);
        }
        contents.indices.insert(name, index);
    }

    /// The objects that an index has under `value`; none if there is no such index.
    pub fn by_index(&self, name: &str, value: &str) -> Vec<Arc<K>> {
        let contents = self.shared.contents.read();
        let keys = contents.indices.get(name).and_then(|index| index.keys.get(value));
        keys.into_iter().flatten().filter_map(|key| contents.objects.get(key).cloned()).collect()
    }

    /// Whether all that was there at the start is in the cache.
    pub fn has_synced(&self) -> bool {
        *self.shared.synced.borrow()
    }

    /// The resource version up to which the cache has seen everything, as a number (KEP-5504: versions of a
    /// resource compare as such); 0 before the first list, and in a cache that is filled by hand. Who wrote
    /// at a version finds what came of it here once this is not below it.
    pub fn revision(&self) -> u64 {
        self.shared.revision.load(Ordering::Acquire)
    }

    /// The cache has seen everything up to a version.
    pub(crate) fn reached(&self, version: Option<&str>) {
        if let Some(version) = version.and_then(|version| version.parse().ok()) {
            self.shared.revision.fetch_max(version, Ordering::Release);
        }
    }

    /// Waits for [`Self::has_synced`].
    pub async fn synced(&self) {
        let mut synced = self.shared.synced.subscribe();
        // The sender lives in `self`.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    /// From now on `subscriber` is told of each change, in order; first of what is there, as added. It must
    /// not block, and must not subscribe here itself.
    pub fn subscribe(&self, subscriber: impl Fn(&Change<K>) + Send + Sync + 'static) {
        let mut subscribers = self.shared.subscribers.lock();
        for object in self.list() {
            subscriber(&Change::Added(object));
        }
        subscribers.push(Subscriber { scope: self.scope.clone(), tell: Box::new(subscriber) });
    }

    /// Ends the following of the server; what is there stays.
    pub fn stop(&self) {
        self.shared.stop.send_replace(true);
    }

    /// Puts in an object, and tells subscribers.
    pub fn put(&self, object: K) {
        let mut subscribers = self.shared.subscribers.lock();
        let object = Arc::new(object);
        let key = object.key();
        let old = {
            let mut contents = self.shared.contents.write();
            let old = contents.objects.insert(key.clone(), object.clone());
            for index in contents.indices.values_mut() {
                if let Some(old) = &old {
                    index.remove(&key, old);
                }
                index.add(&key, &object);
            }
            old
        };
        let change = match old {
            Some(old) => Change::Updated(old, object),
            None => Change::Added(object),
        };
        tell(&mut subscribers, &change);
    }

    /// Takes out an object, and tells subscribers.
    pub fn remove(&self, key: &Key) {
        let mut subscribers = self.shared.subscribers.lock();
        let old = {
            let mut contents = self.shared.contents.write();
            let old = contents.objects.remove(key);
            if let Some(old) = &old {
                for index in contents.indices.values_mut() {
                    index.remove(key, old);
                }
            }
            old
        };
        if let Some(old) = old {
            tell(&mut subscribers, &Change::Deleted(old));
        }
    }

    /// Says that all is there.
    pub fn set_synced(&self) {
        self.shared.synced.send_replace(true);
    }
}

fn tell<K>(subscribers: &mut Vec<Subscriber<K>>, change: &Change<K>) {
    subscribers.retain(|subscriber| {
        let listens = !subscriber.scope.has_ended();
        if listens {
            (subscriber.tell)(change);
        }
        listens
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::core::v1::Pod;

    fn pod(namespace: &str, name: &str, node: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.namespace = Some(namespace.into());
        pod.metadata.name = Some(name.into());
        pod.spec.get_or_insert_default().node_name = Some(node.into());
        pod
    }

    fn node(pod: &Pod) -> Vec<String> {
        pod.spec.iter().filter_map(|spec| spec.node_name.clone()).collect()
    }

    #[test]
    fn indices_and_subscribers_follow() {
        let lister = Lister::new();
        lister.put(pod("a", "1", "x"));
        lister.add_index("node", node);
        let told = Arc::new(Mutex::new(Vec::new()));
        let copy = told.clone();
        lister.subscribe(move |change: &Change<Pod>| {
            let kind = match change {
                Change::Added(_) => "+",
                Change::Updated(..) => "~",
                Change::Deleted(_) => "-",
            };
            copy.lock().push(format!("{kind}{}", change.object().key()));
        });
        lister.put(pod("a", "1", "y"));
        lister.put(pod("b", "1", "y"));
        assert_eq!(lister.by_index("node", "x").len(), 0);
        assert_eq!(lister.by_index("node", "y").len(), 2);
        lister.remove(&Key::new("a", "1"));
        assert_eq!(lister.by_index("node", "y").len(), 1);
        assert_eq!((lister.list_in("a").len(), lister.list_in("b").len()), (0, 1));
        assert_eq!(*told.lock(), ["+a/1", "~a/1", "+b/1", "-a/1"]);
    }

    #[test]
    fn who_reads_no_more_is_told_nothing() {
        let lister = Lister::new();
        let (reading, scope) = Scope::new();
        let told = Arc::new(Mutex::new(0));
        let copy = told.clone();
        lister.within(scope).subscribe(move |_: &Change<Pod>| *copy.lock() += 1);
        lister.put(pod("a", "1", "x"));
        drop(reading);
        lister.put(pod("a", "2", "x"));
        assert_eq!(*told.lock(), 1);
        // What it subscribed with is let go.
        assert_eq!(Arc::strong_count(&told), 1);
    }
}
