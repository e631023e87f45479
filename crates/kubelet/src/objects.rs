//! Objects that pods of this node are made of (ConfigMaps, Secrets), each watched by its name while a pod uses it.
//!
//! A node may read only the objects that its pods name, so there is a watch for each, as upstream has it
//! (`pkg/kubelet/util/manager/watch_based_manager.go`); whoever uses an object is told when it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::{Key, Object};
use client::{Informers, ListOptions, Lister};
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

/// How long the first answer may take.
const SYNC_LIMIT: Duration = Duration::from_secs(5);

/// The watched objects of one kind.
pub(crate) struct Objects<K> {
    informers: Informers,
    /// The kind's name in errors.
    noun: &'static str,
    watched: Mutex<BTreeMap<Key, Watched<K>>>,
    /// Who is told of changes: UIDs of pods.
    changed: UnboundedSender<String>,
}

struct Watched<K> {
    lister: Lister<K>,
    users: Arc<Mutex<BTreeSet<String>>>,
}

impl<K: Object> Objects<K> {
    pub(crate) fn new(informers: Informers, noun: &'static str, changed: UnboundedSender<String>) -> Self {
        Self { informers, noun, watched: Mutex::default(), changed }
    }

    /// The object, for the pod with that UID, which is told of its changes from now on.
    ///
    /// # Errors
    /// It cannot be read; or it is not there and must be.
    pub(crate) async fn get(
        &self,
        user: &str,
        namespace: &str,
        name: &str,
        is_optional: bool,
    ) -> Result<Option<Arc<K>>, String> {
        let lister = self.lister(user, Key::new(namespace, name));
        if tokio::time::timeout(SYNC_LIMIT, lister.synced()).await.is_err() {
            return Err(format!("failed to sync {} cache: timed out waiting for the condition", self.noun));
        }
        match lister.get(namespace, name) {
            None if !is_optional => Err(format!("{} \"{name}\" not found", self.noun)),
            found => Ok(found),
        }
    }

    /// Ends the watches that only this pod needed.
    pub(crate) fn forget(&self, user: &str) {
        self.watched.lock().retain(|_, watched| {
            let mut users = watched.users.lock();
            users.remove(user);
            if users.is_empty() {
                watched.lister.stop();
            }
            !users.is_empty()
        });
    }

    fn lister(&self, user: &str, key: Key) -> Lister<K> {
        let mut watched = self.watched.lock();
        if let Some(known) = watched.get(&key) {
            known.users.lock().insert(user.to_owned());
            return known.lister.clone();
        }
        let selector = ListOptions::fields(format!("metadata.name={}", key.name));
        let lister: Lister<K> = self.informers.filtered(&key.namespace, selector);
        let users = Arc::new(Mutex::new(BTreeSet::from([user.to_owned()])));
        let (changed, listening) = (self.changed.clone(), users.clone());
        lister.subscribe(move |_| {
            for user in listening.lock().iter() {
                // Nobody listens any more: the kubelet stops.
                let _ = changed.send(user.clone());
            }
        });
        watched.insert(key, Watched { lister: lister.clone(), users });
        lister
    }
}
